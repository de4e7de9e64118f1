; Debug registers: write and access breakpoints, reported behind the access.
%define MODE 64
%include "start.inc"

[section .bss]
alignb 8
watched: resq 1
hits: resd 1
[section .text]

%macro report 1
  show32 {%1, ": hits "}, [hits]
  mov rax, dr6
  and eax, 0x600f
  show32 " dr6 ", eax
  print 10
  mov dword [hits], 0
  xor eax, eax
  mov dr6, rax
%endmacro

main:
  gate 1, debug, INTERRUPT_GATE
  mov eax, watched
  mov dr1, rax
  lea eax, [watched + 4]
  mov dr2, rax
  mov eax, 0x400 | 1 << 3 | 0xd << 20  ; writes of the 4 bytes at DR1
  mov dr7, rax
  mov eax, [watched]
  report "read under a write breakpoint"
  mov byte [watched + 3], 1
  report "write"
  mov [watched + 4], eax
  report "write beside it"
  mov [watched - 3], eax
  report "write that reaches into it"

  mov eax, 0x400 | 1 << 5 | 0xf << 24  ; any access to the 4 bytes at DR2
  mov dr7, rax
  mov eax, [watched + 4]
  report "access by a read"
  mov ecx, 2
  mov esi, watched
  lodsq
  report "access by a wider read"

  mov eax, 0x400
  mov dr7, rax
  mov [watched], eax
  report "disabled"
  ret

debug:
  push rax
  inc dword [hits]
  pop rax
  iretq
