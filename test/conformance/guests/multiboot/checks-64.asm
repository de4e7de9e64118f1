; Checks of 64-bit mode that QEMU leaves out: the expectation is the manual's.
%define MODE 64
%include "start.inc"

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
  mov edx, 0x8000
  attempt "gs base that is not canonical", wrmsr
  mov ecx, 0xc0000082  ; LSTAR
  attempt "lstar that is not canonical", wrmsr
  mov ecx, EFER
  rdmsr
  and eax, ~EFER_LME
  attempt "efer.LME off while paging", wrmsr
  ret
