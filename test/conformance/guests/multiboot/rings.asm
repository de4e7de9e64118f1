; Ring 3 and back in 32-bit mode: IRET outward, gates inward with the TSS's stack, call gates with parameters, privileges.
%define MODE 32
%include "start.inc"

%define CALL_GATE SPARE
%define CALL_GATE0 (SPARE + 8)

main:
  gate 0x80, by_interrupt, USER_INTERRUPT_GATE
  gate 0x82, by_interrupt, INTERRUPT_GATE
  mov eax, by_call
  mov [gdt + CALL_GATE], ax
  mov word [gdt + CALL_GATE + 2], CODE32
  mov dword [gdt + CALL_GATE + 4], 0x0000ec02  ; DPL 3, two parameters
  mov [gdt + CALL_GATE0], ax
  mov word [gdt + CALL_GATE0 + 2], CODE32
  mov dword [gdt + CALL_GATE0 + 4], 0x00008c02  ; DPL 0
  shr eax, 16
  mov [gdt + CALL_GATE + 6], ax
  mov [gdt + CALL_GATE0 + 6], ax

  mov [ring0_stack_pointer], esp
  mov eax, USER_DATA
  mov ds, eax
  mov es, eax
  xor eax, eax
  mov fs, eax
  mov eax, DATA
  mov gs, eax  ; lost on the way out: its DPL is 0
  push USER_DATA
  push user_stack
  push 2
  push USER_CODE32
  push .ring3
  iretd
.ring3:
  mov eax, cs
  show16 "ring 3 cs ", ax
  mov eax, ss
  show16 " ss ", ax
  mov eax, gs
  show16 " gs ", ax
  mov eax, esp
  sub eax, user_stack
  show32 " esp-", eax
  print 10

  print "interrupt: "
  int 0x80
  mov eax, esp
  sub eax, user_stack
  show32 " back, esp-", eax
  print 10
  push 0x11111111
  push 0x22222222
  print "call gate: "
  call CALL_GATE:0
  mov eax, esp
  sub eax, user_stack
  show32 " back, esp-", eax
  print 10

  attempt "int through a gate of ring 0", int 0x82
  attempt "call through a gate of ring 0", call CALL_GATE0:0
  attempt "call to code of ring 0", call CODE32:.ring3
  attempt "load of a data segment of ring 0", mov gs, [.data0]
  attempt "stack of ring 0", mov ss, [.data0]
  attempt "cli", cli
  attempt "sti", sti
  attempt "hlt", hlt
  attempt "read of cr0", mov eax, cr0
  attempt "write of cr3", mov cr3, eax
  attempt "clts", clts
  attempt "invlpg", invlpg [main]
  attempt "lgdt", lgdt [gdt_pointer]
  attempt "lidt", lidt [idt_pointer]
  attempt "ltr", ltr ax
  attempt "lmsw", lmsw ax
  attempt "rdmsr", rdmsr
  attempt "wbinvd", wbinvd
  attempt "read of dr7", mov eax, dr7
  attempt "port the map grants", in al, 0x21
  ; POPF at ring 3 keeps IF and IOPL as they are, and faults at nothing.
  push 0x3202
  popfd
  show_flags "flags ", 0x3200
  print 10
  enter_ring0

  ; Take ports away: bit 0x21 of the map, and the map itself.
  mov byte [tss + 104 + 0x21 / 8], 1 << (0x21 % 8)
  enter_ring3 2
  attempt "port the map denies", in al, 0x21
  attempt "word that reaches into it", in ax, 0x20
  attempt "port beside it", in al, 0x22
  enter_ring0
  ret

[section .rodata]
.data0: dw DATA
[section .text]

by_interrupt:
  mov ebp, esp
  mov eax, cs
  show16 "cs ", ax
  mov eax, ss
  show16 " ss ", ax
  mov eax, esp
  sub eax, stack0
  show32 " esp-", eax
  show32 " frame: ss ", [ebp + 16]
  show32 " cs ", [ebp + 4]
  iretd

by_call:
  mov ebp, esp
  mov eax, esp
  sub eax, stack0
  show32 "esp-", eax
  show32 " parameters ", [ebp + 8]
  show32 " ", [ebp + 12]
  show32 " caller's cs ", [ebp + 4]
  show32 " ss ", [ebp + 20]
  retf 8
