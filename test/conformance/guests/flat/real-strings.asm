; Real mode: string instructions, 16-bit wrap-around, segment overrides, REP with CX, LOOP, tables.
%include "real.inc"

main:
  mov si, text
  mov di, 0x6000
  mov cx, 5
  rep movsb
  mov ax, di
  show "di ", ax
  show " cx ", cx
  mov si, 0x6000
  mov byte [0x6005], 0
  print " "
  mov si, 0x6000
  call put_string
  print 10
  std
  mov di, 0x6003
  mov al, '-'
  mov cx, 2
  rep stosb
  cld
  mov si, 0x6000
  call put_string
  mov di, 0x6000
  mov al, 'o'
  mov cx, 9
  repne scasb
  mov ax, di
  show " found behind ", ax
  show " left ", cx
  print 10
  mov si, text
  mov di, text2
  mov cx, 5
  repe cmpsb
  pushf
  pop ax
  and ax, 0x41
  show "differs: flags ", ax
  show " left ", cx
  ; ES:DI wraps within 64 KiB.
  mov ax, 0x2000
  mov es, ax
  mov di, 0xfffe
  mov cx, 4
  mov al, 0x33
  rep stosb
  mov ax, di
  show " di ", ax
  es mov ax, [0xfffe]
  show " ", ax
  es mov ax, [0]
  show " ", ax
  xor ax, ax
  mov es, ax
  print 10
  mov bx, table
  mov al, 2
  xlat
  xor ah, ah
  show "xlat ", ax
  mov cx, 4
  xor ax, ax
.loop:
  add ax, cx
  loop .loop
  show " loop ", ax
  jcxz .zero
  print "never"
.zero:
  mov ecx, 0x10000
  mov eax, 7
  jcxz .taken
  mov ax, 8
.taken:
  show " jcxz ", ax
  mov dx, 0x3f8
  mov si, text
  mov cx, 5
  rep outsb
  print 10
  ret

text: db "hello"
text2: db "helps"
table: db 7, 8, 9
boot_signature
