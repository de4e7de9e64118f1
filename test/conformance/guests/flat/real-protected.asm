; From real mode to 32-bit protected mode and back, twice, and a segment limit that outlives the change.
%include "real.inc"

main:
  mov bp, 2
.round:
  show "real, round ", bp
  lgdt [pointer]
  mov eax, cr0
  or al, 1
  mov cr0, eax
  jmp dword 8:protected
.back:
  xor ax, ax
  mov ds, ax
  mov es, ax
  mov ss, ax
  mov ax, [0x6000]
  show " wrote ", ax
  mov ebx, 0x123456
  fs mov eax, [ebx]
  show " beyond 64 KiB ", ax
  print 10
  dec bp
  jnz .round
  ret

bits 32
protected:
  mov eax, 16
  mov ds, eax
  mov fs, eax
  mov ss, eax
  mov esi, 0x123456
  mov dword [esi], 0xcafe0000
  mov [esi], bp
  lea eax, [esi + ebp * 2]
  mov [0x6000], eax
  mov eax, cr0
  and al, 0xfe
  jmp 24:.narrow
bits 16
.narrow:
  mov cr0, eax
  jmp 0:main.back

align 8
gdt:
  dq 0
  dq 0x00cf9a000000ffff
  dq 0x00cf92000000ffff
  dq 0x00009a000000ffff
pointer:
  dw 31
  dd gdt
boot_signature
