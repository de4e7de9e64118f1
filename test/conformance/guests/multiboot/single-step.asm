; The trap flag: one debug exception after each instruction, what interrupts it, and DR6.BS.
%define MODE 64
%include "start.inc"

[section .bss]
steps: resd 1
places: resb 64
[section .text]

main:
  gate 1, step, INTERRUPT_GATE
  mov dword [steps], 0
  pushfq
  or dword [rsp], TF
  popfq
.begin:
  nop
  mov eax, 3
  xor ecx, ecx
.loop:
  dec eax
  jnz .loop
  mov esi, places + 32
  mov edi, places + 40
  mov ecx, 3
  rep movsb  ; one trap after each of its three turns
  pushfq
  and dword [rsp], ~TF
  popfq
  nop
  show32 "steps ", [steps]
  print " at"
  mov esi, places
  mov ebp, [steps]
.place:
  show8 " +", byte [rsi]
  inc esi
  dec ebp
  jnz .place
  print 10
  mov rax, dr6
  and eax, 0x4000
  show32 "dr6.BS ", eax
  print 10

  ; MOV SS holds the trap back for one instruction.
  mov dword [steps], 0
  mov ebx, DATA
  pushfq
  or dword [rsp], TF
  popfq
  mov ss, ebx
  nop
  pushfq
  and dword [rsp], ~TF
  popfq
  show32 "steps around mov ss ", [steps]
  print 10

  ; The handler itself runs untraced, and the flags that it interrupts have TF, but for those that end the tracing.
  show8 "tf pushed ", byte [tf_pushed]
  show8 " tf inside ", byte [tf_inside]
  print 10
  ret

step:
  push rax
  push rbx
  mov ebx, [steps]
  mov rax, [rsp + 16]
  sub rax, main.begin
  mov [places + rbx], al
  inc dword [steps]
  bt dword [rsp + 32], 8
  adc byte [tf_pushed], 0
  pushfq
  bt dword [rsp], 8
  adc byte [tf_inside], 0
  popfq
  pop rbx
  pop rax
  iretq

[section .data]
tf_pushed: db 0
tf_inside: db 0
