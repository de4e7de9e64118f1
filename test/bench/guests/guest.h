// What a guest of the benchmark has: text on COM1, its page table, and `run`, which main() prints the result of.
#pragma once
#include <stddef.h>
#include <stdint.h>

#if __SIZEOF_POINTER__ == 8
typedef uint64_t entry_t;
#else
typedef uint32_t entry_t;
#endif
extern entry_t page_tables[];  // of the first 32 MiB, identity mapped

/** The work; what it returns is printed, so that nothing of it can be left out. */
static uint32_t run(void);

#ifndef OWN_HANDLERS
void on_page_fault(uintptr_t address) { (void)address; }
void on_interrupt(void) {}
#endif

static inline void out(uint16_t port, uint8_t value) { __asm__ volatile("outb %0, %1" : : "a"(value), "d"(port)); }
/** Until the UART's line status has the bits: 20h room for a byte, 40h all sent. */
static inline void await_line(uint8_t bits) {
  uint8_t status;
  do {
    __asm__ volatile("inb %1, %0" : "=a"(status) : "d"((uint16_t)0x3fd));
  } while ((status & bits) != bits);
}
static inline void put_char(char c) {
  await_line(0x20);
  out(0x3f8, (uint8_t)c);
}

void guest_main(void) {
  out(0x3fb, 0x83), out(0x3f8, 1), out(0x3f9, 0), out(0x3fb, 3);  // 115200 baud, 8 bits
  const uint32_t value = run();
  for (int shift = 28; shift >= 0; shift -= 4) put_char("0123456789abcdef"[value >> shift & 15]);
  put_char('\n');
  await_line(0x60);
}
