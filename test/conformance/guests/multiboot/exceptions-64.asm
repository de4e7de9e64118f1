; Exceptions of 64-bit mode: instructions that are gone, canonical addresses, gates.
%define MODE 64
%include "start.inc"

main:
  xor edx, edx
  xor ecx, ecx
  attempt "div by zero", div rcx
  mov rax, 1 << 63
  cqo
  dec rcx
  attempt "idiv overflow", idiv rcx
  attempt "ud2", ud2
  attempt "push es", db 0x06
  mov rbx, 1 << 47
  attempt "read of an address that is not canonical", mov eax, [rbx]
  attempt "write to an address that is not canonical", mov [rbx], eax
  mov ax, 0x400
  attempt "ds beyond the gdt", mov ds, ax
  xor eax, eax
  attempt "null ds", mov ds, ax
  attempt "null ss at ring 0", mov ss, ax
  attempt "daa", db 0x27
  attempt "aaa", db 0x37
  attempt "pusha", db 0x60
  attempt "into", db 0xce
  attempt "aad", db 0xd5, 10
  attempt "salc", db 0xd6
  attempt "far call with an immediate", db 0x9a, 0, 0, 0, 0, 0, 0
  attempt "les", db 0xc4, 0x00
  attempt "int3", int3
  gate 0x70, fault_entries, INTERRUPT_GATE, CODE32
  attempt "int through a gate to 32-bit code", int 0x70
  ret
