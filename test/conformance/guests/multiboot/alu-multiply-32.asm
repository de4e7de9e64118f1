; Products, quotients and extensions in 32-bit mode.
%define MODE 32
%define ROUNDS 200
%include "start.inc"
%include "alu.inc"
%include "alu-multiply.inc"

main:
  enter_ring3
  products 8
  products 16
  products 32
  wide_products 16
  wide_products 32
  quotients 8, {movsx ax, al}
  quotients 16, cwd
  quotients 32, cdq
  extensions
  done
