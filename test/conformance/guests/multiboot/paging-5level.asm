; Five-level paging: entered from four levels, an alias above 48 bits, code there, and where addresses end.
%define MODE 64
%include "start.inc"

[section .bss]
alignb 4096
pml5: resb 4096
high_pml4: resb 4096
high_pdpt: resb 4096
high_directory: resb 4096
word_of_memory: resq 1
[section .text]

CR4_LA57 equ 1 << 12
HIGH equ 0x00ff800000200000  ; PML5 entry 255, PML4 entry 256, directory entry 1

main:
  mov eax, .compatibility
  push CODE32
  push rax
  o64 retf
bits 32
.compatibility:
  mov eax, cr0
  and eax, ~(1 << 31)
  mov cr0, eax
  mov dword [pml5], pml4 + (P | W | U)
  mov eax, cr4
  or eax, CR4_LA57
  mov cr4, eax
  mov eax, pml5
  mov cr3, eax
  mov eax, cr0
  or eax, 1 << 31
  mov cr0, eax
  jmp CODE64:.five
bits 64
.five:
  mov rax, cr4
  shr eax, 12
  and al, 1
  show8 "five levels ", al
  print 10
  mov dword [pml5 + 255 * 8], high_pml4 + (P | W)
  mov dword [high_pml4 + 256 * 8], high_pdpt + (P | W)
  mov dword [high_pdpt], high_directory + (P | W)
  mov dword [high_directory + 8], P | W | PS
  mov rax, 0x1234567890abcdef
  mov [word_of_memory], rax
  mov rbx, HIGH
  show64 "above 48 bits ", [rbx + word_of_memory]
  print 10
  lea rax, [rbx + .elsewhere]
  mov ecx, 3
.again:
  push rcx
  lea rax, [rbx + .elsewhere]
  call rax
  pop rcx
  dec ecx
  jnz .again
  sub rax, .elsewhere
  show64 "code ran at ", rax
  print 10
  mov eax, [pml5 + 255 * 8]
  and eax, A | D
  show8 "pml5 entry: A and D ", al
  print 10

  mov rdx, 0x0000800000000000
  attempt "canonical for five levels only", mov eax, [rdx]
  mov rdx, 0x0100000000000000
  attempt "canonical for none", mov eax, [rdx]
  mov rdx, 0xff00000000000000
  attempt "the lowest of the upper half", mov eax, [rdx]
  mov ecx, 0xc0000101
  mov eax, 0
  mov edx, 0x00800000
  attempt "gs base above 48 bits", wrmsr
  mov rax, cr4
  and eax, ~CR4_LA57
  attempt "LA57 off in 64-bit mode", mov cr4, rax
  ret
.elsewhere:
  lea rax, [rel .elsewhere]
  ret
