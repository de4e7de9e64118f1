; String instructions of 32-bit mode: widths, directions, repeat counts, overlap, 16-bit addresses, segment overrides.
%define MODE 32
%include "start.inc"
%include "strings.inc"

main:
  string_width b, "b"
  string_width w, "w"
  string_width d, "d"

  ; A copy that overlaps itself repeats a pattern.
  call refill
  mov esi, target_buffer
  mov edi, target_buffer + 3
  mov dword [target_buffer], 0x00030201
  mov ecx, 29
  rep movsb
  call show_string

  ; 16-bit addresses use SI, DI and CX, and leave the upper halves alone.
  mov dword [0x6000], 0x44332211
  mov dword [0x6010], 0
  mov esi, 0x11116000
  mov edi, 0x22226010
  mov ecx, 0x33330003
  a16 rep movsb
  show32 "16-bit addresses: esi ", esi
  show32 " edi ", edi
  show32 " ecx ", ecx
  show32 " bytes ", [0x6010]
  print 10
  mov edi, 0x2222ffff
  mov ecx, 0x33330001
  mov al, 0x99
  a16 rep stosb
  show32 "wraps at 64 KiB: edi ", edi
  print 10

  ; The source's segment can be overridden, the destination's not.
  descriptor SPARE, 0x0000ffff, 0x00cf9310  ; base 1 MiB
  mov eax, SPARE
  mov fs, eax
  mov esi, source_buffer - 0x100000
  mov edi, target_buffer
  fs movsd
  mov eax, [target_buffer]
  cmp eax, [source_buffer]
  sete al
  show8 "from fs ", al
  print 10
  ret
