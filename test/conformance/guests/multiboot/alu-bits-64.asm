; Bit tests, bit scans and bit strings in 64-bit mode.
%define MODE 64
%define ROUNDS 200
%include "start.inc"
%include "alu.inc"
%include "alu-bits.inc"

%macro load_pair 0
  mov eax, [alu_operands]
  mov edx, [alu_operands + 4]
%endmacro

main:
  enter_ring3
  bit_tests 16
  bit_tests 32
  bit_tests 64
  show_bit_string
  case2 "cmpxchg8b, unequal", ARITHMETIC, {nop}, {cmpxchg8b [alu_operands]}
  case2 "cmpxchg8b, equal", ARITHMETIC, {load_pair}, {cmpxchg8b [alu_operands]}
  case2 "lock cmpxchg8b, equal", ARITHMETIC, {load_pair}, {lock cmpxchg8b [alu_operands]}
  done
