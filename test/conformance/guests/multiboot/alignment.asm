; Alignment checks: of ring 3 alone, with CR0.AM and EFLAGS.AC, of operands by their size.
%define MODE 64
%include "start.inc"

CR0_AM equ 1 << 18

[section .bss]
alignb 64
operand: resb 64
[section .text]

main:
  mov rax, cr0
  or eax, CR0_AM
  mov cr0, rax
  mov ebx, operand
  push 0x43002
  popfq
  attempt "ring 0 with AC", mov eax, [rbx + 1]
  enter_ring3 0x3002
  attempt "ring 3 without AC", mov eax, [rbx + 1]
  enter_ring0
  enter_ring3 0x43002
  attempt "aligned", mov eax, [rbx + 4]
  attempt "four bytes at 2", mov eax, [rbx + 2]
  attempt "two bytes at 2", mov ax, [rbx + 2]
  attempt "two bytes at 1", mov ax, [rbx + 1]
  attempt "eight bytes at 4", mov rax, [rbx + 4]
  attempt "a write of eight bytes at 4", mov [rbx + 4], rax
  attempt "a byte at 1", mov al, [rbx + 1]
  enter_ring0
  mov rax, cr0
  and eax, ~CR0_AM
  mov cr0, rax
  enter_ring3 0x43002
  attempt "without CR0.AM", mov eax, [rbx + 1]
  enter_ring0
  ret
