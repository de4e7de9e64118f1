; The hello guest: enters 64-bit mode, says so on COM1, and halts with interrupts off.
; Multiboot 1, ELF32. scripts/build-hello assembles it; the binary is shipped beside it.

bits 32

MAGIC equ 0x1badb002
FLAGS equ 2                       ; memory information, please

section .text
align 4
        dd MAGIC, FLAGS, -(MAGIC + FLAGS)

global _start
_start: mov     esp, stack
        mov     esi, [ebx + 8]    ; mem_upper: KiB above 1 MiB
        shr     esi, 10
        inc     esi
        mov     [megabytes], esi

        ; Four levels of page tables: the first 2 MiB, mapped one to one.
        mov     dword [pml4], pdpt + 3
        mov     dword [pdpt], directory + 3
        mov     dword [directory], 0x83
        mov     eax, pml4
        mov     cr3, eax
        mov     eax, cr4
        or      eax, 1 << 5       ; PAE
        mov     cr4, eax
        mov     ecx, 0xc0000080   ; EFER
        rdmsr
        or      eax, 1 << 8       ; LME
        wrmsr
        mov     eax, cr0
        or      eax, 1 << 31      ; PG
        mov     cr0, eax
        lgdt    [gdtr]
        jmp     8:entry64

bits 64
entry64:
        mov     eax, 16
        mov     ds, eax
        mov     ss, eax
        mov     rsi, hello
        call    print

        ; Who runs us, by the hypervisor's signature.
        mov     eax, 1
        cpuid
        bt      ecx, 31
        jnc     .other
        mov     eax, 0x40000000
        cpuid
        mov     rsi, kvm
        cmp     ebx, 'KVMK'
        je      .named
.other: mov     rsi, emulated
.named: call    print

        mov     rsi, mode
        call    print
        mov     eax, [megabytes]
        call    decimal
        mov     rsi, memory
        call    print
        xor     eax, eax
        cpuid
        mov     [vendor], ebx
        mov     [vendor + 4], edx
        mov     [vendor + 8], ecx
        mov     rsi, vendor
        call    print
        cli
        hlt

; Prints the zero-terminated text at RSI.
print:  mov     edx, 0x3fd
.wait:  in      al, dx
        test    al, 0x20          ; transmitter empty
        jz      .wait
        lodsb
        test    al, al
        jz      .done
        mov     edx, 0x3f8
        out     dx, al
        jmp     print
.done:  ret

; Prints EAX in decimal.
decimal:
        mov     edi, digits + 10
        mov     ecx, 10
.next:  xor     edx, edx
        div     ecx
        add     dl, '0'
        dec     edi
        mov     [rdi], dl
        test    eax, eax
        jnz     .next
        mov     rsi, rdi
        jmp     print

section .data
align 8
gdt:    dq      0, 0x00af9a000000ffff, 0x00cf92000000ffff
gdtr:   dw      gdtr - gdt - 1
        dd      gdt
hello:  db      "Hello from a", 0
kvm:    db      " KVM", 0
emulated: db    "n emulated", 0
mode:   db      " guest: 64-bit long mode, ", 0
memory: db      " MiB of memory, a processor that calls itself ", 0
vendor: times 12 db 0
        db      10, 0
digits: times 10 db 0
        db      0

section .bss
align 4096
pml4:   resb    4096
pdpt:   resb    4096
directory: resb 4096
megabytes: resd 1
        resb    1024
stack:
