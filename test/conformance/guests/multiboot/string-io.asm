; INS and OUTS: widths, directions, counts of zero, prefixes, and registers afterwards.
%define MODE 32
%include "start.inc"

SCRATCH equ 0x3ff  ; the UART's scratch register
NOBODY equ 0x5f0  ; no device: reads are all ones

[section .bss]
alignb 16
buffer: resb 64
[section .data]
text: db "text by rep outsb", 10
text_end:
pattern: db 1, 2, 3, 4, 5, 6, 7, 0x5a
[section .text]

%macro show_registers 0
  mov eax, esi
  sub eax, pattern
  show32 " esi ", eax
  mov eax, edi
  sub eax, buffer
  show32 " edi ", eax
  show32 " ecx ", ecx
  print 10
%endmacro

main:
  mov esi, text
  mov ecx, text_end - text
  mov edx, COM1
  rep outsb
  show32 "left ", ecx
  print 10

  mov edi, buffer
  mov esi, pattern
  mov edx, SCRATCH
  mov ecx, 8
  rep outsb
  print "last byte stays:"
  show_registers
  mov edi, buffer
  mov ecx, 3
  rep insb
  show32 "read back ", [buffer]
  show_registers

  mov edx, NOBODY
  mov edi, buffer + 8
  mov ecx, 3
  rep insw
  show32 "words of nobody ", [buffer + 8]
  show32 " ", [buffer + 12]
  show_registers
  mov ecx, 2
  rep insd
  print "dwords of nobody"
  show_registers
  mov ecx, 0
  rep insd
  rep outsb
  print "count of zero"
  show_registers

  std
  mov edx, SCRATCH
  mov edi, buffer + 31
  mov ecx, 4
  rep insb
  mov esi, pattern + 7
  mov ecx, 2
  rep outsb
  cld
  print "downward"
  show_registers
  in al, dx
  show8 "scratch ", al
  show32 " bytes ", [buffer + 28]
  print 10

  ; Without REP: one element, ECX untouched.
  mov ecx, 0x77
  insb
  outsb
  print "single"
  show_registers

  ; 16-bit address size: DI and CX count, their upper halves stay.
  mov edx, NOBODY
  mov edi, 0xabcd6000
  mov ecx, 0x12340003
  a16 rep insb
  show32 "16-bit addresses: edi ", edi
  show32 " ecx ", ecx
  show32 " bytes ", [0x6000]
  print 10

  ; Immediate and DX forms of each width.
  mov eax, 0x11223344
  in al, 0x70 + 0x7f
  show32 "in al ", eax
  mov edx, NOBODY
  mov eax, 0
  in ax, dx
  show32 " in ax ", eax
  in eax, dx
  show32 " in eax ", eax
  mov edx, SCRATCH
  mov al, 0xa5
  out dx, al
  mov al, 0
  in al, dx
  show8 " scratch ", al
  print 10
  ret
