; Results and flags of shifts and rotates in 32-bit mode.
%define MODE 32
%define ROUNDS 40
%include "start.inc"
%include "alu.inc"
%include "alu-shift.inc"

main:
  enter_ring3
  shifts 8
  shifts 16
  shifts 32
  double_shifts 16
  double_shifts 32

  done
