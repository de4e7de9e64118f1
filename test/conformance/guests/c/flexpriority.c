// flexpriority.c: a hypervisor that counts the exits of guests that move their task priority, with FlexPriority and
// without: one of 64 bits by CR8, one of 32 bits by the memory-mapped register (SDM Vol. 3C, 30.1).
#include "machine.h"

enum { kMoves = 1000, kThreshold = 4 };
enum {
  kLink = 0x2800,
  kPinBased = 0x4000,
  kPrimary = 0x4002,
  kExit = 0x400c,
  kEntry = 0x4012,
  kTprThreshold = 0x401c,
  kSecondary = 0x401e,
  kReason = 0x4402,
  kLength = 0x440c,
  kVirtualApic = 0x2012,
  kAccessPage = 0x2014
};
enum { kCr8Exits = 3u << 19, kTprShadow = 1u << 21, kSecondaryOn = 1u << 31, kApicAccesses = 1u << 0 };

static uint8_t operation[4096] __attribute__((aligned(4096))), state[4096] __attribute__((aligned(4096)));
static uint32_t virtual_apic[1024] __attribute__((aligned(4096)));
static uint8_t access_page[4096] __attribute__((aligned(4096)));
static uint32_t directory[1024] __attribute__((aligned(4096))), table[1024] __attribute__((aligned(4096)));
static uint64_t stack[512] __attribute__((aligned(16)));

static void vmwrite(uint64_t field, uint64_t value) {
  __asm__ volatile("vmwrite %1, %0" : : "r"(field), "r"(value) : "cc");
}
static uint64_t vmread(uint64_t field) {
  uint64_t value;
  __asm__ volatile("vmread %1, %0" : "=r"(value) : "r"(field) : "cc");
  return value;
}
static uint64_t address(volatile void* of) { return (uint64_t)of; }
static uint32_t adjusted(uint32_t msr, uint32_t wanted) {
  const uint64_t allowed = rdmsr(msr);
  return (wanted | (uint32_t)allowed) & (uint32_t)(allowed >> 32);
}

// The guests write kMoves priorities, counting up and around, read each back, and leave by VMCALL.
extern char guest64[], guest32[];
__asm__(
    "guest64: xor %ebx, %ebx\n"
    "1: mov %rbx, %rax\n and $15, %eax\n mov %rax, %cr8\n mov %cr8, %rcx\n inc %ebx\n cmp $1000, %ebx\n jne 1b\n "
    "vmcall\n"
    ".code32\n"
    "guest32: xor %ebx, %ebx\n"
    "1: mov %ebx, %eax\n and $15, %eax\n shl $4, %eax\n mov %eax, 0xfee00080\n mov 0xfee00080, %ecx\n inc %ebx\n"
    "cmp $1000, %ebx\n jne 1b\n vmcall\n"
    ".code64\n");

// Enters the guest, and comes back at its exit. The guest's RAX, RBX and RCX live in `registers` meanwhile.
static volatile uint64_t registers[3] __attribute__((used));
static volatile int failed __attribute__((used));
static void enter(int resumes) {
  __asm__ volatile(
      "push %%rbp\n mov %%rsp, %%rax\n mov $0x6c14, %%ecx\n vmwrite %%rax, %%rcx\n"
      "lea 1f(%%rip), %%rax\n mov $0x6c16, %%ecx\n vmwrite %%rax, %%rcx\n"
      "test %%edi, %%edi\n mov registers(%%rip), %%rax\n mov registers+8(%%rip), %%rbx\n mov registers+16(%%rip), "
      "%%rcx\n"
      "jnz 2f\n vmlaunch\n jmp 3f\n"
      "2: vmresume\n"
      "3: movl $1, failed(%%rip)\n jmp 4f\n"
      "1: mov %%rax, registers(%%rip)\n mov %%rbx, registers+8(%%rip)\n mov %%rcx, registers+16(%%rip)\n"
      "4: pop %%rbp\n"
      : "+D"(resumes)
      :
      : "rax", "rbx", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc");
}

static void segment(unsigned index, uint16_t selector, uint32_t limit, uint32_t rights) {
  vmwrite(0x0800 + 2 * index, selector);
  vmwrite(0x4800 + 2 * index, limit);
  vmwrite(0x4814 + 2 * index, rights);
  vmwrite(0x6806 + 2 * index, 0);
}

static void prepare(int wide, int shadow) {
  uint64_t cr0, cr3, cr4;
  uint16_t cs, ss, tr;
  struct __attribute__((packed)) {
    uint16_t limit;
    uint64_t base;
  } gdt, idt_pointer;
  __asm__ volatile("mov %%cr0, %0\n mov %%cr3, %1\n mov %%cr4, %2" : "=r"(cr0), "=r"(cr3), "=r"(cr4));
  __asm__ volatile("mov %%cs, %0\n mov %%ss, %1\n str %2\n sgdt %3\n sidt %4"
                   : "=r"(cs), "=r"(ss), "=r"(tr), "=m"(gdt), "=m"(idt_pointer));
  uint64_t at = address(state);
  *(uint32_t*)state = (uint32_t)rdmsr(0x480);
  __asm__ volatile("vmclear %0\n vmptrld %0" : : "m"(at) : "cc");
  const uint32_t primary = kSecondaryOn | (shadow ? kTprShadow : kCr8Exits);
  vmwrite(kPinBased, adjusted(0x48d, 0));
  vmwrite(kPrimary, adjusted(0x48e, primary));
  vmwrite(kSecondary, adjusted(0x48b, kApicAccesses));
  vmwrite(kExit, adjusted(0x48f, 1u << 9 | 1u << 20 | 1u << 21));
  vmwrite(kEntry, adjusted(0x490, (wide ? 1u << 9 : 0) | 1u << 15));
  vmwrite(kLink, ~0ull);
  vmwrite(kTprThreshold, shadow ? kThreshold : 0);
  vmwrite(kVirtualApic, address(virtual_apic));
  vmwrite(kAccessPage, address(access_page));
  virtual_apic[0x20] = kThreshold << 4;
  vmwrite(0x6800, cr0), vmwrite(0x6c00, cr0);
  vmwrite(0x6802, wide ? cr3 : address(directory)), vmwrite(0x6c02, cr3);
  vmwrite(0x6804, wide ? cr4 : (cr4 & ~0x20ull) | 0x10), vmwrite(0x6c04, cr4);
  vmwrite(0x2806, wide ? rdmsr(0xc0000080) : 0), vmwrite(0x2c02, rdmsr(0xc0000080));
  for (unsigned index = 0; index < 6; index++) {
    const int code = index == 1;
    segment(index, code ? 8 : 16, 0xffffffff, code ? (wide ? 0xa09b : 0xc09b) : 0xc093);
  }
  segment(6, 0, 0, 0x10000), segment(7, 24, 0x67, 0x8b);
  for (uint64_t field = 0x6816; field <= 0x6818; field += 2) vmwrite(field, 0);
  vmwrite(0x4810, 0), vmwrite(0x4812, 0);
  vmwrite(0x681a, 0x400);
  vmwrite(0x681c, address(stack + 512));
  vmwrite(0x681e, address(wide ? guest64 : guest32));
  vmwrite(0x6820, 2);
  for (uint64_t field = 0x0c00; field <= 0x0c0a; field += 2) vmwrite(field, 0);
  vmwrite(0x0c02, cs), vmwrite(0x0c04, ss), vmwrite(0x0c0c, tr != 0 ? tr : 24);
  vmwrite(0x6c0c, gdt.base), vmwrite(0x6c0e, idt_pointer.base);
}

static void measure(const char* what, int wide, int shadow) {
  uint32_t exits[64] = {0}, all = 0;
  prepare(wide, shadow);
  const uint64_t start = rdtsc();
  for (int resumes = 0;; resumes = 1) {
    enter(resumes);
    if (failed) break;
    const unsigned reason = vmread(kReason) & 63;
    if (reason == 18) break;
    exits[reason]++, all++;
    if (reason == 28) registers[2] = registers[1] & 15;  // what MOV from CR8 reads
    if (reason == 43) vmwrite(kTprThreshold, 0);         // the interrupt that waited for this would be injected now
    if (reason == 28 || reason == 44) vmwrite(0x681e, vmread(0x681e) + vmread(kLength));
  }
  const uint64_t ticks = rdtsc() - start;
  print(what), print(shadow ? " with" : " without"), print(" FlexPriority: ");
  if (failed) {
    print("no entry, error "), print_decimal((uint32_t)vmread(0x4400)), print("\n");
    return;
  }
  print_decimal(all), print(" exits");
  for (unsigned reason = 0; reason < 64; reason++) {
    if (exits[reason] != 0) print(", "), print_decimal(exits[reason]), print(" of reason "), print_decimal(reason);
  }
  print("; "), print_decimal((uint32_t)ticks), print(" ticks\n");
}

void guest_main(void) {
  for (uint32_t i = 0; i < 1024; i++) directory[i] = i << 22 | 0x83;
  directory[0xfee00000u >> 22] = (uint32_t)address(table) | 3;
  table[0xfee00000u >> 12 & 1023] = (uint32_t)address(access_page) | 3;
  wrmsr(0x3a, 5);
  uint64_t cr0, cr4, at = address(operation);
  __asm__ volatile("mov %%cr0, %0\n mov %%cr4, %1" : "=r"(cr0), "=r"(cr4));
  __asm__ volatile("mov %0, %%cr0\n mov %1, %%cr4" : : "r"(cr0 | 1u << 5), "r"(cr4 | 1u << 13));
  *(uint32_t*)operation = (uint32_t)rdmsr(0x480);
  __asm__ volatile("vmxon %0" : : "m"(at) : "cc");
  measure("64 bits, CR8", 1, 0);
  measure("64 bits, CR8", 1, 1);
  measure("32 bits, MMIO", 0, 0);
  measure("32 bits, MMIO", 0, 1);
}
