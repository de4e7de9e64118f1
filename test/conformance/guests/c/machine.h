// machine.h: ports, MSRs, interrupts and the device addresses above 3 GiB, for C guests in 64-bit mode.
#pragma once
#include "guest.h"

struct frame {
  uint64_t rip, cs, rflags, rsp, ss;
};

static inline void out8(uint16_t port, uint8_t value) { __asm__ volatile("outb %0, %1" : : "a"(value), "d"(port)); }
static inline void out16(uint16_t port, uint16_t value) { __asm__ volatile("outw %0, %1" : : "a"(value), "d"(port)); }
static inline uint8_t in8(uint16_t port) {
  uint8_t value;
  __asm__ volatile("inb %1, %0" : "=a"(value) : "d"(port));
  return value;
}
static inline uint64_t rdmsr(uint32_t index) {
  uint32_t low, high;
  __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(index));
  return (uint64_t)high << 32 | low;
}
static inline void wrmsr(uint32_t index, uint64_t value) {
  __asm__ volatile("wrmsr" : : "a"((uint32_t)value), "d"((uint32_t)(value >> 32)), "c"(index) : "memory");
}
static inline uint64_t rdtsc(void) {
  uint32_t low, high;
  __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
  return (uint64_t)high << 32 | low;
}
static inline void cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4]) {
  __asm__ volatile("cpuid" : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3]) : "a"(leaf), "c"(subleaf));
}
static inline void allow_interrupts(void) { __asm__ volatile("sti; nop" : : : "memory"); }
static inline void hold_interrupts(void) { __asm__ volatile("cli" : : : "memory"); }

// Maps 3 to 4 GiB to themselves.
static inline void map_devices(void) {
  static uint64_t directory[512] __attribute__((aligned(4096)));
  uint64_t cr3;
  __asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
  uint64_t* pdpt = (uint64_t*)(*(uint64_t*)cr3 & ~0xfffull);
  for (uint64_t i = 0; i < 512; i++) directory[i] = 0xc0000000 + (i << 21) + 0x83;
  pdpt[3] = (uint64_t)directory | 3;
  __asm__ volatile("mov %0, %%cr3" : : "r"(cr3) : "memory");
}

// One table for all processors.
static struct {
  uint16_t low, selector, kind, middle;
  uint32_t high, zero;
} idt[256] __attribute__((aligned(16)));

static inline void load_idt(void) {
  struct __attribute__((packed)) {
    uint16_t limit;
    uint64_t base;
  } pointer = {sizeof idt - 1, (uint64_t)idt};
  __asm__ volatile("lidt %0" : : "m"(pointer));
}

static inline void handle(uint8_t vector, void* handler) {
  uint64_t address = (uint64_t)handler;
  uint16_t cs;
  __asm__("mov %%cs, %0" : "=r"(cs));
  idt[vector].low = (uint16_t)address;
  idt[vector].selector = cs;
  idt[vector].kind = 0x8e00;
  idt[vector].middle = (uint16_t)(address >> 16);
  idt[vector].high = (uint32_t)(address >> 32);
}

static inline uint32_t apic_read(uint32_t offset) { return *(volatile uint32_t*)(0xfee00000ull + offset); }
static inline void apic_write(uint32_t offset, uint32_t value) {
  *(volatile uint32_t*)(0xfee00000ull + offset) = value;
}
static inline void end_of_interrupt(void) { apic_write(0xb0, 0); }
static inline void mask_8259(void) { out8(0x21, 0xff), out8(0xa1, 0xff); }

static inline void say(const char* text, uint64_t value, int digits) {
  print(text), print(" "), print_hex(value, digits), print("\n");
}
