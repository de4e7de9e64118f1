; Checks of 32-bit protected mode that QEMU leaves out: the expectation is the manual's.
%define MODE 32
%include "start.inc"

main:
  mov eax, multiboot_magic
  attempt "lock on a move", db 0xf0, 0x89, 0x00
  mov eax, 0x80000000
  attempt "paging without protection", mov cr0, eax
  mov eax, 0x20000001
  attempt "nw without cd", mov cr0, eax
  mov eax, 1 << 30
  attempt "reserved bit of cr4", mov cr4, eax

  ; EXT (bit 0) says that an earlier exception was on its way.
  mov byte [idt + 6 * 8 + 5], 0x0e
  attempt "undefined opcode with its gate not present", ud2
  mov byte [idt + 6 * 8 + 5], 0x8e
  xor eax, eax
  attempt "ltr null", ltr ax

  ; Data limits: 0x0fff bytes at 1 MiB, and above a limit in an expand-down segment.
  descriptor SPARE, 0x00000fff, 0x00409310
  mov eax, SPARE
  mov fs, eax
  attempt "last byte within the limit", mov al, [fs:0xfff]
  attempt "first byte beyond the limit", mov al, [fs:0x1000]
  attempt "dword that ends at the limit", mov eax, [fs:0xffc]
  attempt "dword across the limit", mov eax, [fs:0xffd]
  attempt "dword across the end of 4 GiB", mov eax, [fs:0xfffffffe]
  descriptor SPARE, 0x00000fff, 0x00409710
  mov eax, SPARE
  mov fs, eax
  attempt "expand-down at its limit", mov al, [fs:0xfff]
  attempt "expand-down above its limit", mov al, [fs:0x1000]
  descriptor SPARE, 0x00000fff, 0x00009710
  mov eax, SPARE
  mov fs, eax
  attempt "16-bit expand-down above 64 KiB", mov al, [fs:0x10000]

  ; Types.
  descriptor SPARE, 0x0000ffff, 0x00cf9100
  mov eax, SPARE
  mov fs, eax
  attempt "read of a read-only segment", mov eax, [fs:multiboot_magic]
  attempt "write to a read-only segment", mov [fs:multiboot_magic], eax
  attempt "write through cs", mov [cs:multiboot_magic], eax
  xor eax, eax
  mov fs, eax
  attempt "use of a null fs", mov al, [fs:0]

  ; The stack segment has its own vector.
  descriptor SPARE, 0x00000fff, 0x00c09300
  mov eax, SPARE
  mov ss, eax
  mov ebp, 0x1000000
  attempt "stack-relative beyond the limit", mov eax, [ebp]
  mov eax, DATA
  mov ss, eax
  attempt "int1", db 0xf1
  ret
