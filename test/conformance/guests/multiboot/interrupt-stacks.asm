; Interrupts of 64-bit mode: the frame's alignment, the interrupt stack table, ring 3 to RSP0, IRETQ between rings.
%define MODE 64
%include "start.inc"

[section .bss]
alignb 16
  resb 1024
ist_stack:
saved: resq 8
[section .text]

%macro show_saved 1
  print %1
  call put_saved
%endmacro

main:
  gate 6, record, INTERRUPT_GATE
  gate 3, record, USER_TRAP_GATE

  mov rbp, rsp
  sub rsp, 5  ; the frame is aligned to 16 bytes all the same
  mov rbx, rsp
  ud2
  mov rsp, rbp
  show_saved "same ring, unaligned: "

  mov dword [tss + 36], ist_stack  ; IST1
  mov byte [idt + 6 * 16 + 4], 1
  mov rbx, rsp
  ud2
  show_saved "stack of the table: "
  mov byte [idt + 6 * 16 + 4], 0

  enter_ring3
  mov rbx, rsp
  ud2
  show_saved "from ring 3: "
  gate 6, fault_entries + 6 * 16, INTERRUPT_GATE
  enter_ring0
  gate 6, record, INTERRUPT_GATE

  enter_ring3
  mov rbx, rsp
  int3
  show_saved "int3 from ring 3: "
  gate 6, fault_entries + 6 * 16, INTERRUPT_GATE
  enter_ring0
  mov rbx, rsp
  int3
  show_saved "trap gate: "
  ret

; Where the stack is, and what it holds.
record:
  mov [saved], rsp
  mov rax, [rsp + 24]
  mov [saved + 8], rax
  mov rax, [rsp + 8]
  mov [saved + 16], rax
  mov rax, [rsp + 32]
  mov [saved + 24], rax
  mov rax, [rsp]
  cmp byte [rax], 0x0f  ; UD2: go on behind it
  jne .trap
  add qword [rsp], 2
.trap:
  iretq

put_saved:
  mov rax, [saved]
  and eax, 15
  show8 "rsp mod 16 = ", al
  mov rax, [saved]
  cmp rax, ist_stack - 40
  sete al
  show8 " on the table's stack ", al
  mov rax, [saved]
  cmp rax, stack0 - 40
  sete al
  show8 " on rsp0 ", al
  mov rax, [saved + 8]
  sub rax, rbx
  show32 " saved rsp off by ", eax
  print 10
  ret
