; Segment registers: what may be loaded, and which exception says no.
%define MODE 32
%include "start.inc"

%macro slot 3  ; n, low, high
  descriptor SPARE + (%1) * 8, %2, %3
%endmacro
%define S(n) (SPARE + (n) * 8)

[section .bss]
alignb 8
ldt: resb 16
[section .data]
align 8
pointer: dd 0x12345678
pointer_selector: dw DATA
bad_pointer: dd 0x12345678
bad_selector: dw 0x400
far_code: dd 0
far_selector: dw 0
[section .text]

%macro load 3  ; text, register, selector
  mov eax, %3
  attempt %1, mov %2, ax
%endmacro

%macro far_jump 2  ; text, selector
  mov word [far_selector], %2
  mov dword [far_code], %%there
  attempt %1, jmp far [far_code]
  jmp %%end
%%there:
  print "arrived, cs "
  mov eax, cs
  hex16 ax
  print 10
  jmp CODE32:%%end
%%end:
%endmacro

main:
  slot 0, 0x0000ffff, 0x00cf1300  ; data, not present
  slot 1, 0x0000ffff, 0x00cf9100  ; data, read-only
  slot 2, 0x0000ffff, 0x00cf9900  ; code, execute-only
  slot 3, 0x0000ffff, 0x00cf9b00  ; code, readable
  slot 4, 0x0000ffff, 0x00cf1b00  ; code, not present
  slot 5, 0x0000ffff, 0x00cf9f00  ; code, conforming
  slot 6, 0x0000ffff, 0x00cfff00  ; code, conforming, DPL 3
  slot 7, 0x0000ffff, 0x00cff300  ; data, DPL 3
  slot 8, 0x0000ffff, 0x00008200  ; LDT
  slot 9, 0x0000ffff, 0x00000200  ; LDT, not present

  load "fs null", fs, 0
  load "fs null with rpl 3", fs, 3
  load "ds data", ds, DATA
  load "fs not present", fs, S(0)
  load "fs read-only data", fs, S(1)
  load "fs execute-only code", fs, S(2)
  load "fs readable code", fs, S(3)
  load "fs conforming code", fs, S(5)
  load "fs dpl 3", fs, S(7)
  load "fs rpl 3 of dpl 0", fs, DATA | 3
  load "fs an ldt", fs, S(8)
  load "fs beyond the table", fs, 0x3f8
  load "fs in an ldt that is not there", fs, 4
  load "ss null", ss, 0
  load "ss not present", ss, S(0)
  load "ss read-only", ss, S(1)
  load "ss code", ss, S(3)
  load "ss rpl 3", ss, DATA | 3
  load "ss dpl 3", ss, S(7)
  load "ss beyond the table", ss, 0x3f8

  attempt "les", les ebx, [pointer]
  mov eax, es
  show32 "loaded ", ebx
  show16 " selector ", ax
  print 10
  mov ebx, 0x99
  attempt "lgs beyond the table", lgs ebx, [bad_pointer]
  show32 "untouched ", ebx
  print 10

  far_jump "jump to readable code", S(3)
  far_jump "jump to conforming code", S(5)
  far_jump "jump to conforming code of dpl 3", S(6)
  far_jump "jump to code not present", S(4)
  far_jump "jump to data", DATA
  far_jump "jump to null", 0
  far_jump "jump beyond the table", 0x3f8
  far_jump "jump to dpl 3", USER_CODE32

  mov eax, S(9)
  attempt "lldt not present", lldt ax
  mov eax, DATA
  attempt "lldt of data", lldt ax
  mov dword [ldt], 0x0000ffff
  mov dword [ldt + 4], 0x00cf9300
  mov eax, ldt
  mov word [gdt + S(8)], 15
  mov [gdt + S(8) + 2], ax
  shr eax, 16
  mov [gdt + S(8) + 4], al
  mov eax, S(8)
  attempt "lldt", lldt ax
  load "fs in the ldt", fs, 4
  load "fs beyond the ldt", fs, 0x14
  xor eax, eax
  attempt "lldt null", lldt ax
  load "fs with the ldt gone", fs, 4
  mov eax, TSS
  attempt "ltr busy", ltr ax
  mov eax, DATA
  attempt "ltr of data", ltr ax

  ; Bases: the same linear address through another segment.
  slot 0, 0x0000ffff, 0x00cf9310  ; base 1 MiB
  mov eax, S(0)
  mov gs, eax
  mov dword [pointer], 0xcafe1234
  mov ebx, pointer - 0x100000
  show32 "through a base of 1 MiB ", [gs:ebx]
  print 10
  descriptor S(8), 0x0000ffff, 0x00008200
  far_jump "jump to an ldt", S(8)
  ret
