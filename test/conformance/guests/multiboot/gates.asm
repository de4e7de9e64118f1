; Interrupt and trap gates, IRET in one ring, INT n, and double faults.
%define MODE 32
%include "start.inc"

main:
  gate 0x50, inside, INTERRUPT_GATE
  gate 0x51, inside, TRAP_GATE
  push 0x202 | CF
  popfd
  print "interrupt gate: "
  int 0x50
  call after
  print "trap gate: "
  int 0x51
  call after
  cli
  print "with interrupts off: "
  int 0x51
  call after
  gate 3, inside, TRAP_GATE
  print "int3 as a trap: "
  int3
  call after

  ; IRET takes flags, CS and EIP from the stack.
  pushfd
  or dword [esp], DF | CF
  push CODE32
  push .returned
  iretd
.returned:
  show_flags "iret set flags ", DF | CF
  cld
  print 10
  pushfd
  push DATA
  push .bad
  attempt "iret to data", iretd
.bad:
  add esp, 12
  pushfd
  push 0
  push .bad
  attempt "iret to null", iretd
  add esp, 12

  ; A contributory exception while another is delivered is a double fault.
  gate 0x60, inside, 0x0e
  attempt "gate not present", int 0x60
  mov byte [idt + 11 * 8 + 5], 0x0e
  attempt "not-present gate with its gate not present", int 0x60
  mov byte [idt + 13 * 8 + 5], 0x0e
  attempt "general protection with neither gate", mov ds, [.bad_selector]
  ret

[section .rodata]
.bad_selector: dw 0x3f8
[section .text]

; IF as the handler finds it, and the frame.
inside:
  mov ebp, esp
  pushfd
  pop eax
  and eax, IF
  show16 "IF inside ", ax
  mov eax, [ebp + 8]
  and eax, IF | CF
  show16 " pushed flags ", ax
  show16 " cs ", word [ebp + 4]
  iretd

after:
  show_flags " after ", IF | CF
  print 10
  ret
