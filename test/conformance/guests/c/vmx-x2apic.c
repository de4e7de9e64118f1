// vmx-x2apic.c: a hypervisor whose guest reads and writes each APIC register by MSR, under every combination of the
// controls that concern it and in both modes of the APIC (SDM Vol. 3C, 30.5; Vol. 3A, 11.12).
#include "hypervisor.h"

static uint8_t operation[4096] __attribute__((aligned(4096))), state[4096] __attribute__((aligned(4096)));
static uint8_t bitmap[4096] __attribute__((aligned(4096)));
static volatile uint32_t virtual_apic[1024] __attribute__((aligned(4096)));
static uint64_t stack[2048] __attribute__((aligned(16)));

enum { kId = 2, kTpr = 8, kPpr = 10, kEoi = 11, kEsr = 0x28, kIcr = 0x30, kInitialCount = 0x38, kSelfIpi = 0x3f };
enum { kRegisterVirtualization = 1u << 8, kPattern = 0x12345678 };

static volatile int writes;
static volatile uint32_t msr;
static volatile uint64_t value, refused, resume;
static volatile unsigned taken;

static __attribute__((interrupt)) void on_protection(struct frame* frame, uint64_t error) {
  (void)error;
  refused = 1;
  frame->rip = resume;
}
static __attribute__((interrupt)) void on_interrupt(struct frame* frame) {
  (void)frame;
  taken++;
  wrmsr(0x80b, 0);
}

static void guest(void) {
  for (;;) {
    uint32_t low = (uint32_t)value, high = (uint32_t)(value >> 32);
    refused = 0;
    if (writes) {
      __asm__ volatile("lea 1f(%%rip), %%r11\n mov %%r11, resume(%%rip)\n wrmsr\n1:\n"
                       :
                       : "a"(low), "d"(high), "c"(msr)
                       : "r11", "memory");
    } else {
      __asm__ volatile("lea 1f(%%rip), %%r11\n mov %%r11, resume(%%rip)\n rdmsr\n1:\n"
                       : "+a"(low), "+d"(high)
                       : "c"(msr)
                       : "r11", "memory");
      value = (uint64_t)high << 32 | low;
    }
    vmcall();
  }
}

/** What x2APIC mode has (table 11-6). */
static int readable(unsigned reg) {
  return reg == 2 || reg == 3 || reg == 8 || reg == 10 || reg == 13 || (reg >= 15 && reg <= 0x28) || reg == 0x30 ||
         (reg >= 0x32 && reg <= 0x39) || reg == 0x3e;
}
static int writable(unsigned reg) {
  return reg == 8 || reg == 11 || reg == 15 || reg == 0x28 || reg == 0x30 || (reg >= 0x32 && reg <= 0x38) ||
         reg == 0x3e || reg == 0x3f;
}

static uint32_t run(int write, unsigned reg, uint64_t with) {
  writes = write, msr = 0x800 + reg, value = with;
  return enter();
}

static void try_register(unsigned reg, uint32_t controls, int x2apic) {
  const uint64_t of = (uint64_t)controls << 16 | (uint64_t)x2apic << 12 | reg;
  const int virtualized = (controls & kX2apicMode) != 0;
  volatile uint32_t* const word = &virtual_apic[reg * 4];

  const int read_page = virtualized && (reg == kTpr || (controls & kRegisterVirtualization));
  if (read_page) *word = kPattern;
  uint64_t there = kPattern;
  if (!read_page && x2apic && readable(reg)) there = rdmsr(0x800 + reg);
  expect("read", of, run(0, reg, 0), kVmcall);
  skip();
  expect("read refused", of, refused, !read_page && !(x2apic && readable(reg)));
  // VM entry gives PPR the task priority's class, or all of it (30.1.3).
  const uint64_t mask = reg == kPpr && (controls & kInterruptDelivery) && read_page ? 0 : ~0ull;
  if (!refused) expect("value", of, value & mask, there & mask);

  const int write_page =
      virtualized && (reg == kTpr || ((controls & kInterruptDelivery) && (reg == kEoi || reg == kSelfIpi)));
  uint64_t wanted = 0;
  if (reg == kTpr) wanted = 0x78;
  if (!write_page && x2apic && readable(reg) && writable(reg) && reg != kIcr && reg != kEsr)
    wanted = rdmsr(0x800 + reg);
  if (reg == kIcr) wanted = 0x400f1;  // to itself
  if (write_page) *word = kPattern;
  uint32_t reason = run(1, reg, wanted);
  if (write_page && reg == kSelfIpi) {  // of vector 0
    expect("self-IPI", of, reason, kApicWrite);
    expect("offset", of, vmread(kQualification), 0x3f0);
    reason = enter();
  } else if (reg == kIcr && x2apic) {
    expect("interrupt", of, reason, 1);
    taken = 0;
    allow_interrupts();
    hold_interrupts();
    expect("interrupts", of, taken, 1);
    reason = enter();
  }
  expect("written", of, reason, kVmcall);
  skip();
  expect("write refused", of, refused, !write_page && !(x2apic && writable(reg)));
  if (write_page) expect("page", of, *word, wanted);
  if (!write_page && x2apic && readable(reg) && writable(reg))
    expect("register", of, (uint32_t)rdmsr(0x800 + reg), wanted);
  if (!write_page && x2apic && reg == kTpr) wrmsr(0x808, 0);
  // A bit too many is refused, wherever the register lies.
  if (!write_page && !x2apic) return;
  if (reg != kTpr && reg != kEoi && reg != kSelfIpi) return;
  expect("reserved bit", of, run(1, reg, 0x100), kVmcall);
  skip();
  expect("reserved bit refused", of, refused, 1);
}

void guest_main(void) {
  map_devices(), load_idt();
  handle(13, on_protection), handle(0xf1, on_interrupt);
  start_vmx(operation);
  prepare(state, guest, stack + 2048);
  vmwrite(kPinBased, allowed(0x48d, kExternalInterruptExiting));
  vmwrite(kMsrBitmap, address(bitmap));
  vmwrite(kVirtualApic, address(virtual_apic));
  static const uint32_t combinations[] = {
      0,
      kX2apicMode,
      kX2apicMode | kRegisterVirtualization,
      kX2apicMode | kInterruptDelivery,
      kX2apicMode | kRegisterVirtualization | kInterruptDelivery,
      kRegisterVirtualization | kInterruptDelivery,
  };
  for (int x2apic = 0; x2apic <= 1; x2apic++) {
    for (unsigned i = 0; i < sizeof combinations / sizeof combinations[0]; i++) {
      for (unsigned at = 0; at < 1024; at++) virtual_apic[at] = 0;
      vmwrite(kInterruptStatus, 0);
      wrmsr(0x1b, rdmsr(0x1b) & ~0xc00ull);  // off, and anew
      wrmsr(0x1b, rdmsr(0x1b) | 1u << 11);
      apic_write(0xf0, 0x1ff);
      if (x2apic) wrmsr(0x1b, rdmsr(0x1b) | 1u << 10);
      vmwrite(kPrimary, allowed(0x48e, kTprShadow | kUseMsrBitmap | kSecondaryOn));
      vmwrite(kSecondary, combinations[i]);
      for (unsigned reg = 0; reg < 0x40; reg++) try_register(reg, combinations[i], x2apic);
    }
  }
  conclude();
}
