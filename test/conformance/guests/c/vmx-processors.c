// vmx-processors.c: what one processor sends to another in VMX operation: posted interrupts, NMI, INIT and startup
// messages (SDM Vol. 3C, 24.8, 26.2 and 30.6).
#include "hypervisor.h"
#include "others.h"

static uint8_t operation[4096] __attribute__((aligned(4096))), state[4096] __attribute__((aligned(4096)));
static uint8_t others_operation[4096] __attribute__((aligned(4096))), bitmap[4096] __attribute__((aligned(4096)));
static volatile uint32_t virtual_apic[1024] __attribute__((aligned(4096)));
static volatile uint64_t posted[8] __attribute__((aligned(64)));
static uint64_t stack[2048] __attribute__((aligned(16)));

enum { kNotification = 0xe0, kStartup = 0x12 };
enum { kNmi = 0x80000202 };
static volatile unsigned stage, taken, nmis;
static volatile uint64_t reason, qualification;
static volatile int went_on;

static __attribute__((interrupt)) void on_interrupt(struct frame* frame) {
  (void)frame;
  taken++;
  wrmsr(0x80b, 0);
}
static __attribute__((interrupt)) void on_nmi(struct frame* frame) {
  (void)frame;
  nmis++;
}

static void await(unsigned number) {
  while (stage != number) __asm__ volatile("pause");
}
static void delay(void) {
  const uint64_t start = rdtsc();
  while (rdtsc() - start < 100000) __asm__ volatile("pause");
}
static void send(uint32_t destination, uint32_t low) { wrmsr(0x830, (uint64_t)destination << 32 | low); }

// The guest of the first processor says that it runs, and waits, halted or not.
enum { kSpin, kSpinForRequest, kHalt };
static volatile int op;
static volatile unsigned vector;
static int requested(void) { return virtual_apic[(0x200 + (vector >> 5) * 16) / 4] >> (vector & 31) & 1; }
static void guest(void) {
  for (;;) {
    hold_interrupts();
    stage = 2;
    if (op == kHalt) {
      __asm__ volatile("sti\n hlt" : : : "memory");
    } else {
      allow_interrupts();
      while (op == kSpin ? taken + nmis == 0 : !requested()) __asm__ volatile("pause");
    }
    vmcall();
  }
}

static void try_posted(int how, unsigned tpr) {
  const uint64_t of = (uint64_t)how << 16 | vector << 8 | tpr;
  const unsigned delivered = vector >> 4 > tpr >> 4;
  op = how, taken = nmis = 0;
  vmwrite(kInterruptStatus, 0);
  virtual_apic[0x80 / 4] = tpr;
  stage = 1;
  expect("reason", of, enter(), kVmcall);
  skip();
  expect("interrupts", of, taken, delivered);
  expect("status", of, vmread(kInterruptStatus), delivered ? 0 : vector);
  expect("outstanding", of, posted[4] & 1, 0);
  expect("requests", of, posted[vector / 64], 0);
  virtual_apic[(0x200 + (vector >> 5) * 16) / 4] = 0;
}

static void post(void) {
  await(2);
  if (vector == 2) {
    send(0, 0x400);
  } else {
    posted[vector / 64] |= 1ull << (vector & 63);
    posted[4] |= 1;
    send(0, kNotification);
  }
}

static void spare_guest(void) {
  for (;;) {
    if (stage == 33) vmcall();
    __asm__ volatile("pause");
  }
}
static void prepare_spare(void) {
  prepare(state, spare_guest, stack + 2048);
  vmwrite(kPrimary, allowed(0x48e, kUseMsrBitmap));
  vmwrite(kMsrBitmap, address(bitmap));
}

static void serve(void);
void second_main(void) {
  load_idt();
  wrmsr(0x1b, rdmsr(0x1b) | 1u << 10);
  wrmsr(0x80f, 0x1ff);
  stage = 10;
  serve();
}
static void serve(void) {
  // Interrupts for the first processor's guest, until it has had enough.
  while (stage != 20) {
    if (stage == 2) post(), stage = 3;
    __asm__ volatile("pause");
  }
  // A guest that waits for a startup message, and then one that does not.
  start_vmx(others_operation);
  prepare_spare();
  vmwrite(kActivity, 3);
  stage = 31;
  reason = enter(), qualification = vmread(kQualification);
  vmwrite(kActivity, 0);
  stage = 32;
  reason = enter();
  skip();
  stage = 34;
  // INIT waits in root operation, ends non-root operation, and comes through behind VMXOFF.
  await(41);
  stage = 42;
  reason = enter();
  stage = 43;
  await(44);
  __asm__ volatile("vmxoff" : : : "cc");
  stage = 45;
  await(46);
  __asm__ volatile("vmxon %0" : : "m"((uint64_t){address(others_operation)}) : "cc");
  stage = 47;
  await(48);
  __asm__ volatile("vmxoff" : : : "cc");
  went_on = 1;
}

void guest_main(void) {
  map_devices(), load_idt();
  for (unsigned one = 0x20; one < 256; one++) handle((uint8_t)one, on_interrupt);
  handle(2, on_nmi);
  start_others();
  await(10);
  wrmsr(0x1b, rdmsr(0x1b) | 1u << 10);
  wrmsr(0x80f, 0x1ff);
  start_vmx(operation);
  prepare(state, guest, stack + 2048);
  vmwrite(kPinBased, allowed(0x48d, kExternalInterruptExiting | kPostedInterrupts));
  vmwrite(kPrimary, allowed(0x48e, kTprShadow | kUseMsrBitmap | kSecondaryOn));
  vmwrite(kSecondary, allowed(0x48b, kX2apicMode | kInterruptDelivery));
  set_bits(kExit, kAcknowledge);
  vmwrite(kMsrBitmap, address(bitmap));
  vmwrite(kVirtualApic, address(virtual_apic));
  vmwrite(0x0002, kNotification);
  vmwrite(kPostedDescriptor, address(posted));
  for (vector = 0x21; vector < 256; vector += 3) {
    for (unsigned tpr = 0; tpr < 256; tpr += 0x30) {
      if (vector >> 4 <= tpr >> 4) {
        try_posted(kSpinForRequest, tpr);
      } else {
        try_posted(kSpin, tpr), try_posted(kHalt, tpr);
      }
    }
  }

  // An NMI for a halted guest goes through its table, or leaves.
  vector = 2, op = kHalt, nmis = 0;
  stage = 1;
  expect("NMI", 0, enter(), kVmcall);
  skip();
  expect("NMIs", 0, nmis, 1);
  set_bits(kPinBased, kNmiExiting);
  stage = 1;
  expect("NMI", 1, enter(), 0);
  expect("information", 1, vmread(0x4404), kNmi);
  expect("activity", 1, vmread(kActivity), 1);
  expect("NMIs", 1, nmis, 1);
  vmclear(address(state));
  __asm__ volatile("vmxoff" : : : "cc");

  stage = 20;
  await(31), delay();
  send(1, 0x4600 | kStartup);
  await(32);
  expect("startup", 0, reason, kStartupIpi);
  expect("vector", 0, qualification, kStartup);
  delay(), send(1, 0x4600 | kStartup), delay();
  expect("stage", 32, stage, 32);
  stage = 33;
  await(34);
  expect("startup of an active guest", 0, reason, kVmcall);
  send(1, 0x4500), delay();
  stage = 41;
  await(43);
  expect("INIT", 0, reason, kInitSignal);
  stage = 44;
  await(45);
  stage = 46;
  await(47);
  send(1, 0x4500), delay();
  expect("stage", 47, stage, 47);
  stage = 48;
  delay();
  expect("went on behind VMXOFF", 0, (uint64_t)went_on, 0);
  conclude();
}
