; SYSCALL and SYSRET: selectors, the saved RIP and flags, the flag mask, and the two ways back.
%define MODE 64
%include "start.inc"

STAR equ 0xc0000081
LSTAR equ 0xc0000082
FMASK equ 0xc0000084

%macro write_msr 3  ; msr, high, low
  mov ecx, %1
  mov edx, %2
  mov eax, %3
  wrmsr
%endmacro

main:
  mov [kernel_stack], rsp
  attempt "syscall while it is off", syscall
  mov ecx, EFER
  rdmsr
  or eax, EFER_SCE
  wrmsr
  write_msr STAR, (USER_CODE32 << 16) | CODE64, 0
  write_msr LSTAR, 0, entry
  write_msr FMASK, 0, DF | CF | IF

  enter_ring3 0x3002
  mov rbx, rsp
  mov edi, 0x11
  std
  stc
  syscall
.behind:
  cld
  jc .carry
  print "carry lost", 10
.carry:
  mov eax, ss
  and eax, 3
  show8 "rpl of ss after sysret ", al
  cmp rsp, rbx
  sete al
  show8 " stack whole ", al
  print 10
  mov edi, 0x22
  syscall
  print "second call is over", 10
  attempt "sysret at ring 3", o64 sysret
  done

; RDI names the call; nothing of the stack has changed yet.
entry:
  mov [caller_stack], rsp
  mov rsp, [kernel_stack]
  push r11
  push rcx
  show8 "call ", dil
  mov eax, cs
  show16 " cs ", ax
  mov eax, ss
  show16 " ss ", ax
  pushfq
  pop rax
  and eax, DF | CF | IF
  show16 " masked flags ", ax
  mov rax, r11
  and eax, DF | CF
  show16 " saved flags ", ax
  cmp edi, 0x22
  je .short
  mov rax, rcx
  sub rax, main.behind
  show8 " saved rip off by ", al
.short:
  print 10
  pop rcx
  pop r11
  mov rsp, [caller_stack]
  o64 sysret

[section .bss]
kernel_stack: resq 1
caller_stack: resq 1
