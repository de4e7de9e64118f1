; Checks of 64-bit mode that QEMU leaves out: the expectation is the manual's.
%define MODE 64
%include "start.inc"

[section .rodata]
both: dd main
  dw SPARE
[section .text]

main:
  mov rbp, 1 << 47
  attempt "stack-relative address that is not canonical", mov eax, [rbp]
  mov eax, multiboot_magic
  attempt "lock on a move", db 0xf0, 0x89, 0x00
  mov rcx, 1 << 63
  or rcx, pml4
  attempt "cr3 with a bit beyond the address width", mov cr3, rcx
  mov rcx, cr0
  bts rcx, 32
  attempt "cr0 with an upper bit", mov cr0, rcx
  mov rcx, cr4
  and ecx, ~(1 << 5)
  attempt "cr4 without PAE in long mode", mov cr4, rcx
  mov ecx, 0xc0000101  ; GS.base
  xor eax, eax
  mov edx, 0x80000000
  attempt "gs base that is not canonical", wrmsr
  mov ecx, 0xc0000082  ; LSTAR
  attempt "lstar that is not canonical", wrmsr
  mov ecx, EFER
  rdmsr
  and eax, ~EFER_LME
  attempt "efer.LME off while paging", wrmsr

  descriptor SPARE, 0x0000ffff, 0x00ef9b00
  attempt "jump to code with L and D", jmp far dword [both]

  ; Bit 13 of an entry that maps 2 MiB is reserved, and so is bit 7 of a PML4 entry.
  mov dword [page_directory + 40 * 8], (80 << 20) | 0x2000 | P | W | U | PS
  mov dword [pml4 + 8], pdpt + (P | W | U | PS)
  mov ebx, 80 << 20
  mov rcx, 1 << 39
  attempt "read through a reserved bit", mov eax, [rbx]
  attempt "write through a reserved bit", mov [rbx + 8], eax
  attempt "page size in a pml4 entry", mov eax, [rcx + 4]
  attempt "read-modify-write of a missing page", inc dword [rbx + (2 << 20)]
  enter_ring3
  mov ebx, 80 << 20
  attempt "ring 3 reads through a reserved bit", mov eax, [rbx]
  attempt "ring 3 read-modify-write of a missing page", inc dword [rbx + (2 << 20)]
  attempt "ring 3 exchange with a missing page", xchg eax, [rbx + (2 << 20)]
  enter_ring0
  ret
