; Real mode: interrupts through the vector table, and the faults that come with it.
%include "real.inc"

main:
  vector 0x40, report
  vector 0, divide
  vector 3, report
  vector 4, report
  vector 6, undefined
  sti
  stc
  print "int 40h: "
  stc
  sti
  int 0x40
.after_int:
  show " back, flags ", word [seen_after]
  print 10, "int3: "
  cli
  int3
  print 10, "into: "
  mov al, 0x7f
  add al, 1
  into
  print 10, "into without overflow: "
  xor ax, ax
  into
  print "-", 10, "div: "
  xor cx, cx
.div:
  div cx
  show " resumed, ip+", word [distance]
  print 10, "ud2: "
  ud2
  print 10
  ret

; The frame's IP relative to the caller, and IF, TF as the handler sees them and as they were pushed.
report:
  push bp
  mov bp, sp
  push ax
  pushf
  pop ax
  and ax, 0x300
  show "inside ", ax
  mov ax, [bp + 6]
  and ax, 0x201
  show " pushed ", ax
  mov ax, [bp + 4]
  show " cs ", ax
  mov word [seen_after], 0x1234
  pop ax
  pop bp
  iret

divide:
  push bp
  mov bp, sp
  mov ax, [bp + 2]
  sub ax, main.div
  mov [distance], ax
  add word [bp + 2], 2
  pop bp
  iret

undefined:
  print "vector 6"
  push bp
  mov bp, sp
  add word [bp + 2], 2
  pop bp
  iret

seen_after: dw 0
distance: dw 0
boot_signature
