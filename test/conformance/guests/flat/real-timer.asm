; Timer interrupts in real mode: the 8259 at vector 8, HLT, EOI, and a masked line.
%include "real.inc"

main:
  mov al, 0x11
  out 0x20, al
  mov al, 8
  out 0x21, al
  mov al, 4
  out 0x21, al
  mov al, 1
  out 0x21, al
  mov al, 0xfe
  out 0x21, al
  vector 8, tick
  mov al, 0x34
  out 0x43, al
  mov al, 0xa9
  out 0x40, al
  mov al, 4
  out 0x40, al
  sti
.sleep:
  hlt
  cmp word [ticks], 3
  jb .sleep
  mov al, 0xff
  out 0x21, al
  print "three ticks", 10
  mov word [ticks], 0
  mov al, 0x0a
  out 0x20, al
.request:
  in al, 0x20
  test al, 1
  jz .request
  nop
  mov ax, [ticks]
  show "masked ", ax
  mov al, 0xfe
  out 0x21, al
.wait:
  cmp word [ticks], 0
  je .wait
  print " unmasked, delivered", 10
  cli
  ret

tick:
  push ax
  inc word [ticks]
  mov al, 0x20
  out 0x20, al
  pop ax
  iret

ticks: dw 0
boot_signature
