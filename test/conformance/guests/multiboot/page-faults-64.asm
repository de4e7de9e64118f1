; Page faults of rings 0 and 3 with four-level tables: present, write, user and fetch bits, WP, NX and CR2.
%define MODE 64
%include "start.inc"

[section .bss]
alignb 4096
directory: resb 4096
table: resb 4096
page: resb 4096
[section .text]

WINDOW equ 0x40000000

%macro entry 3  ; number, low flags, high half
  mov dword [table + (%1) * 8], page + (%2)
  mov dword [table + (%1) * 8 + 4], %3
%endmacro

main:
  mov dword [pdpt + 8], directory + (P | W | U)
  mov dword [directory], table + (P | W | U)
  entry 0, P, 0
  entry 1, P | U, 0
  entry 2, P | W, 0
  entry 3, P | W | U, 0
  entry 4, P | W | U, NX
  entry 5, P | W, NX
  entry 8, P | W | U, 0
  mov byte [page], 0xc3  ; RET
  mov rax, cr0
  or eax, 1 << 16
  mov cr0, rax
  mov ebx, WINDOW

  attempt "ring 0 reads a missing page", mov eax, [rbx + 0x7008]
  attempt "ring 0 writes a missing page", mov [rbx + 0x7008], rax
  attempt "ring 0 runs a missing page", call .call7
  attempt "ring 0 writes a read-only page", mov [rbx + 0x10], rax
  attempt "ring 0 writes a user's read-only page", mov [rbx + 0x1010], rax
  attempt "ring 0 runs a no-execute page", call .call5
  attempt "ring 0 runs a user page", call .call3
  mov rcx, 0x8000000000
  attempt "no pml4 entry", mov eax, [rcx]

  enter_ring3
  mov ebx, WINDOW
  attempt "ring 3 reads a missing page", mov eax, [rbx + 0x7008]
  attempt "ring 3 writes a missing page", mov [rbx + 0x7008], rax
  attempt "ring 3 runs a missing page", call .call7
  attempt "ring 3 reads a supervisor page", mov eax, [rbx + 0x2000]
  attempt "ring 3 writes a supervisor page", mov [rbx + 0x2000], eax
  attempt "ring 3 runs a supervisor page", call .call2
  attempt "ring 3 reads a read-only page", mov eax, [rbx + 0x1000]
  attempt "ring 3 writes a read-only page", mov [rbx + 0x1000], eax
  attempt "ring 3 writes its page", mov [rbx + 0x3010], eax
  attempt "ring 3 runs its page", call .call3
  attempt "ring 3 runs a no-execute page", call .call4
  enter_ring0
  ret

.call2: lea rax, [rbx + 0x2000]
  jmp .discard
.call3: lea rax, [rbx + 0x3000]
  jmp .discard
.call4: lea rax, [rbx + 0x4000]
  jmp .discard
.call5: lea rax, [rbx + 0x5000]
  jmp .discard
.call7: lea rax, [rbx + 0x7000]
.discard:
  jmp rax
