; String instructions of 64-bit mode: widths, directions, repeat counts, 32-bit addresses.
%define MODE 64
%include "start.inc"
%include "strings.inc"

main:
  string_width b, "b"
  string_width w, "w"
  string_width d, "d"
  string_width q, "q"

  ; 32-bit addresses use ESI, EDI and ECX; what is written clears the upper halves.
  mov rsi, 0x1111111100000000
  or rsi, source_buffer
  mov rdi, 0x2222222200000000
  or rdi, target_buffer
  mov rcx, 0x3333333300000002
  a32 rep movsb
  sub rsi, source_buffer
  sub rdi, target_buffer
  show64 "32-bit addresses: rsi ", rsi
  show64 " rdi ", rdi
  show64 " rcx ", rcx
  print 10
  mov rax, -1
  mov esi, source_buffer
  lodsd
  shr rax, 32
  show32 "lodsd clears ", eax
  mov rax, -1
  mov esi, source_buffer
  lodsw
  shr rax, 16
  show32 " lodsw keeps ", eax
  print 10
  mov rcx, 0x100000000
  mov eax, 0
.again:
  inc eax
  cmp eax, 3
  je .end
  a32 jecxz .again
.end:
  show32 "jecxz looks at 32 bits ", eax
  mov rcx, 0x100000001
  mov eax, 0
.count:
  inc eax
  a32 loop .count
  show32 " loop with ecx ", eax
  show64 " rcx ", rcx
  print 10
  ret
