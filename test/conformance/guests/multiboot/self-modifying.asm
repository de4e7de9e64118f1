; Code that changes itself: ahead of itself, in loops, by string instructions, and through another address.
%define MODE 64
%include "start.inc"

ALIAS equ 0x40000000

[section .bss]
alignb 4096
alias_directory: resb 4096
[section .text]

main:
  mov dword [pdpt + 8], alias_directory + (P | W)
  mov dword [alias_directory], P | W | PS

  ; The instruction after a jump, in the line being executed.
  mov ecx, 5
  mov edx, 0
.loop:
  mov byte [.patched + 1], cl
  jmp .patched
.patched:
  mov al, 0
  movzx eax, al
  shl edx, 4
  or edx, eax
  dec ecx
  jnz .loop
  show32 "immediates ", edx
  print 10

  ; The next instruction, without a jump.
  mov ecx, 3
  mov edx, 0
.next:
  mov byte [.at + 2], cl
.at:
  add edx, 0x7f
  shl edx, 4
  dec ecx
  jnz .next
  show32 "next instruction ", edx
  print 10

  ; A routine called before and after each of its lives.
  mov ebx, 0
  call .routine
  show8 "first life ", al
  mov byte [.routine], 0xb4  ; MOV AH
  mov eax, 0
  call .routine
  show16 " second ", ax
  mov dword [.routine], 0xc3c0fec3  ; RET
  mov eax, 0x1234
  call .routine
  show16 " third ", ax
  mov esi, .template
  mov edi, .routine
  mov ecx, .template_end - .template
  rep movsb
  call .routine
  show32 " fourth ", eax
  print 10

  ; A REP STOS over code that comes right behind it.
  mov edi, .erased
  mov ecx, 6
  mov al, 0x90
  mov edx, 1
  rep stosb
.erased:
  mov edx, 2
  nop
  show32 "erased ", edx
  print 10

  ; Through another address: CPUID serialises, as the manual asks.
  mov ecx, 3
.alias:
  push rcx
  mov [ALIAS + .target + 1], ecx
  mov eax, 0
  cpuid
.target:
  mov eax, 0
  show32 "alias ", eax
  print " "
  pop rcx
  dec ecx
  jnz .alias
  print 10

  ; An instruction that is split over two pages, changed in the second.
  mov edi, split_code + 4096 - 3
  mov byte [rdi], 0xb8  ; MOV EAX, imm32: bytes 1-2 here, 3-4 on the next page
  mov dword [rdi + 1], 0x11223344
  mov byte [rdi + 5], 0xc3
  call rdi
  show32 "split ", eax
  mov word [rdi + 3], 0x5566
  call rdi
  show32 " changed in the second page ", eax
  mov byte [rdi + 1], 0x77
  call rdi
  show32 " in the first ", eax
  print 10
  ret

.routine:
  mov al, 0x55
  ret
  times 12 nop
.template:
  mov eax, 0xfeedface
  ret
.template_end:

[section .bss]
alignb 4096
split_code: resb 8192
