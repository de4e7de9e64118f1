; Four-level paging: 2 MiB and 4 KiB pages, aliases up to the highest canonical addresses, accessed and dirty bits.
%define MODE 64
%include "start.inc"

[section .bss]
alignb 4096
high_pdpt: resb 4096
high_directory: resb 4096
high_table: resb 4096
first: resb 4096
second: resb 4096
[section .text]

HIGH equ 0xffffffff80000000  ; -2 GiB: PML4 entry 511, PDPT entry 510
LARGE equ 0xffffffff80200000

%macro show_entry 2
  mov eax, %2
  and eax, A | D
  show8 {%1, " A and D "}, al
  print 10
%endmacro

main:
  mov dword [pml4 + 511 * 8], high_pdpt + (P | W)
  mov dword [high_pdpt + 510 * 8], high_directory + (P | W)
  mov dword [high_directory], high_table + (P | W)
  mov dword [high_directory + 8], P | W | PS
  mov dword [high_table], first + (P | W)
  mov dword [high_table + 8], second + (P | W)
  mov rax, 0x1111222233334444
  mov [first], rax
  mov rbx, HIGH
  show_entry "untouched page:", [high_table]
  show64 "first page ", [rbx]
  print 10
  show_entry "after a read:", [high_table]
  mov byte [rbx + 1], 0xaa
  show_entry "after a write:", [high_table]
  show64 "seen at the other address ", [first]
  print 10
  show_entry "pml4 entry:", [pml4 + 511 * 8]
  show_entry "pointer entry:", [high_pdpt + 510 * 8]
  show_entry "directory entry:", [high_directory]
  mov rdx, LARGE
  show64 "through the large page ", [rdx + first]
  print 10
  show_entry "large page after a read:", [high_directory + 8]
  mov dword [rdx + second], 0x55667788
  show_entry "large page after a write:", [high_directory + 8]
  show64 "second page ", [rbx + 0x1000]
  show64 " across both ", [rbx + 0xffc]
  print 10

  ; Code runs there too, and RIP-relative addresses follow it.
  lea rax, [rdx + .elsewhere]
  call rax
  sub rax, .elsewhere
  show64 "code ran at ", rax
  print 10

  mov dword [high_table + 8], first + (P | W)
  invlpg [rbx + 0x1000]
  show64 "remapped ", [rbx + 0x1000]
  print 10
  mov dword [high_table], 0
  mov rax, cr3
  mov cr3, rax
  attempt "page taken away", mov eax, [rbx]
  ret
.elsewhere:
  lea rax, [rel .elsewhere]
  ret
