; Exceptions of 32-bit protected mode: vector, error code and the instruction they point at.
%define MODE 32
%include "start.inc"

main:
  xor edx, edx
  xor ecx, ecx
  attempt "div by zero", div ecx
  mov eax, 0x80000000
  cdq
  dec ecx
  attempt "idiv overflow", idiv ecx
  mov edx, 1
  mov ecx, 1
  attempt "div overflow", div ecx
  attempt "aam 0", db 0xd4, 0
  attempt "ud2", ud2
  attempt "ud2 under a prefix", db 0x66, 0x0f, 0x0b
  attempt "lock on a register", db 0xf0, 0x01, 0xc0
  attempt "load of cs", db 0x8e, 0xc8
  attempt "instruction of 16 bytes", db 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x90
  mov eax, cr0
  or eax, 1 << 3
  mov cr0, eax
  attempt "fpu instruction after a task switch", fnop
  clts
  mov eax, cr0
  or eax, 1 << 2
  mov cr0, eax
  attempt "fpu instruction under emulation", fnop
  mov eax, cr0
  and eax, ~(1 << 2)
  mov cr0, eax
  attempt "lea of a register", db 0x8d, 0xc0
  attempt "int3", int3
  attempt "into without overflow", into
  mov al, 0x7f
  add al, 1
  attempt "into", into
  mov eax, 5
  attempt "bound inside", bound eax, [.bounds]
  mov eax, 11
  attempt "bound above", bound eax, [.bounds]
  mov eax, -1
  attempt "bound below", bound eax, [.bounds]
  attempt "int 6 has no error code", int 6
  attempt "int through an empty entry", int 0x70
  gate 0x70, fault_entries, 0x0e
  attempt "int through a gate not present", int 0x70
  gate 0x70, fault_entries, INTERRUPT_GATE, 0
  attempt "int through a gate with null cs", int 0x70
  gate 0x70, fault_entries, INTERRUPT_GATE, DATA
  attempt "int through a gate to data", int 0x70
  gate 0x70, fault_entries, INTERRUPT_GATE, 0x400
  attempt "int through a gate beyond the gdt", int 0x70
  mov word [idt_pointer], 0x30 * 8 - 1
  lidt [idt_pointer]
  attempt "int beyond the idt limit", int 0x30
  ret

[section .rodata]
.bounds: dd 0, 10
