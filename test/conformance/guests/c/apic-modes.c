// Modes of the local APIC (SDM Vol. 3A, 11.4.3 and 11.12), what a timer does when its mode changes, and NMIs. With --cpus 2.
#include "attempt.h"
#include "others.h"

enum { base_msr = 0x1b, enabled = 0x800, extended = 0x400, elsewhere = 0xfed40000 };
static volatile uint32_t count, nmis, in_shadow, go, seen[2];
extern uint8_t behind_sti[];

static __attribute__((interrupt)) void on_50(struct frame* frame) {
  (void)frame;
  count++;
  if (rdmsr(base_msr) & extended)
    wrmsr(0x80b, 0);
  else
    end_of_interrupt();
}
static __attribute__((interrupt)) void on_nmi(struct frame* frame) {
  nmis++;
  if (frame->rip == (uint64_t)behind_sti) in_shadow++;
}

static uint32_t at(uint32_t address) { return *(volatile uint32_t*)(uint64_t)address; }
static uint64_t read_cr8(void) {
  uint64_t value;
  __asm__ volatile("mov %%cr8, %0" : "=r"(value));
  return value;
}
static void write_cr8(uint64_t value) { __asm__ volatile("mov %0, %%cr8" : : "r"(value) : "memory"); }
static void try_msr(const char* what, uint32_t index, uint64_t value) {
  __asm__ volatile(ATTEMPT("wrmsr") : : "c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : LOST);
  show(what);
}
static void show_state(const char* what) {
  uint32_t words[4];
  cpuid(1, 0, words);
  print(what), print(": CPUID "), print(words[3] & 0x200 ? "has" : "lacks"), print(" it");
  print(", its page reads "), print_hex(at(0xfee00030), 8), print("\n");
}

static void modes(void) {
  uint64_t base = rdmsr(base_msr) & ~(uint64_t)(enabled | extended);
  show_state("xAPIC mode");
  try_msr("extended only", base_msr, base | extended);
  try_msr("a reserved bit", base_msr, base | enabled | 1);
  try_msr("an address that is too wide", base_msr, base | enabled | 1ull << 52);
  try_msr("to x2APIC mode", base_msr, base | enabled | extended);
  show_state("x2APIC mode");
  write_cr8(5);
  say("task priority by MSR", rdmsr(0x808), 2);
  write_cr8(0);
  try_msr("identity", 0x802, 1);
  try_msr("ICR with a reserved bit", 0x830, 1ull << 20);
  try_msr("ESR but 0", 0x828, 1);
  try_msr("back to xAPIC mode", base_msr, base | enabled);
  try_msr("off", base_msr, base);
  show_state("off");
  write_cr8(9);
  say("CR8 meanwhile", read_cr8(), 1);
  write_cr8(0);
  try_msr("from off to x2APIC mode", base_msr, base | enabled | extended);
  try_msr("a register of x2APIC mode", 0x808, 0);
  try_msr("on", base_msr, base | enabled);
  say("spurious vector after that", apic_read(0xf0), 3);
  wrmsr(base_msr, (base & 0xfff) | elsewhere | enabled);
  say("version elsewhere, low byte", at(elsewhere + 0x30) & 0xff, 2);
  say("where it was", at(0xfee00030), 8);
  wrmsr(base_msr, base | enabled);
  apic_write(0xf0, 0x1ff);
}

static void wait_ticks(uint32_t from, uint32_t to) {
  for (uint32_t now = apic_read(0x390); now > to && now <= from; now = apic_read(0x390)) {
  }
}

static void timer(void) {
  enum { ticks = 0x40000 };
  apic_write(0x3e0, 0xb), apic_write(0x320, 0x10050);
  apic_write(0x380, ticks);
  wait_ticks(ticks, ticks / 2);
  apic_write(0x320, 0x30050);
  print(apic_read(0x390) <= ticks / 2 ? "to periodic: counts on\n" : "to periodic: begins again\n");
  while (apic_read(0x390) <= ticks / 2) {
  }
  print("and starts over at its end\n");
  wait_ticks(ticks, ticks / 2);
  apic_write(0x320, 0x10050);
  while (apic_read(0x390) != 0) {
  }
  print("to one-shot: ends at 0\n");
  apic_write(0x320, 0x30050);
  say("to periodic after that", apic_read(0x390), 8);
  apic_write(0x320, 0x10050), apic_write(0x380, 0);

  apic_write(0x320, 0x40050);
  count = 0;
  allow_interrupts();
  wrmsr(0x6e0, rdtsc());
  say("a deadline that has passed: interrupts", count, 1);
  say("and the deadline", rdmsr(0x6e0), 1);
  wrmsr(0x6e0, rdtsc() + 3000);
  while (count < 2) {
  }
  print("a deadline to come came\n");
  hold_interrupts();
}

static void x2apic(void) {
  wrmsr(base_msr, rdmsr(base_msr) | extended);
  count = 0;
  allow_interrupts();
  wrmsr(0x830, 0x44050);
  say("ICR to itself: interrupts", count, 1);
  wrmsr(0x83f, 0x50);
  say("self IPI", count, 1);
  wrmsr(0x830, 0xffffffff00004050);
  say("physical broadcast", count, 1);
  wrmsr(0x830, 0x0000000100004850);
  say("logical, cluster 0, member 0", count, 1);
  wrmsr(0x830, 0x0000000200004850);
  say("logical, cluster 0, member 1", count, 1);
  hold_interrupts();
}

void second_main(void) {
  load_idt();
  wrmsr(base_msr, rdmsr(base_msr) | extended);
  wrmsr(0x80f, 0x1ff);
  go = 1;
  while (go < 2) __asm__ volatile("sti\n behind_sti: nop\n nop\n cli" : : : "memory");
  // Each round, this one and the first processor send an NMI to the first.
  for (uint32_t i = 1; go < 3; i++) {
    while (seen[0] != i && go < 3) __asm__ volatile("pause" : : : "memory");
    wrmsr(0x830, 0x4400);
    seen[1] = i;
  }
  for (;;) __asm__ volatile("cli; hlt");
}

static void non_maskable(void) {
  go = 0;
  wrmsr(0x830, 0xc4500), wrmsr(0x830, 0xc4600 | trampoline >> 12);
  while (go == 0) __asm__ volatile("pause" : : : "memory");
  for (uint32_t i = 1; i <= 2000; i++) {
    wrmsr(0x830, 0x100004400);
    while (nmis != i) {
    }
  }
  say("NMIs of the second processor", nmis, 4);
  say("of them behind STI", in_shadow, 4);
  go = 2;
  uint32_t lost = 0;
  for (uint32_t i = 1; i <= 2000; i++) {
    nmis = 0;
    seen[0] = i;
    wrmsr(0x830, 0x4400);
    while (seen[1] != i) __asm__ volatile("pause" : : : "memory");
    if (nmis != 2) lost++;
  }
  go = 3;
  say("rounds that lost one of two NMIs", lost, 4);
}

void guest_main(void) {
  map_devices();
  mask_8259();
  catch_faults();
  handle(0x50, on_50), handle(2, on_nmi);
  apic_write(0xf0, 0x1ff);
  start_others();
  while (go == 0) {
  }
  go = 3;
  modes();
  timer();
  x2apic();
  nmis = 0;
  non_maskable();
}
