// vmx-interrupts.c: a hypervisor whose guest takes virtual interrupts: each vector under each task priority, by VM
// entry, by CR8, by self-IPI, and one behind another (SDM Vol. 3C, 30.1 and 30.2).
#include "hypervisor.h"

static uint8_t operation[4096] __attribute__((aligned(4096))), state[4096] __attribute__((aligned(4096)));
static uint8_t bitmap[4096] __attribute__((aligned(4096)));
static volatile uint32_t virtual_apic[1024] __attribute__((aligned(4096)));
static uint64_t stack[2048] __attribute__((aligned(16)));

enum { kLowest = 0x20 };
enum { kOpNothing, kOpCr8, kOpSelfIpi };
static volatile int op;
static volatile uint64_t operand;
static volatile unsigned taken;

static __attribute__((interrupt)) void on_interrupt(struct frame* frame) {
  (void)frame;
  taken++;
  wrmsr(0x80b, 0);
}

static void guest(void) {
  allow_interrupts();
  for (;;) {
    if (op == kOpCr8) __asm__ volatile("mov %0, %%cr8" : : "r"(operand) : "memory");
    if (op == kOpSelfIpi) wrmsr(0x83f, operand);
    vmcall();
  }
}

static void request(unsigned vector) { virtual_apic[(0x200 + (vector >> 5) * 16) / 4] |= 1u << (vector & 31); }
static int is_set(unsigned bits, unsigned vector) {
  return virtual_apic[(bits + (vector >> 5) * 16) / 4] >> (vector & 31) & 1;
}

static void try_vector(unsigned vector, unsigned tpr, int how) {
  const uint64_t of = (uint64_t)how << 16 | vector << 8 | tpr;
  const unsigned delivered = vector >> 4 > tpr >> 4;
  op = how, taken = 0;
  vmwrite(kInterruptStatus, how == kOpSelfIpi ? 0 : vector);
  virtual_apic[0x80 / 4] = how == kOpCr8 ? 0xff : tpr;
  operand = how == kOpCr8 ? tpr >> 4 : vector;
  if (how != kOpSelfIpi) request(vector);
  expect("reason", of, enter(), kVmcall);
  skip();
  expect("interrupts", of, taken, delivered);
  expect("status", of, vmread(kInterruptStatus), delivered ? 0 : vector);
  expect("request", of, is_set(0x200, vector), !delivered);
  expect("in service", of, is_set(0x100, vector), 0);
  virtual_apic[(0x200 + (vector >> 5) * 16) / 4] = 0;
}

/** Two that wait: the higher one is taken, and the lower one behind its end of interrupt. */
static void try_pair(unsigned high, unsigned low, int exits) {
  const uint64_t of = (uint64_t)exits << 16 | high << 8 | low;
  op = kOpNothing, taken = 0;
  virtual_apic[0x80 / 4] = 0;
  request(high), request(low);
  vmwrite(kInterruptStatus, high);
  for (unsigned i = 0; i < 2 && exits; i++) {
    expect("reason", of, enter(), kVirtualizedEoi);
    expect("vector", of, vmread(kQualification), i == 0 ? high : low);
  }
  expect("reason", of, enter(), kVmcall);
  skip();
  expect("interrupts", of, taken, 2);
  expect("status", of, vmread(kInterruptStatus), 0);
  expect("requests", of, is_set(0x200, high) | is_set(0x200, low), 0);
}

void guest_main(void) {
  load_idt();
  for (unsigned vector = kLowest; vector < 256; vector++) handle(vector, on_interrupt);
  wrmsr(0x1b, rdmsr(0x1b) | 1u << 10);  // x2APIC mode
  start_vmx(operation);
  prepare(state, guest, stack + 2048);
  vmwrite(kPinBased, allowed(0x48d, kExternalInterruptExiting));
  vmwrite(kPrimary, allowed(0x48e, kTprShadow | kUseMsrBitmap | kSecondaryOn));
  vmwrite(kSecondary, allowed(0x48b, kX2apicMode | kInterruptDelivery));
  vmwrite(kMsrBitmap, address(bitmap));
  vmwrite(kVirtualApic, address(virtual_apic));
  for (unsigned vector = kLowest; vector < 256; vector++) {
    try_vector(vector, 0, kOpSelfIpi);
    for (unsigned tpr = 0; tpr < 256; tpr += 15) {
      try_vector(vector, tpr, kOpNothing);
      try_vector(vector, tpr, kOpCr8);
    }
  }
  for (int exits = 0; exits <= 1; exits++) {
    for (unsigned i = 0; i < 4; i++) vmwrite(kEoiExits + 2 * i, exits ? ~0ull : 0);
    for (unsigned high = kLowest + 1; high < 256; high++) {
      for (unsigned low = kLowest; low < high; low += 7) try_pair(high, low, exits);
    }
  }
  // A halted guest is woken by what waits when it is entered.
  for (unsigned i = 0; i < 4; i++) vmwrite(kEoiExits + 2 * i, 0);
  vmwrite(kActivity, 1);
  try_vector(0xf1, 0, kOpNothing);
  conclude();
}
