; Real mode: segment arithmetic, far calls, stack instructions, 32-bit operands and addresses.
%include "real.inc"

main:
  ; The same byte under two segment:offset names.
  mov ax, 0x1234
  mov ds, ax
  mov byte [0x0010], 0x5a
  mov ax, 0x1000
  mov ds, ax
  mov al, [0x2350]
  xor bx, bx
  mov ds, bx
  xor ah, ah
  show "alias ", ax
  call 0:far_routine
  call far [pointer]
  push word 0x77
  push cs
  push word .behind
  retf
.behind:
  pop ax
  show " retf ", ax
  push cs
  call near far_with_parameters
  mov ax, 1
  mov cx, 2
  mov bp, 5
  mov bx, sp
  pusha
  mov bp, sp
  mov ax, [bp + 14]
  mov dx, [bp + 6]
  sub dx, bx
  show " pusha ", ax
  show " sp ", dx
  popa
  show " bp ", bp
  print 10
  mov eax, 0x12345678
  push eax
  pop dx
  show "eax low ", dx
  pop dx
  show " high ", dx
  mov ebx, 0x7000
  mov ecx, 4
  mov word [ebx + ecx * 4], 0x4321
  mov ax, [0x7010]
  show " sib ", ax
  movzx eax, byte [ebx + 16]
  show " movzx ", ax
  mov bp, 3
  enter 4, 0
  mov ax, bp
  leave
  show " leave ", bp
  lds si, [pointer]
  mov ax, ds
  xor bx, bx
  mov ds, bx
  mov dx, si
  sub dx, far_routine
  show " lds ", ax
  show " ", dx
  print 10
  ret

far_routine:
  pusha
  print " far"
  popa
  retf
far_with_parameters:
  print " near-far"
  retf

pointer: dw far_routine, 0
boot_signature
