; Page faults of ring 0 with two-level tables: error codes, CR2 and CR0.WP.
%define MODE 32
%include "start.inc"

[section .bss]
alignb 4096
directory: resb 4096
table: resb 4096
page: resb 4096
[section .text]

WINDOW equ 0x40000000

main:
  mov edi, directory
  mov eax, 0x83
  mov ecx, 16
.identity:
  mov [edi], eax
  add eax, 4 << 20
  add edi, 4
  loop .identity
  mov dword [directory + (WINDOW >> 20)], table + 3
  mov dword [table], page + 1  ; read-only
  mov dword [table + 4], page + 3
  mov eax, 1 << 4
  mov cr4, eax
  mov eax, directory
  mov cr3, eax
  mov eax, cr0
  or eax, 1 << 31
  mov cr0, eax

  attempt "read, no entry", mov eax, [WINDOW + 0x2344]
  attempt "write, no entry", mov [WINDOW + 0x2344], eax
  attempt "read, no directory entry", mov eax, [0x50000123]
  attempt "write, no directory entry", mov byte [0x50000123], 1
  attempt "push through a missing page", push dword [WINDOW + 0x3000]
  attempt "fetch, no entry", jmp WINDOW + 0x2000
  attempt "read across into a missing page", mov eax, [WINDOW + 0x1ffe]
  attempt "read of a read-only page", mov eax, [WINDOW]
  attempt "write to it without WP", mov dword [WINDOW], 0x12345678
  show32 "it arrived ", [page]
  print 10
  mov eax, cr0
  or eax, 1 << 16
  mov cr0, eax
  attempt "write to it with WP", mov [WINDOW + 4], eax
  attempt "exchange with it with WP", xchg [WINDOW + 8], eax

  ; A string instruction stops at the page that is missing, with its registers there.
  mov esi, page
  mov edi, WINDOW + 0x1ff8
  mov ecx, 4
  mov ebx, edi
  attempt "string into a missing page", rep movsd
  sub edi, ebx
  show32 "left in ecx ", ecx
  show32 " moved ", edi
  print 10

  mov eax, cr0
  and eax, ~(1 << 31)
  mov cr0, eax
  ret
