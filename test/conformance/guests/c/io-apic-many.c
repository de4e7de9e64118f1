// The I/O APIC before four processors in x2APIC mode: destinations, the trigger mode that each remembers, and an entry that
// its own handler moves. With --cpus 4.
#include "others.h"

static volatile uint32_t arrived, served, by, was_level, lock;
static volatile int moves, started;

static uint32_t io_read(uint32_t index) {
  *(volatile uint32_t*)0xfec00000ull = index;
  return *(volatile uint32_t*)0xfec00010ull;
}
static void io_write(uint32_t index, uint32_t value) {
  *(volatile uint32_t*)0xfec00000ull = index;
  *(volatile uint32_t*)0xfec00010ull = value;
}
static void line(uint8_t level) { out8(0x200e, level); }
static void route(uint32_t destination, uint32_t low) { io_write(0x2d, destination << 24), io_write(0x2c, low); }
static uint32_t trigger_mode(void) { return (uint32_t)(rdmsr(0x818 + (0x85 >> 5)) >> (0x85 & 31) & 1); }

static __attribute__((interrupt)) void on_85(struct frame* frame) {
  (void)frame;
  while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE)) {
  }
  served++;
  by |= 1u << rdmsr(0x802);
  was_level = was_level << 1 | trigger_mode();
  __atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
  line(0);
  if (moves) io_write(0x2d, 1 << 24);
  wrmsr(0x80b, 0);
}

static void extended(void) {
  wrmsr(0x1b, rdmsr(0x1b) | 0x400);
  wrmsr(0x80f, 0x1ff);
}

void second_main(void) {
  load_idt();
  extended();
  __atomic_add_fetch(&arrived, 1, __ATOMIC_ACQ_REL);
  while (!started) __asm__ volatile("pause" : : : "memory");
  for (;;) __asm__ volatile("sti; hlt" : : : "memory");
}

static void show(const char* what, uint32_t times) {
  for (uint64_t start = rdtsc(); served < times && rdtsc() - start < 10000000;) {
  }
  print(what), print(": "), print_decimal(served), print(" by "), print_hex(by, 1), print(" level "), print_hex(was_level, 1);
  print("\n");
  served = by = was_level = 0;
}

void guest_main(void) {
  map_devices();
  mask_8259();
  load_idt();
  handle(0x85, on_85);
  apic_write(0xf0, 0x1ff);
  start_others();
  while (arrived != 3) {
  }
  started = 1;
  extended();
  allow_interrupts();

  route(0, 0x85);
  say("trigger mode before anything", trigger_mode(), 1);
  line(1), line(0);
  show("edge to 0", 1);
  route(0, 0x8085);
  line(1);
  show("level to 0", 1);
  say("trigger mode behind its end", trigger_mode(), 1);
  route(0, 0x85);
  line(1), line(0);
  show("edge to 0 again", 1);
  say("trigger mode behind it", trigger_mode(), 1);

  route(1, 0x8085);
  line(1);
  show("level to 1", 1);
  route(0xd, 0x8885);
  line(1);
  show("level to logical d", 3);
  say("remote IRR", io_read(0x2c) >> 14 & 1, 1);
  route(0xff, 0x85);
  line(1), line(0);
  show("edge to all", 4);
  route(0xf, 0x985);
  line(1), line(0);
  show("edge to the one of lowest priority of all", 1);
  moves = 1;
  route(0, 0x8085);
  line(1);
  show("level to 0, which moves it to 1 meanwhile", 1);
  moves = 0;
  say("remote IRR", io_read(0x2c) >> 14 & 1, 1);
  line(1);
  show("level where it is now", 1);
  hold_interrupts();
}
