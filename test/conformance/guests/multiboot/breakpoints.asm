; Debug registers: execution breakpoints and DR6.
%define MODE 64
%include "start.inc"

[section .bss]
alignb 8
hits: resd 1
last: resq 1
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
  mov eax, .here
  mov dr0, rax
  mov eax, 0x402  ; execution of DR0's address
  mov dr7, rax
  nop
.here:
  nop
  mov rax, [last]
  sub rax, .here
  show8 "stopped before +", al
  report " execution"

  mov eax, .again
  mov dr3, rax
  mov eax, 0x400 | 1 << 7  ; DR3, global
  mov dr7, rax
  mov ecx, 3
.again:
  loop .again
  report "in a loop"
  mov eax, 0x400
  mov dr7, rax
  mov ecx, 3
  jmp .again_disabled
.again_disabled:
  loop .again_disabled
  report "disabled"
  mov rax, dr0
  sub rax, .here
  show64 "dr0 reads back, off by ", rax
  mov rax, dr7
  show64 " dr7 ", rax
  print 10
  ret

debug:
  push rax
  mov rax, [rsp + 8]
  mov [last], rax
  inc dword [hits]
  or dword [rsp + 24], 1 << 16  ; RF, so that the instruction runs now
  pop rax
  iretq
