; When x87, MMX, SSE and AVX instructions fault: control bits, alignment, unmasked exceptions, what state may hold.
%define MODE 64
%include "start.inc"

CR0_MP equ 1 << 1
CR0_EM equ 1 << 2
CR0_TS equ 1 << 3
CR0_NE equ 1 << 5
CR4_OSFXSR equ 1 << 9
CR4_OSXMMEXCPT equ 1 << 10
CR4_OSXSAVE equ 1 << 18

; turn cr, bits on, bits off; clobbers RCX
%macro turn 3
  mov rcx, %1
  or ecx, %2
  and ecx, ~(%3)
  mov %1, rcx
%endmacro

[section .data]
align 64
area: times 1024 db 0
word_zero: dd 0
word_control: dw 0x37b  ; divisions by zero are not masked
word_unmasked: dd 0x1d80  ; MXCSR with the same
word_reserved: dd 0x10000
one: dd 1.0
[section .text]

main:
  print "CR4.OSFXSR clear", 10
  turn cr4, 0, CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE
  turn cr0, CR0_NE | CR0_MP, CR0_EM | CR0_TS
  fninit
  attempt "addps", addps xmm0, xmm1
  attempt "movaps", movaps xmm0, [area]
  attempt "paddb of mmx", paddb mm0, mm1
  attempt "ldmxcsr", ldmxcsr [area]
  attempt "fxsave", fxsave [area]
  attempt "pshufb", pshufb xmm0, xmm1
  attempt "lfence", lfence
  attempt "crc32", crc32 eax, ecx
  emms

  print "CR0.TS set", 10
  turn cr4, CR4_OSFXSR, 0
  turn cr0, CR0_TS, 0
  attempt "fninit", fninit
  attempt "fld1", fld1
  attempt "fwait", fwait
  attempt "paddb of mmx", paddb mm0, mm1
  attempt "addps", addps xmm0, xmm1
  attempt "fxsave", fxsave [area]
  attempt "ldmxcsr", ldmxcsr [area]
  turn cr0, 0, CR0_MP
  attempt "fwait without CR0.MP", fwait

  print "CR0.EM set", 10
  turn cr0, CR0_EM | CR0_MP, CR0_TS
  attempt "fld1", fld1
  attempt "fwait", fwait
  attempt "paddb of mmx", paddb mm0, mm1
  attempt "addps", addps xmm0, xmm1
  attempt "fxsave", fxsave [area]
  turn cr0, 0, CR0_EM

  print "operands", 10
  fninit
  attempt "movaps from 16 bytes aligned", movaps xmm0, [area + 16]
  attempt "movaps from 8 bytes aligned", movaps xmm0, [area + 8]
  attempt "movaps to 8 bytes aligned", movaps [area + 8], xmm0
  attempt "movups", movups xmm0, [area + 1]
  attempt "addps from 4 bytes aligned", addps xmm0, [area + 4]
  attempt "movntdqa from 8 bytes aligned", movntdqa xmm0, [area + 8]
  attempt "addss", addss xmm0, [area + 1]
  attempt "pcmpestri", pcmpestri xmm0, [area + 1], 0
  attempt "fxsave of 8 bytes aligned", fxsave [area + 8]
  attempt "fxrstor of 8 bytes aligned", fxrstor [area + 8]
  attempt "ldmxcsr with a reserved bit", ldmxcsr [word_reserved]
  fxsave [area]
  or dword [area + 24], 0x10000
  attempt "fxrstor with a reserved bit of MXCSR", fxrstor [area]
  attempt "lock addps", db 0xf0, 0x0f, 0x58, 0xc1
  attempt "movhlps with 66", db 0x66, 0x0f, 0x12, 0xc1

  print "unmasked exceptions", 10
  fldcw [word_control]
  fld1
  attempt "x87 division by zero", fdiv dword [word_zero]
  attempt "the next x87 instruction", fld1
  attempt "fwait", fwait
  attempt "mmx", paddb mm0, mm1
  attempt "fnstsw", fnstsw ax
  show16 "ax ", ax
  print 10
  attempt "fnclex", fnclex
  attempt "fld1", fld1
  fninit
  movss xmm0, [one]
  xorps xmm1, xmm1
  ldmxcsr [word_unmasked]
  attempt "divss without CR4.OSXMMEXCPT", divss xmm0, xmm1
  turn cr4, CR4_OSXMMEXCPT, 0
  attempt "divss", divss xmm0, xmm1
  attempt "divss, masked and by one", divss xmm0, [one]
  stmxcsr [area]
  mov eax, [area]
  show32 "mxcsr ", eax
  print 10
  movd ebx, xmm0
  show32 "xmm0 ", ebx
  print 10
  mov dword [area], 0x1f80
  ldmxcsr [area]

  print "CR4.OSXSAVE clear", 10
  xor ecx, ecx
  attempt "xgetbv", xgetbv
  attempt "xsave", xsave [area]
  attempt "vaddps", vaddps xmm0, xmm1, xmm2
  attempt "andn", andn eax, ecx, edx
  turn cr4, CR4_OSXSAVE, 0
  print "CR4.OSXSAVE set", 10
  attempt "vaddps without AVX in XCR0", vaddps xmm0, xmm1, xmm2
  xor ecx, ecx
  attempt "xgetbv 0", xgetbv
  show32 "eax ", eax
  print 10
  mov ecx, 2
  attempt "xgetbv 2", xgetbv
  attempt "xsetbv 2", xsetbv
  xor ecx, ecx
  xor edx, edx
  mov eax, 6
  attempt "xsetbv without x87", xsetbv
  mov eax, 5
  attempt "xsetbv with AVX and no SSE", xsetbv
  mov edx, 0x40000000
  mov eax, 7
  attempt "xsetbv with a bit that does not exist", xsetbv
  xor edx, edx
  attempt "xsetbv 7", xsetbv
  attempt "vaddps", vaddps ymm0, ymm1, ymm2
  attempt "vaddps from 1 byte aligned", vaddps ymm0, ymm1, [area + 1]
  attempt "vmovaps from 16 bytes aligned", vmovaps ymm0, [area + 16]
  attempt "vmovaps from 32 bytes aligned", vmovaps ymm0, [area + 32]
  attempt "66 before VEX", db 0x66, 0xc5, 0xf0, 0x58, 0xc2
  attempt "REX before VEX", db 0x40, 0xc5, 0xf0, 0x58, 0xc2
  attempt "lock before VEX", db 0xf0, 0xc5, 0xf0, 0x58, 0xc2
  attempt "VEX.vvvv where none is", db 0xc5, 0xf0, 0x28, 0xc2
  attempt "VEX.L where there is no 256-bit form", db 0xc5, 0xf4, 0x12, 0xc2
  attempt "gather with one register twice", db 0xc4, 0xe2, 0x71, 0x90, 0x04, 0x08
  turn cr0, CR0_TS, 0
  attempt "vaddps with CR0.TS", vaddps ymm0, ymm1, ymm2
  attempt "xsave with CR0.TS", xsave [area]
  xor ecx, ecx
  attempt "xgetbv with CR0.TS", xgetbv
  turn cr0, 0, CR0_TS

  print "xsave areas", 10
  fld1
  vcmpps ymm0, ymm0, ymm0, 15  ; all ones: every component is in use
  mov eax, 7
  xor edx, edx
  xsave [area]
  mov rax, [area + 512]
  show64 "components ", rax
  print 10
  mov eax, 7
  attempt "xsave of 16 bytes aligned", xsave [area + 16]
  attempt "xrstor", xrstor [area]
  mov byte [area + 520], 1
  attempt "xrstor with XCOMP_BV", xrstor [area]
  mov byte [area + 520], 0
  or byte [area + 512 + 7], 0x20
  attempt "xrstor with a component that does not exist", xrstor [area]
  and byte [area + 512 + 7], 0xdf
  or byte [area + 26], 1
  attempt "xrstor with a reserved bit of MXCSR", xrstor [area]
  mov eax, 1
  attempt "xrstor of x87 alone", xrstor [area]
  and byte [area + 26], 0xfe
  mov eax, 0xd
  xor ecx, ecx
  cpuid
  and eax, 7
  show32 "components that exist, of the first three ", eax
  print 10
  show32 "bytes for what is enabled ", ebx
  print 10
  mov eax, 0xd
  mov ecx, 2
  cpuid
  show32 "bytes of AVX ", eax
  print 10
  show32 "their place ", ebx
  print 10
  enter_ring3
  xor ecx, ecx
  attempt "ring 3 xgetbv", xgetbv
  attempt "ring 3 xsetbv", xsetbv
  mov eax, 7
  xor edx, edx
  attempt "ring 3 xsave", xsave [area]
  enter_ring0
  ret
