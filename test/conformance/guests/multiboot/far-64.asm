; Far transfers of 64-bit mode: indirect jumps and calls, RETFQ, call gates, IRETQ, compatibility code, and their faults.
%define MODE 64
%include "start.inc"

[section .data]
align 8
far_pointer: dd 0
  dw 0
far_pointer64: dq 0
  dw CODE64
[section .text]

%macro far_target 2
  mov dword [far_pointer], %1
  mov word [far_pointer + 4], %2
%endmacro

main:
  mov rbx, rsp
  far_target .jumped, CODE64
  jmp far dword [far_pointer]
.jumped:
  print "far jump", 10

  far_target .called, CODE64
  mov rbp, rsp
  call far dword [far_pointer]
  cmp rsp, rbp
  sete al
  show8 " returned, stack whole ", al
  print 10

  push CODE64
  push .returned
  retfq
.returned:
  print "retfq", 10
  sub rsp, 24
  push CODE64
  push .popped
  o64 retf 24
.popped:
  cmp rsp, rbx
  sete al
  show8 "retfq 24, stack whole ", al
  print 10

  far_target .compatibility, CODE32
  jmp far dword [far_pointer]
bits 32
.compatibility:
  mov eax, cs
  show16 "compatibility code, cs ", ax
  mov eax, esp
  print 10
  call CODE64:.callee  ; a far call into 64-bit code and back
  print "and back", 10
  jmp CODE64:.long
bits 64
.callee:
  mov eax, cs
  show16 "called from it, cs ", ax
  print " "
  retf
.long:

  pushfq
  pop rdx
  push DATA
  push rbx
  push rdx
  push CODE64
  push .by_iret
  iretq
.by_iret:
  cmp rsp, rbx
  sete al
  show8 "iretq takes the stack too ", al
  print 10

  far_target .jumped, 0
  attempt "jump to null", jmp far dword [far_pointer]
  far_target .jumped, DATA
  attempt "jump to data", jmp far dword [far_pointer]
  far_target .jumped, 0x3f8
  attempt "jump beyond the table", jmp far dword [far_pointer]
  far_target .jumped, USER_CODE64
  attempt "jump to code of ring 3", jmp far dword [far_pointer]
  descriptor SPARE + 16, 0x0000ffff, 0x00af1b00
  far_target .jumped, SPARE + 16
  attempt "jump to code not present", jmp far dword [far_pointer]
  ; A call gate of 16 bytes.
  mov eax, .gated
  mov [gdt + SPARE], ax
  mov word [gdt + SPARE + 2], CODE64
  mov word [gdt + SPARE + 4], 0x8c00
  shr eax, 16
  mov [gdt + SPARE + 6], ax
  mov qword [gdt + SPARE + 8], 0
  far_target 0, SPARE
  call far dword [far_pointer]
  print " returned", 10

  mov word [gdt + SPARE + 2], CODE32
  far_target 0, SPARE
  attempt "gate to 32-bit code", call far dword [far_pointer]
  mov word [gdt + SPARE + 2], CODE64
  mov word [gdt + SPARE + 4], 0x0c00
  attempt "gate not present", call far dword [far_pointer]
  mov rsp, rbx
  ret

.called:
  mov rax, rbp
  sub rax, rsp
  show8 "far call pushed ", al
  retf
.gated:
  print "through the gate"
  retfq
