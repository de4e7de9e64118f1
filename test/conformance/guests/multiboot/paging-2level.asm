; Two-level paging: 4 KiB and 4 MiB pages, aliases, accessed and dirty bits, INVLPG.
%define MODE 32
%include "start.inc"

[section .bss]
alignb 4096
directory: resb 4096
table: resb 4096
first: resb 4096
second: resb 4096
[section .text]

ALIAS equ 0x40000000  ; mapped by `table`
LARGE equ 0x80000000  ; a 4 MiB page over this image

%macro show_entry 2
  mov eax, %2
  and eax, 0x60
  show8 {%1, " A and D "}, al
  print 10
%endmacro

main:
  mov edi, directory
  mov eax, 0x83
  mov ecx, 16
.identity:
  mov [edi], eax
  add eax, 4 << 20
  add edi, 4
  loop .identity
  mov dword [directory + (ALIAS >> 20)], table + 3
  mov dword [directory + (LARGE >> 20)], 0x83
  mov dword [table], first + 3
  mov dword [table + 4], second + 3
  mov dword [first], 0x11111111
  mov dword [second], 0x22222222
  mov eax, 1 << 4
  mov cr4, eax
  mov eax, directory
  mov cr3, eax
  mov eax, cr0
  or eax, 1 << 31
  mov cr0, eax

  show_entry "untouched page:", [table]
  show32 "first page ", [ALIAS]
  print 10
  show_entry "after a read:", [table]
  mov dword [ALIAS + 8], 0x33333333
  show_entry "after a write:", [table]
  show32 "seen at the other address ", [first + 8]
  print 10
  show_entry "directory entry of a table:", [directory + (ALIAS >> 20)]
  show32 "second page ", [ALIAS + 0x1000]
  print 10

  ; The change counts once INVLPG has named the page.
  mov dword [table + 4], first + 3
  invlpg [ALIAS + 0x1000]
  show32 "second address on the first page ", [ALIAS + 0x1000]
  print 10
  show32 "across the page boundary ", [ALIAS + 0xffe]
  print 10

  show_entry "large page:", [directory + (LARGE >> 20)]
  mov ebx, LARGE
  show32 "through the large page ", [ebx + first + 8]
  print 10
  show_entry "large page after a read:", [directory + (LARGE >> 20)]
  mov word [ebx + second], 0x4444
  show_entry "large page after a write:", [directory + (LARGE >> 20)]
  show32 "seen at the other address ", [second]
  print 10

  ; Code too is fetched through the tables.
  mov eax, .elsewhere + LARGE
  call eax
  show32 "code ran at ", ebx
  print 10

  mov eax, cr0
  and eax, ~(1 << 31)
  mov cr0, eax
  show32 "paging off again ", [first + 8]
  print 10
  ret
.elsewhere:
  call .next
.next:
  pop ebx
  sub ebx, .next
  ret
