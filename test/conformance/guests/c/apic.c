// The local APIC in xAPIC mode: priorities, self-interrupts, NMI, timer, errors, and being disabled.
#include "machine.h"

static volatile uint32_t order, count, nmis, in_service;

#define HANDLER(VECTOR)                                                            \
  static __attribute__((interrupt)) void on_##VECTOR(struct frame* frame) {        \
    (void)frame;                                                                   \
    order = order << 8 | 0x##VECTOR;                                               \
    count++;                                                                       \
    in_service = apic_read(0x100 + (0x##VECTOR >> 5) * 16);                         \
    end_of_interrupt();                                                            \
  }
HANDLER(41)
HANDLER(52)
HANDLER(63)
HANDLER(f0)

static __attribute__((interrupt)) void on_nmi(struct frame* frame) {
  (void)frame;
  nmis++;
}

static void send_self(uint8_t vector) { apic_write(0x300, 0x40000u | vector); }

static void show(const char* what) {
  say(what, order, 8);
  order = 0;
}

void guest_main(void) {
  map_devices();
  mask_8259();
  load_idt();
  handle(0x41, on_41), handle(0x52, on_52), handle(0x63, on_63), handle(0xf0, on_f0), handle(2, on_nmi);
  say("id and version, low bytes", (apic_read(0x20) >> 24) << 8 | (apic_read(0x30) & 0xff), 4);
  apic_write(0xf0, 0x1ff);
  apic_write(0x80, 0);

  allow_interrupts();
  send_self(0x41);
  show("one to itself");
  say("in service meanwhile", in_service, 8);
  hold_interrupts();
  send_self(0x41), send_self(0x63), send_self(0x52), send_self(0x52);
  say("requested", (uint64_t)apic_read(0x220) << 32 | apic_read(0x230), 16);
  allow_interrupts();
  show("highest first, twice is once");

  apic_write(0x80, 0x50);
  send_self(0x52), send_self(0x63);
  show("past task priority 5");
  say("processor priority", apic_read(0xa0), 2);
  __asm__ volatile("mov %0, %%cr8" : : "r"(4ull) : "memory");
  show("after CR8 went to 4");
  say("task priority", apic_read(0x80), 2);
  apic_write(0x80, 0);

  apic_write(0x300, 0x400);  // NMI to APIC identity 0
  for (uint64_t start = rdtsc(); nmis == 0 && rdtsc() - start < 100000000;) {
  }
  say("nmis", nmis, 2);
  apic_write(0xe0, 0xffffffff), apic_write(0xd0, 0x02000000);
  apic_write(0x310, 0x03000000), apic_write(0x300, 0x841);  // logical
  show("logical destination 3 of 2");
  apic_write(0x310, 0x05000000), apic_write(0x300, 0x841);
  show("logical destination 5 of 2");
  apic_write(0x310, 0xff000000), apic_write(0x300, 0x41);  // physical broadcast
  show("physical broadcast");

  apic_write(0x3e0, 0xb), apic_write(0x320, 0x000f0), count = 0;
  uint64_t before = rdtsc();
  apic_write(0x380, 0x4000);
  while (count == 0) {
  }
  print(rdtsc() > before ? "one-shot timer came" : "time went back"), print("\n");
  show("one shot");
  say("count left", apic_read(0x390), 8);
  apic_write(0x320, 0x200f0), apic_write(0x380, 0x8000);
  while (count < 4) {
  }
  apic_write(0x320, 0x300f0);
  apic_write(0x380, 0);
  order &= 0xffffff;
  show("periodic, three times");
  hold_interrupts();
  order = 0, count = 0;
  apic_write(0x320, 0x000f0), apic_write(0x380, 0x8000);
  while (count == 0) __asm__ volatile("sti; hlt; cli" : : : "memory");
  show("out of HLT");
  allow_interrupts();

  apic_write(0x280, 0), apic_write(0x280, 0);
  say("no error", apic_read(0x280), 2);
  say("lint0 as firmware leaves it", apic_read(0x350), 5);
  hold_interrupts();
}
