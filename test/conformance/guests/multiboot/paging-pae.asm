; PAE paging: four directories, 2 MiB and 4 KiB pages, accessed and dirty bits, the page-directory pointers.
%define MODE 32
%include "start.inc"

[section .bss]
alignb 4096
directories: resb 4 * 4096
table: resb 4096
pointers: resb 4096
first: resb 4096
second: resb 4096
[section .text]

ALIAS equ 0x40000000
LARGE equ 0xc0000000

main:
  mov edi, directories
  mov eax, 0x83
  mov ecx, 32
.identity:
  mov [edi], eax
  add eax, 2 << 20
  add edi, 8
  loop .identity
  mov eax, directories + 1
  mov edi, pointers
  mov ecx, 4
.pointer:
  mov [edi], eax
  add eax, 4096
  add edi, 8
  loop .pointer
  mov dword [directories + 4096], table + 3
  mov dword [directories + 3 * 4096], 0x83
  mov dword [table], first + 3
  mov dword [table + 511 * 8], second + 3
  mov dword [first], 0x11111111
  mov dword [second], 0x22222222
  mov eax, 1 << 5
  mov cr4, eax
  mov eax, pointers
  mov cr3, eax
  mov eax, cr0
  or eax, 1 << 31
  mov cr0, eax

  show32 "first page ", [ALIAS]
  show32 " last page of the table ", [ALIAS + 0x1ff000]
  mov ebx, LARGE
  show32 " through the large page ", [ebx + first]
  print 10
  mov dword [ALIAS + 0x1ff004], 0x55555555
  mov eax, [table]
  and eax, 0x60
  show8 "read page A and D ", al
  mov eax, [table + 511 * 8]
  and eax, 0x60
  show8 " written page ", al
  mov eax, [directories + 3 * 4096]
  and eax, 0x60
  show8 " read large page ", al
  print 10
  show32 "seen at the other address ", [second + 4]
  print 10
  attempt "entry not present", mov eax, [ALIAS + 0x1000]
  attempt "directory entry not present", mov eax, [ALIAS + 0x200000]
  attempt "third directory is empty", mov eax, [0x80000000]

  ; The pointers are read when CR3 is loaded.
  mov dword [pointers + 8], 0
  mov eax, cr3
  mov cr3, eax
  attempt "directory pointer not present", mov eax, [ALIAS]

  mov eax, cr0
  and eax, ~(1 << 31)
  mov cr0, eax
  ret
