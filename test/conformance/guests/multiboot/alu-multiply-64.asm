; Products, quotients and extensions in 64-bit mode.
%define MODE 64
%define ROUNDS 400
%include "start.inc"
%include "alu.inc"
%include "alu-multiply.inc"

main:
  enter_ring3
  products 8
  products 16
  products 32
  products 64
  wide_products 16
  wide_products 32
  wide_products 64
  quotients 8, {movsx ax, al}
  quotients 16, cwd
  quotients 32, cdq
  quotients 64, cqo
  extensions
  case "movzx 64 from 8", ARITHMETIC, movzx rax, cl
  case "movzx 64 from 16", ARITHMETIC, movzx rax, cx
  case "movsx 64 from 8", ARITHMETIC, movsx rax, cl
  case "movsx 64 from 16", ARITHMETIC, movsx rax, cx
  case "movsxd", ARITHMETIC, movsxd rax, ecx
  case "cdqe", ARITHMETIC, cdqe
  case "cqo", ARITHMETIC, cqo
  case "bswap 64", ARITHMETIC, bswap rdx
  case "mov of 32 bits clears the upper half", ARITHMETIC, mov eax, ecx
  case "mov of 16 bits keeps the rest", ARITHMETIC, mov ax, cx
  case "mov of 8 bits keeps the rest", ARITHMETIC, mov ah, cl
  case "sil is not dh", ARITHMETIC, mov sil, al
  case "lea of 64 bits", ARITHMETIC, lea rax, [rcx + rdx * 4 + 0x12345678]
  case "lea of 32 bits", ARITHMETIC, lea eax, [rcx + rdx * 4 - 1]
  case "lea with 32-bit addresses", ARITHMETIC, lea rax, [ecx + edx * 4 - 1]
  done
