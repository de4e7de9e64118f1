// hypervisor.h: a hypervisor of one 64-bit guest, which has the memory, the tables and the segments of its host.
#pragma once
#include "machine.h"

// Fields of the VMCS by encoding (SDM Vol. 3D, appendix B)
enum {
  kVpid = 0x0000,
  kInterruptStatus = 0x0810,
  kMsrBitmap = 0x2004,
  kVirtualApic = 0x2012,
  kAccessPage = 0x2014,
  kPostedDescriptor = 0x2016,
  kEptPointer = 0x201a,
  kEoiExits = 0x201c,
  kVmreadBitmap = 0x2026,
  kVmwriteBitmap = 0x2028,
  kGuestPhysical = 0x2400,
  kLink = 0x2800,
  kGuestEfer = 0x2806,
  kPinBased = 0x4000,
  kPrimary = 0x4002,
  kExit = 0x400c,
  kEntry = 0x4012,
  kTprThreshold = 0x401c,
  kSecondary = 0x401e,
  kError = 0x4400,
  kReason = 0x4402,
  kLength = 0x440c,
  kActivity = 0x4826,
  kQualification = 0x6400,
  kGuestLinear = 0x640a,
  kGuestCr0 = 0x6800,
  kGuestCr3 = 0x6802,
  kGuestCr4 = 0x6804,
  kGuestRsp = 0x681c,
  kGuestRip = 0x681e,
  kGuestFlags = 0x6820
};
// Controls
enum { kExternalInterruptExiting = 1u << 0, kNmiExiting = 1u << 3, kPostedInterrupts = 1u << 7 };
enum { kInvlpgExiting = 1u << 9, kTprShadow = 1u << 21, kUseMsrBitmap = 1u << 28, kSecondaryOn = 1u << 31 };
enum {
  kApicAccesses = 1u << 0,
  kEnableEpt = 1u << 1,
  kX2apicMode = 1u << 4,
  kEnableVpid = 1u << 5,
  kUnrestricted = 1u << 7,
  kInterruptDelivery = 1u << 9,
  kVmcsShadowing = 1u << 14
};
enum { kHostWide = 1u << 9, kAcknowledge = 1u << 15, kSaveEfer = 1u << 20, kLoadHostEfer = 1u << 21 };
enum { kGuestWide = 1u << 9, kLoadGuestEfer = 1u << 15 };
// Exit reasons (appendix C)
enum {
  kInitSignal = 3,
  kStartupIpi = 4,
  kInvlpg = 14,
  kVmcall = 18,
  kVmread = 23,
  kVmwrite = 25,
  kVirtualizedEoi = 45,
  kEptViolation = 48,
  kEptMisconfiguration = 49,
  kApicWrite = 56
};
enum { kNoEntry = 0xffffffff };

static inline uint64_t address(volatile void* of) { return (uint64_t)of; }

/** The arithmetic flags behind VMWRITE or VMREAD: 0, ZF or CF. */
static inline uint64_t try_vmwrite(uint64_t field, uint64_t value) {
  uint64_t flags;
  __asm__ volatile("vmwrite %2, %1\n pushf\n pop %0" : "=r"(flags) : "r"(field), "r"(value) : "cc");
  return flags & 0x8d5;
}
static inline uint64_t try_vmread(uint64_t field, uint64_t* value) {
  uint64_t flags;
  __asm__ volatile("vmread %2, %1\n pushf\n pop %0" : "=r"(flags), "+r"(*value) : "r"(field) : "cc");
  return flags & 0x8d5;
}
static inline void vmwrite(uint64_t field, uint64_t value) { try_vmwrite(field, value); }
static inline uint64_t vmread(uint64_t field) {
  uint64_t value = 0;
  try_vmread(field, &value);
  return value;
}
static inline void set_bits(uint64_t field, uint64_t bits) { vmwrite(field, vmread(field) | bits); }
static inline void clear_bits(uint64_t field, uint64_t bits) { vmwrite(field, vmread(field) & ~bits); }
static inline void vmclear(uint64_t region) { __asm__ volatile("vmclear %0" : : "m"(region) : "cc", "memory"); }
static inline void vmptrld(uint64_t region) { __asm__ volatile("vmptrld %0" : : "m"(region) : "cc", "memory"); }
static inline void vmcall(void) { __asm__ volatile("vmcall" : : : "memory"); }

/** Of the controls that are wanted, what the capability MSR allows, with what it demands. */
static inline uint32_t allowed(uint32_t msr, uint32_t wanted) {
  const uint64_t bits = rdmsr(msr);
  return (wanted | (uint32_t)bits) & (uint32_t)(bits >> 32);
}

// The guest's RAX, RCX, RDX, RBX, RBP, RSI, RDI, R8 to R15 while it does not run.
enum { kRax, kRcx, kRdx, kRbx, kRbp, kRsi, kRdi, kR8, kRegisters = kR8 + 8 };
static uint64_t registers[kRegisters] __attribute__((used));
static uint64_t entry_flags __attribute__((used));  // behind a VMLAUNCH or VMRESUME that failed
#define EXCHANGE(HOW)                                                                                               \
  HOW(0, rax)                                                                                                       \
  HOW(8, rcx) HOW(16, rdx) HOW(24, rbx) HOW(32, rbp) HOW(40, rsi) HOW(48, rdi) HOW(56, r8) HOW(64, r9) HOW(72, r10) \
      HOW(80, r11) HOW(88, r12) HOW(96, r13) HOW(104, r14) HOW(112, r15)
#define LOAD(AT, NAME) "mov registers+" #AT "(%rip), %" #NAME "\n"
#define STORE(AT, NAME) "mov %" #NAME ", registers+" #AT "(%rip)\n"
int run_guest(int resumes);  // 0 behind an exit
__asm__(
    "run_guest:\n push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n push %r15\n"
    "mov $0x6c14, %eax\n vmwrite %rsp, %rax\n lea 2f(%rip), %rcx\n mov $0x6c16, %eax\n vmwrite %rcx, %rax\n"
    "test %edi, %edi\n" EXCHANGE(LOAD)
    "jnz 1f\n vmlaunch\n jmp 3f\n"
    "1: vmresume\n"
    "3: pushf\n popq entry_flags(%rip)\n mov $1, %eax\n jmp 4f\n"
    "2:\n" EXCHANGE(STORE)
    "xor %eax, %eax\n"
    "4: pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n ret\n");

static int launched;
/** Enters the guest, and comes back with the reason of its exit, or kNoEntry. */
static uint32_t enter(void) {
  if (run_guest(launched)) return kNoEntry;
  const uint32_t reason = (uint32_t)vmread(kReason);
  if (reason >> 31 == 0) launched = 1;
  return reason;
}
static inline void skip(void) { vmwrite(kGuestRip, vmread(kGuestRip) + vmread(kLength)); }

/** VMXON, in a region that holds the revision. */
static inline void start_vmx(uint8_t* region) {
  if ((rdmsr(0x3a) & 1) == 0) wrmsr(0x3a, 5);
  uint64_t cr0, cr4, at = address(region);
  __asm__ volatile("mov %%cr0, %0\n mov %%cr4, %1" : "=r"(cr0), "=r"(cr4));
  __asm__ volatile("mov %0, %%cr0\n mov %1, %%cr4" : : "r"(cr0 | 1u << 5), "r"(cr4 | 1u << 13));
  *(uint32_t*)region = (uint32_t)rdmsr(0x480);
  __asm__ volatile("vmxon %0" : : "m"(at) : "cc");
}

static inline void set_segment(unsigned index, uint16_t selector, uint64_t base, uint32_t limit, uint32_t rights) {
  vmwrite(0x0800 + 2 * index, selector);
  vmwrite(0x4800 + 2 * index, limit);
  vmwrite(0x4814 + 2 * index, rights);
  vmwrite(0x6806 + 2 * index, base);
}

/** A fresh VMCS, which becomes current: the guest calls `code` on its stack, and has all that its host has. */
static inline void prepare(uint8_t* region, void (*code)(void), uint64_t* stack_end) {
  uint64_t cr0, cr3, cr4;
  uint16_t cs, ss, tr;
  struct __attribute__((packed)) {
    uint16_t limit;
    uint64_t base;
  } gdt, idt_pointer;
  __asm__ volatile("mov %%cr0, %0\n mov %%cr3, %1\n mov %%cr4, %2" : "=r"(cr0), "=r"(cr3), "=r"(cr4));
  __asm__ volatile("mov %%cs, %0\n mov %%ss, %1\n str %2\n sgdt %3\n sidt %4"
                   : "=r"(cs), "=r"(ss), "=r"(tr), "=m"(gdt), "=m"(idt_pointer));
  if (tr == 0) tr = 0x40;  // a processor that was started without one; entries want one
  const uint64_t* task = (const uint64_t*)(gdt.base + (tr & ~7u));
  const uint64_t task_base = (task[0] >> 16 & 0xffffff) | (task[0] >> 32 & 0xff000000) | task[1] << 32;
  vmclear(address(region));  // it may be the current one
  for (unsigned i = 0; i < 4096; i++) region[i] = 0;
  *(uint32_t*)region = (uint32_t)rdmsr(0x480);
  vmclear(address(region)), vmptrld(address(region));
  launched = 0;
  vmwrite(kPinBased, allowed(0x48d, 0));
  vmwrite(kPrimary, allowed(0x48e, 0));
  vmwrite(kSecondary, 0);
  vmwrite(kExit, allowed(0x48f, kHostWide | kSaveEfer | kLoadHostEfer));
  vmwrite(kEntry, allowed(0x490, kGuestWide | kLoadGuestEfer));
  vmwrite(kLink, ~0ull);
  vmwrite(kGuestCr0, cr0), vmwrite(0x6c00, cr0);
  vmwrite(kGuestCr3, cr3), vmwrite(0x6c02, cr3);
  vmwrite(kGuestCr4, cr4), vmwrite(0x6c04, cr4);
  vmwrite(kGuestEfer, rdmsr(0xc0000080)), vmwrite(0x2c02, rdmsr(0xc0000080));
  for (unsigned index = 0; index < 6; index++) {
    set_segment(index, index == 1 ? cs : ss, 0, 0xffffffff, index == 1 ? 0xa09b : 0xc093);
  }
  set_segment(6, 0, 0, 0, 0x10000), set_segment(7, tr, task_base, 0x67, 0x8b);
  vmwrite(0x6816, gdt.base), vmwrite(0x4810, gdt.limit);
  vmwrite(0x6818, idt_pointer.base), vmwrite(0x4812, idt_pointer.limit);
  vmwrite(0x681a, 0x400);
  vmwrite(kGuestRsp, address(stack_end) - 8);  // as behind a call
  vmwrite(kGuestRip, (uint64_t)code);
  vmwrite(kGuestFlags, 2);
  for (uint64_t field = 0x0c00; field <= 0x0c0a; field += 2) vmwrite(field, 0);
  vmwrite(0x0c02, cs), vmwrite(0x0c04, ss), vmwrite(0x0c0c, tr);
  vmwrite(0x6c0a, task_base), vmwrite(0x6c0c, gdt.base), vmwrite(0x6c0e, idt_pointer.base);
}

// What a guest of this kind prints in the end: how many things were as the manual has them, and each that was not.
static unsigned checks, wrong;
static inline void expect(const char* what, uint64_t of, uint64_t value, uint64_t wanted) {
  checks++;
  if (value == wanted || ++wrong > 20) return;
  print(what), print(" "), print_hex(of, 16), print(": "), print_hex(value, 16), print(", not ");
  print_hex(wanted, 16), print("\n");
}
static inline void conclude(void) {
  print_decimal(checks), print(" checks, "), print_decimal(wrong), print(" wrong\n");
}
