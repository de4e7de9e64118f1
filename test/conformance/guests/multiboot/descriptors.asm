; LAR, LSL, VERR, VERW, ARPL and the instructions that store system registers.
%define MODE 32
%include "start.inc"

[section .data]
align 4
kinds:
  dw 0, CODE32, DATA, USER_CODE32, USER_DATA, TSS, CODE16, DATA16, DATA | 3, 0x3f8, 4
  dw SPARE, SPARE + 8, SPARE + 16, SPARE + 24, SPARE + 32, SPARE + 40
kinds_end:
stored: times 8 db 0
[section .text]

main:
  descriptor SPARE, 0x0000ffff, 0x00cf1300  ; data, not present
  descriptor SPARE + 8, 0x0000ffff, 0x00c09100  ; read-only, 256 MiB
  descriptor SPARE + 16, 0x00001234, 0x00009900  ; execute-only, bytes
  descriptor SPARE + 24, 0x0000ffff, 0x00cf9f00  ; conforming
  descriptor SPARE + 32, 0x00080000, 0x0000ec00  ; call gate
  descriptor SPARE + 40, 0x00080000, 0x00008e00  ; interrupt gate

  sgdt [stored]
  movzx eax, word [stored]
  show16 "gdt limit ", ax
  mov eax, [stored + 2]
  sub eax, gdt
  show32 " base ", eax
  sidt [stored]
  show16 " idt limit ", word [stored]
  mov eax, -1
  sldt eax
  show32 " ldt ", eax
  mov eax, -1
  str eax
  show32 " tr ", eax
  mov eax, -1
  smsw ax
  show16 " msw ", ax
  print 10

  mov edi, kinds
.next:
  movzx ecx, word [edi]
  show16 "selector ", cx
  mov eax, 0x99999999
  lar eax, ecx
  call .verdict
  and eax, 0xfff0ffff  ; bits 19:16 are undefined
  show32 " lar ", eax
  mov eax, 0x99999999
  lsl eax, ecx
  call .verdict
  show32 " lsl ", eax
  verr cx
  call .verdict
  verw cx
  call .verdict
  print 10
  add edi, 2
  cmp edi, kinds_end
  jb .next

  mov eax, 0x10
  mov ecx, 3
  arpl ax, cx
  call .verdict
  show16 " arpl raised ", ax
  mov ecx, 1
  arpl ax, cx
  call .verdict
  show16 " kept ", ax
  print 10

  ret

; ZF as the instruction left it.
.verdict:
  jz .yes
  print " no"
  ret
.yes:
  print " yes"
  ret
