// guest.h: what a C guest has: text on COM1. `guest_main` is called in ring 0 and its return ends the guest.
#pragma once
#include <stddef.h>
#include <stdint.h>

void guest_main(void);

static inline void put_char(char c) {
  uint8_t status;
  do {
    __asm__ volatile("inb %1, %0" : "=a"(status) : "d"((uint16_t)0x3fd));
  } while (!(status & 0x20));
  __asm__ volatile("outb %0, %1" : : "a"(c), "d"((uint16_t)0x3f8));
}

static inline void print(const char* text) {
  while (*text) put_char(*text++);
}

static inline void print_hex(uint64_t value, int digits) {
  while (digits-- > 0) put_char("0123456789abcdef"[value >> (digits * 4) & 15]);
}

static inline void print_decimal(uint32_t value) {
  char text[11];
  char* at = text + sizeof text;
  *--at = 0;
  do {
    *--at = (char)('0' + value % 10);
    value /= 10;
  } while (value);
  print(at);
}
