; Timer interrupts through the 8259 in 64-bit mode: HLT wakes, EOI, the mask, the request register, the STI shadow.
%define MODE 64
%include "start.inc"
%include "pic.inc"

[section .bss]
ticks: resd 1
seen_service: resd 1
seen_rip: resq 1
[section .text]

main:
  call pic_start
  gate 0x20, tick, INTERRUPT_GATE
  call pit_start
  mov al, 0xfe
  out 0x21, al
  sti
  mov ecx, 0
.sleep:
  hlt
  inc ecx
  cmp dword [ticks], 5
  jb .sleep
  cli
  cmp ecx, 5
  setbe al
  show8 "no HLT woke without a tick ", al
  show8 " in service inside the handler ", byte [seen_service]
  call in_service
  show8 " after its EOI ", al
  print 10

  ; Masked: the request waits.
  mov al, 0xff
  out 0x21, al
  mov dword [ticks], 0
  call pit_once
  call await_request
  sti
  nop
  nop
  cli
  show32 "ticks while masked ", [ticks]
  mov al, 0xfe
  out 0x21, al
  show32 " with interrupts off ", [ticks]
  sti
  nop
.delivered:
  nop
  cli
  show32 " then ", [ticks]
  print 10

  ; STI lets one more instruction run first.
  call pit_once
  call await_request
  sti
.shadow:
  nop
.after_shadow:
  nop
  cli
  mov rax, [seen_rip]
  sub rax, .shadow
  show8 "delivered after sti+", al
  print 10

  call pit_once
  call await_request
  sti
  cli
  show32 "sti, cli lets none through ", [ticks]
  print 10
  sti
  nop
  nop
  cli

  ; HLT itself may stand in the shadow: the pending request wakes it at once.
  call pit_once
  call await_request
  mov dword [ticks], 0
  sti
  hlt
  cli
  show32 "sti, hlt ", [ticks]
  print 10
  mov al, 0xff
  out 0x21, al
  ret

tick:
  push rax
  inc dword [ticks]
  mov rax, [rsp + 8]
  mov [seen_rip], rax
  call in_service
  mov [seen_service], al
  mov al, 0x20
  out 0x20, al
  pop rax
  iretq
