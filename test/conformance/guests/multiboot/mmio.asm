; Accesses to addresses with nothing behind them, each width and form. What an empty bus reads as is the machine's
; choice (all ones or all zeros), so a read is shown as `open`; what the instruction makes of the value is not.
%define MODE 64
%include "start.inc"

HOLE equ 0xfeb00000

[section .bss]
alignb 4096
hole_directory: resb 4096
buffer: resb 4096
[section .text]

%macro show_open 2  ; text, register
  mov rax, %2
  print %1
  call put_open
%endmacro

main:
  mov dword [pdpt + 3 * 8], hole_directory + (P | W)
  mov dword [hole_directory + 501 * 8], 0xfea00000 | P | W | PS
  mov ebx, HOLE

  mov rcx, -2
  mov cl, [rbx]
  movsx rax, cl
  show_open "byte ", rax
  mov rcx, 0
  mov cx, [rbx + 2]
  movsx rax, cx
  show_open " word ", rax
  mov ecx, [rbx + 4]
  movsxd rax, ecx
  show_open " dword ", rax
  mov rcx, [rbx + 8]
  show_open " qword ", rcx
  print 10
  mov rcx, 0x1122334455667788
  mov cl, [rbx]
  mov rax, rcx
  shr rax, 8
  show64 "byte keeps the rest ", rax
  mov rcx, 0x1122334455667788
  mov cx, [rbx]
  mov rax, rcx
  shr rax, 16
  show64 " word ", rax
  mov rcx, 0x1122334455667788
  mov ecx, [rbx]
  mov rax, rcx
  shr rax, 32
  show64 " dword clears ", rax
  print 10
  movzx eax, byte [rbx]
  shr eax, 8
  show32 "movzx ", eax
  movsx rax, byte [rbx]
  show_open " movsx ", rax
  movsx rax, word [rbx + 6]
  show_open " ", rax
  movsxd rax, dword [rbx]
  show_open " ", rax
  print 10

  mov byte [rbx], 0x12
  mov word [rbx + 2], 0x1234
  mov dword [rbx + 4], 0x12345678
  mov qword [rbx + 8], 0x12345678
  mov rax, 0x1122334455667788
  mov [rbx + 16], al
  mov [rbx + 16], ax
  mov [rbx + 16], eax
  mov [rbx + 16], rax
  mov rcx, [rbx + 16]
  show_open "writes are lost: ", rcx
  print 10

  ; Unaligned, and across pages of the hole.
  mov rcx, [rbx + 0xffc]
  show_open "across a page ", rcx
  mov [rbx + 0xffd], rax
  mov ecx, [rbx + 0x1001]
  movsxd rcx, ecx
  show_open " unaligned ", rcx
  print 10

  ; Arithmetic with memory operands: flags of 0 or -1 agree where this shows them.
  mov eax, 0
  or al, [rbx]
  movsx rax, al
  show_open "or ", rax
  test byte [rbx], 0
  show_flags " test 0 ", ARITHMETIC & ~AF
  mov rcx, 5
  xchg rcx, [rbx]
  show_open " xchg ", rcx
  add dword [rbx + 4], 0
  show_flags " add 0 ", OF | CF
  push qword [rbx + 8]
  pop rcx
  show_open " push ", rcx
  push 7
  pop qword [rbx + 8]
  print 10

  ; String instructions, both ways.
  mov edi, buffer
  mov esi, HOLE
  mov ecx, 16
  rep movsb
  sub edi, buffer
  show32 "movsb from: edi+", edi
  mov rcx, [buffer + 8]
  show_open " ", rcx
  mov edi, buffer
  mov ecx, 8
  rep movsd
  sub edi, buffer
  show32 " movsd edi+", edi
  mov edi, buffer
  mov ecx, 4
  rep movsq
  sub edi, buffer
  sub esi, HOLE
  show32 " movsq edi+", edi
  show32 " esi+", esi
  print 10
  mov edi, HOLE + 0xff0
  mov ecx, 8
  mov eax, 0x01020304
  rep stosd
  sub edi, HOLE
  show32 "stosd across a page: edi+", edi
  mov esi, buffer
  mov edi, HOLE
  mov ecx, 5
  std
  rep movsw
  cld
  mov eax, edi
  sub eax, HOLE
  show32 " movsw down: edi+", eax
  show32 " ecx ", ecx
  mov esi, HOLE
  lodsq
  show_open " lodsq ", rax
  print 10
  ret

; RAX is 0 or -1, whichever an empty bus gives.
put_open:
  test rax, rax
  jz .open
  cmp rax, -1
  je .open
  call put_hex64
  ret
.open:
  print "open"
  ret
