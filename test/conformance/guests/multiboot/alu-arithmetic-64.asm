; Results and flags of additions, subtractions, logic and exchanges in 64-bit mode.
%define MODE 64
%define ROUNDS 400
%include "start.inc"
%include "alu.inc"
%include "alu-arithmetic.inc"

main:
  enter_ring3
  arithmetic 8
  arithmetic 16
  arithmetic 32
  arithmetic 64
  conditions
  done
