; Decimal and ASCII adjustments of 32-bit mode.
;
; DAA and DAS leave OF undefined, AAA and AAS all but AF and CF, AAM and AAD all but SF, ZF and PF.
%define MODE 32
%define ROUNDS 300
%include "start.inc"
%include "alu.inc"

main:
  enter_ring3
  case "daa", ARITHMETIC & ~OF, daa
  case "das", ARITHMETIC & ~OF, das
  case2 "daa after add", ARITHMETIC & ~OF, {add al, cl}, {daa}
  case2 "das after sub", ARITHMETIC & ~OF, {sub al, cl}, {das}
  case "aaa", AF | CF, aaa
  case "aas", AF | CF, aas
  case "aam", SF | ZF | PF, aam
  case "aam 7", SF | ZF | PF, aam 7
  case "aad", SF | ZF | PF, aad
  case "aad 99", SF | ZF | PF, aad 99
  done
