; The way into a guest of the benchmark, in 32- or 64-bit mode (MODE): flat segments, 4 KiB pages over the first 32 MiB,
; SSE on, handlers for page faults and interrupt 0x40. Ends the run in the way of QEMU (0xf4), and before it in that of
; Bochs (0x8900); the serial port says what the guest computed.
[section .multiboot align=4]
  align 4
  dd 0x1badb002, 3, -(0x1badb002 + 3)

PAGES equ 8192  ; of 4 KiB
DATA equ 0x10
CODE equ 0x08
%if MODE == 64
CODE64 equ 0x18
%endif

[section .data align=16]
gdt:
  dq 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00af9b000000ffff
gdt_pointer:
  dw 31
  dd gdt, 0
idt_pointer:
  dw 256 * (MODE / 4) - 1
  dd idt, 0

[section .bss align=4096]
alignb 4096
global page_tables
page_tables: resb PAGES * (MODE / 8)
directory: resb 4096
pointers: resb 4096
top: resb 4096
idt: resb 256 * 16
  resb 65536
stack:

[section .text]
bits 32
global start
extern guest_main, on_page_fault, on_interrupt
start:
  cli
  cld
  mov esp, stack
  lgdt [gdt_pointer]
  jmp CODE:.reloaded
.reloaded:
  mov eax, DATA
  mov ds, eax
  mov es, eax
  mov fs, eax
  mov gs, eax
  mov ss, eax
  xor ecx, ecx
  mov eax, 3
.page:
%if MODE == 64
  mov [page_tables + ecx * 8], eax
  mov dword [page_tables + ecx * 8 + 4], 0
%else
  mov [page_tables + ecx * 4], eax
%endif
  add eax, 4096
  inc ecx
  cmp ecx, PAGES
  jne .page
  xor ecx, ecx
  mov eax, page_tables + 3
.table:
%if MODE == 64
  mov [directory + ecx * 8], eax
%else
  mov [directory + ecx * 4], eax
%endif
  add eax, 4096
  inc ecx
  cmp ecx, PAGES / (4096 / (MODE / 8))
  jne .table
%if MODE == 64
  mov dword [pointers], directory + 3
  mov dword [top], pointers + 3
  mov eax, top
%else
  mov eax, directory
%endif
  mov cr3, eax
  mov eax, cr4
  or eax, 0x620  ; PAE, OSFXSR, OSXMMEXCPT
%if MODE == 32
  and eax, ~0x20
%endif
  mov cr4, eax
%if MODE == 64
  mov ecx, 0xc0000080
  rdmsr
  or eax, 0x100
  wrmsr
%endif
  mov eax, cr0
  and eax, ~4
  or eax, 0x80010003
  mov cr0, eax
%if MODE == 64
  jmp CODE64:.long
bits 64
.long:
%endif
%macro gate 2
  mov eax, %2
  mov [idt + %1 * (MODE / 4)], ax
  mov word [idt + %1 * (MODE / 4) + 2], (MODE == 64) * 0x18 + (MODE == 32) * CODE
  mov word [idt + %1 * (MODE / 4) + 4], 0x8e00
  shr eax, 16
  mov [idt + %1 * (MODE / 4) + 6], ax
%endmacro
  gate 14, page_fault
  gate 0x40, interrupt
  lidt [idt_pointer]
  call guest_main
  mov dx, 0x8900
  mov ecx, 8
%if MODE == 64
  mov rsi, shutdown
%else
  mov esi, shutdown
%endif
  rep outsb
  mov al, 0
  out 0xf4, al
.dead:
  hlt
  jmp .dead
shutdown: db "Shutdown"

%if MODE == 64
%macro save 0
  push rax
  push rcx
  push rdx
  push rsi
  push rdi
  push r8
  push r9
  push r10
  push r11
%endmacro
%macro restore 0
  pop r11
  pop r10
  pop r9
  pop r8
  pop rdi
  pop rsi
  pop rdx
  pop rcx
  pop rax
%endmacro
page_fault:
  save
  mov rdi, cr2
  call on_page_fault
  restore
  add rsp, 8
  iretq
interrupt:
  save
  call on_interrupt
  restore
  iretq
%else
page_fault:
  pushad
  mov eax, cr2
  push eax
  call on_page_fault
  add esp, 4
  popad
  add esp, 4
  iretd
interrupt:
  pushad
  call on_interrupt
  popad
  iretd
%endif
