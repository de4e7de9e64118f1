; loader.asm: the option ROM that boots Linux in Bochs, which has no loader of kernels: in place of INT 19h it enters the kernel's real-mode
; part, which asks the BIOS for its memory and comes back here (code32_start, "Boot loader hooks" in Linux' boot.rst); then it reads
; the kernel, uncompressed, and the initial file system from the first ATA disk, and enters the kernel by the 64-bit boot protocol.
; Of the caller: ROM_BYTES, SETUP_SEGMENT, STACK, PAGE_TABLES, KERNEL, KERNEL_RUNS, KERNEL_ENTRY, INITRD, INITRD_RUNS. A run is 256 sectors.
bits 16
org 0xd0000

%define ATA_DATA 0x1f0
%define ATA_COUNT 0x1f2
%define ATA_STATUS 0x1f7
%define BUSY 0x80
%define DATA_REQUEST 0x08
%define READ_SECTORS 0x20
%define EFER 0xc0000080

rom:    db 0x55, 0xaa, ROM_BYTES / 512
        push ax
        push ds
        xor ax, ax
        mov ds, ax
        mov word [0x19 * 4], boot - rom
        mov word [0x19 * 4 + 2], cs
        pop ds
        pop ax
        retf

boot:   cli
        mov ax, SETUP_SEGMENT
        mov ds, ax
        mov es, ax
        mov fs, ax
        mov gs, ax
        mov ss, ax
        mov sp, STACK
        jmp SETUP_SEGMENT + 0x20:0

; Flat 32-bit protected mode, paging off; ESI has the boot parameters.
align 16
bits 32
code32: cld
        xor ebx, ebx                            ; the next sector
        mov edi, KERNEL
        mov ebp, KERNEL_RUNS
        call read
        mov edi, INITRD
        mov ebp, INITRD_RUNS
        call read

        lgdt [table]
        mov eax, cr4
        or eax, 1 << 5                          ; PAE
        mov cr4, eax
        mov eax, PAGE_TABLES
        mov cr3, eax
        mov ecx, EFER
        rdmsr
        or eax, 1 << 8                          ; LME
        wrmsr
        mov eax, cr0
        or eax, 1 << 31                         ; PG
        mov cr0, eax
        jmp 0x10:KERNEL_ENTRY

; Reads EBP runs from sector EBX to EDI.
read:   mov edx, ATA_COUNT
        xor eax, eax                            ; 0 is 256 sectors
        out dx, al
        mov eax, ebx
        or eax, 0xe << 28                       ; LBA, the first drive
        mov ecx, 4
.address:
        inc edx
        out dx, al
        shr eax, 8
        loop .address
        inc edx
        mov al, READ_SECTORS
        out dx, al
        mov ah, 0                               ; sectors to come, 256 again
.sector:
        mov edx, ATA_STATUS
.wait:  in al, dx
        test al, BUSY
        jnz .wait
        test al, DATA_REQUEST
        jz .wait
        mov edx, ATA_DATA
        mov ecx, 256
        rep insw
        dec ah
        jnz .sector
        add ebx, 256
        dec ebp
        jnz read
        ret

align 8
table:  dw descriptors.end - descriptors - 1
        dd descriptors
align 8
descriptors:
        dq 0, 0
        dq 0x00af9b000000ffff                   ; 10h: code of 64 bits
        dq 0x00cf93000000ffff                   ; 18h: data
.end:

; Where the kernel's header shall point, for whoever builds the image.
times ROM_BYTES - 8 - ($ - rom) db 0
        dd code32
        db 0, 0, 0
checksum: db 0
