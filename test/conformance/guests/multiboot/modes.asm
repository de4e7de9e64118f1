; All modes in one run: 32-bit protected, long with 64-bit and compatibility code, back to protected, 16-bit, real, and again.
%define MODE 32
%include "start.inc"
%include "long.inc"

%macro show_mode 0
  %if __?BITS?__ == 64
    mov rax, cr0
  %else
    mov eax, cr0
  %endif
  and eax, 0x80000001
  show32 " cr0 ", eax
  mov ecx, EFER
  rdmsr
  and eax, EFER_LME | 1 << 10
  show32 " efer ", eax
  mov eax, cs
  show16 " cs ", ax
  print 10
%endmacro

[section .text]
bits 32
main:
  mov dword [rounds], 2
.round:
  print "protected:"
  show_mode
  call enter_long_mode
bits 64
  print "64-bit:"
  show_mode
  mov rax, 0x1122334455667788
  mov r8, rax
  show64 "r8 ", r8
  print 10
  push CODE32
  push compatibility
  retfq

bits 32
compatibility:
  print "compatibility:"
  show_mode
  mov eax, 5
  db 0x40  ; INC EAX here, a prefix in 64-bit mode
  nop
  show32 "eax ", eax
  print 10
  jmp CODE64:.long_again
bits 64
.long_again:
  mov rax, r8
  show64 "r8 again ", r8
  print 10
  mov [rel jump_back + 4], word CODE32
  jmp far dword [rel jump_back]

bits 32
leave_long_mode:
  mov eax, cr0
  and eax, 0x7fffffff
  mov cr0, eax
  mov ecx, EFER
  rdmsr
  and eax, ~EFER_LME
  wrmsr
  xor eax, eax
  mov cr4, eax
  print "protected again:"
  show_mode
  jmp CODE16:protected16 - low_base + 0x8000
back_from_real:
  mov eax, DATA
  mov ds, eax
  mov es, eax
  mov ss, eax
  mov esp, stack - 16
  lidt [idt_pointer]
  show32 "16-bit protected left ", [0x9000]
  show32 " real mode left ", [0x9004]
  show32 " big segment left ", [0x200000]
  print 10
  dec dword [rounds]
  jnz main.round
  done

[section .data]
jump_back: dd leave_long_mode
  dw 0
rounds: dd 0

[section .low]
low_base equ $ - 4
bits 16
protected16:
  mov ax, DATA16
  mov ds, ax
  mov es, ax
  mov ss, ax
  mov sp, 0x7000
  push word 0x1234
  mov eax, esp
  mov [0x9000], ax
  pop word [0x9002]
  mov eax, cr0
  and al, 0xfe
  mov cr0, eax
  jmp 0:(real - low_base + 0x8000)
real:
  xor ax, ax
  mov ss, ax
  mov sp, 0x7000
  mov ax, 0x0900
  mov ds, ax
  lidt [cs:real_idt - low_base + 0x8000]
  mov word [4], 0xabcd
  mov word [6], cs
  or word [6], 0x8000
  ; A segment's limit outlives the mode it was loaded in.
  cli
  mov eax, cr0
  or al, 1
  mov cr0, eax
  mov bx, DATA
  mov fs, bx
  and al, 0xfe
  mov cr0, eax
  mov ebx, 0x200000
  mov dword [fs:ebx], 0x600dbeef
  or al, 1
  mov cr0, eax
  jmp dword CODE32:back_from_real
real_idt: dw 0x3ff, 0, 0
[section .text]
