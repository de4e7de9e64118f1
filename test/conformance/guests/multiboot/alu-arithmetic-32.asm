; Results and flags of additions, subtractions, logic and exchanges in 32-bit mode.
%define MODE 32
%define ROUNDS 200
%include "start.inc"
%include "alu.inc"
%include "alu-arithmetic.inc"

main:
  enter_ring3
  arithmetic 8
  arithmetic 16
  arithmetic 32
  conditions
  done
