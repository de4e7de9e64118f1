; The state a multiboot loader hands over: magic, information block, flat protected mode without paging.
%define MODE 32
%include "start.inc"

main:
  show32 "magic ", [multiboot_magic]
  mov ebx, [multiboot_info]
  mov eax, [ebx]
  and eax, 0x45  ; memory, command line, memory map
  show32 " information ", eax
  print 10

  cmp dword [ebx + 4], 600
  setae al
  show8 "at least 600 KiB of lower memory ", al
  cmp dword [ebx + 8], 32 << 10
  setae al
  show8 " at least 32 MiB of upper memory ", al
  print 10

  mov esi, [ebx + 16]
  cmp byte [esi], 0
  setne al
  show8 "command line begins with a word ", al
  print 10

  ; Entries of the memory map begin with their size; 0x100000 must lie in an available one.
  mov esi, [ebx + 48]
  mov edx, [ebx + 44]
  add edx, esi
  xor ecx, ecx
.entry:
  cmp esi, edx
  jae .end
  cmp dword [esi + 20], 1
  jne .skip
  mov eax, [esi + 4]
  cmp eax, 0x100000
  ja .skip
  add eax, [esi + 12]
  cmp eax, 0x100000
  seta cl
  ja .end
.skip:
  add esi, [esi]
  add esi, 4
  jmp .entry
.end:
  show8 "memory map has this image's page ", cl
  print 10

  mov eax, cr0
  and eax, 0x80000001
  show32 "cr0.PG and PE ", eax
  pushfd
  pop eax
  and eax, 0x20200
  show32 " eflags.VM and IF ", eax
  print 10
  ret
