// Page faults and interrupts: pages taken away and given back by the handler, software interrupts, changes of CR3.
#define OWN_HANDLERS
#include "guest.h"

static uint8_t area[256 * 4096] __attribute__((aligned(4096)));
static volatile uint32_t faults, interrupts;

static void flush(const void* address) { __asm__ volatile("invlpg (%0)" : : "r"(address) : "memory"); }

void on_page_fault(uintptr_t address) {
  faults++;
  page_tables[address >> 12] |= 1;
  flush((void*)address);
}
void on_interrupt(void) { interrupts++; }

static uint32_t run(void) {
  uint32_t sum = 0;
  for (int round = 0; round < 400; round++) {
    for (uint32_t page = 0; page < 256; page++) {
      page_tables[((uintptr_t)area >> 12) + page] &= ~(entry_t)1;
      flush(area + page * 4096);
    }
    for (uint32_t page = 0; page < 256; page++) {
      volatile uint8_t* at = area + page * 4096 + (page & 63);
      *at = (uint8_t)(*at + page);
      sum = sum * 31 + *at;
    }
    for (int i = 0; i < 500; i++) __asm__ volatile("int $0x40" ::: "memory");
    for (int i = 0; i < 4; i++) {
      uintptr_t top;
      __asm__ volatile("mov %%cr3, %0\n mov %0, %%cr3" : "=r"(top)::"memory");
      for (uint32_t page = 0; page < 256; page++) sum += area[page * 4096];
    }
  }
  return sum + faults + interrupts;
}
