; Real mode from a multiboot entry: a line that rises and falls at once while interrupts are off is served behind STI, HLT.
; The controllers stand at vectors 08H and 70H, as firmware leaves them. The line is moved by pc-testdev.
%define MODE 32
%include "start.inc"

[section .text]
bits 32
main:
  jmp CODE16:protected16 - low_base + 0x8000
back_from_real:
  mov eax, DATA
  mov ds, eax
  mov es, eax
  mov ss, eax
  mov esp, stack - 16
  lidt [idt_pointer]
  show32 "served at 77H: ", [0x9000]
  show32 " after it EIP is behind HLT: ", [0x9004]
  print 10
  done

[section .low]
low_base equ $ - 4
bits 16
protected16:
  mov ax, DATA16
  mov ds, ax
  mov es, ax
  mov ss, ax
  mov eax, cr0
  and al, 0xfe
  mov cr0, eax
  jmp 0:(real - low_base + 0x8000)
real:
  xor ax, ax
  mov ds, ax
  mov ss, ax
  mov sp, 0x7000
  lidt [real_idt - low_base + 0x8000]
  mov dword [0x9000], 0
  mov word [0x77 * 4], handler - low_base + 0x8000
  mov word [0x77 * 4 + 2], 0
  mov al, 0xfb  ; line 15 and the cascade
  out 0x21, al
  mov al, 0x7f
  out 0xa1, al
  mov dx, 0x200f
  mov al, 1
  out dx, al
  xor al, al
  out dx, al
  sti
  hlt
behind:
  cli
  mov eax, cr0
  or al, 1
  mov cr0, eax
  jmp dword CODE32:back_from_real

handler:
  mov bp, sp
  mov ax, [bp]
  sub ax, behind - low_base + 0x8000
  sub ax, 1
  sbb bx, bx  ; all ones if it was behind HLT
  mov [0x9004], bx
  mov word [0x9006], 0
  inc dword [0x9000]
  mov al, 0x20
  out 0xa0, al
  out 0x20, al
  iret
real_idt: dw 0x3ff, 0, 0
[section .text]
