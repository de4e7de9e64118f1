; Stack instructions of 32-bit mode: ENTER, LEAVE, PUSHA, POPA, their 16-bit forms, LOOP and JCXZ, XLAT, indirect calls.
%define MODE 32
%include "start.inc"

%macro show_esp 0
  mov eax, esp
  sub eax, ebx
  show32 " esp+", eax
  print 10
%endmacro

%macro frame 2  ; bytes, level
  mov ebx, esp
  mov ebp, OUTER
  enter %1, %2
  mov ecx, ebp
  sub ecx, ebx
  show32 {"enter "}, ecx
  %if %2 > 0
    mov ecx, [ebp - 4 * %2]
    sub ecx, ebx
    show32 " last pointer ", ecx
  %endif
  show_esp
  leave
  cmp ebp, OUTER
  sete al
  show8 "leave ", al
  show_esp
%endmacro

[section .data]
table: db 10, 20, 30, 40
target: dd main.called
outer_frame: dd 0x111, 0x222, 0x333
outer_frame_end:
[section .text]
%define OUTER outer_frame_end

main:
  frame 16, 0
  frame 0, 0

  mov eax, 0xa
  mov ecx, 0xc
  mov edx, 0xd
  mov ebx, 0xb
  mov ebp, 0xeb
  mov esi, 0x51
  mov edi, 0xd1
  pusha
  mov ebp, esp
  show32 "pusha ", [ebp + 28]
  show32 " ", [ebp + 24]
  show32 " ", [ebp + 20]
  show32 " ", [ebp + 16]
  mov eax, [ebp + 12]
  sub eax, esp
  show32 " esp+", eax
  show32 " ", [ebp + 8]
  show32 " ", [ebp + 4]
  show32 " ", [ebp]
  print 10
  mov dword [esp], 0x77
  mov dword [esp + 12], 0  ; POPA passes over ESP
  popa
  show32 "popa edi ", edi
  show32 " eax ", eax
  show32 " ebp ", ebp
  print 10
  mov ebx, esp
  o16 pusha
  show_esp
  o16 popa

  mov ebx, esp
  push esp
  pop eax
  sub eax, ebx
  show32 "push esp ", eax
  push byte -2
  pop eax
  show32 " push of a byte ", eax
  push word 0x1234
  mov eax, esp
  sub eax, ebx
  show32 " push of a word ", eax
  pop ax
  show16 " ", ax
  print 10
  push 0xfeedface
  push 0x01020304
  pop dword [esp]  ; the address is that after the pop
  pop eax
  show32 "pop [esp] ", eax
  mov eax, esp
  push eax
  pop esp
  sub eax, esp
  show32 " pop esp ", eax
  push es
  pop eax
  show16 " push es ", ax
  print 10

  mov ebx, esp
  push 1
  push 2
  push 3
  call .cleans
  show_esp
  call [target]
  mov eax, .called
  call eax
  print 10

  mov ecx, 3
  mov eax, 0
.loop:
  inc eax
  loop .loop
  show32 "loop ", eax
  mov ecx, 5
  mov eax, 0
.loope:
  inc eax
  cmp eax, eax
  loope .loope
  show32 " loope ", eax
  mov ecx, 5
  mov eax, 0
.loopne:
  inc eax
  cmp eax, 3
  loopne .loopne
  show32 " loopne ", eax
  show32 " left ", ecx
  mov ecx, 0x10000
  mov eax, 1
  jcxz .taken
  mov eax, 2
.taken:
  jecxz .not_taken
  add eax, 0x10
.not_taken:
  show32 " jcxz ", eax
  print 10

  mov ebx, table
  mov eax, 0x12345602
  xlat
  show32 "xlat ", eax
  push 0x8d5  ; OF, SF, ZF, AF, PF, CF
  popfd
  show_flags " popf ", ARITHMETIC
  pushfw
  pop ax
  and ax, ARITHMETIC
  show16 " pushf of 16 bits ", ax
  print 10
  frame 16, 1
  frame 16, 3
  ret
.cleans:
  ret 12
.called:
  print "called "
  ret
