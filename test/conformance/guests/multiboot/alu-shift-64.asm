; Results and flags of shifts and rotates in 64-bit mode.
%define MODE 64
%define ROUNDS 300
%include "start.inc"
%include "alu.inc"
%include "alu-shift.inc"

main:
  enter_ring3
  shifts 8
  shifts 16
  shifts 32
  shifts 64
  double_shifts 16
  double_shifts 32
  double_shifts 64
  done
