// flexpriority.c: a hypervisor that counts the exits of guests that move their task priority, with FlexPriority and
// without: one of 64 bits by CR8, one of 32 bits by the memory-mapped register (SDM Vol. 3C, 30.1).
#include "hypervisor.h"

enum { kThreshold = 4, kCr8Exits = 3u << 19 };

static uint8_t operation[4096] __attribute__((aligned(4096))), state[4096] __attribute__((aligned(4096)));
static uint32_t virtual_apic[1024] __attribute__((aligned(4096)));
static uint8_t access_page[4096] __attribute__((aligned(4096)));
static uint32_t directory[1024] __attribute__((aligned(4096))), table[1024] __attribute__((aligned(4096)));
static uint64_t stack[512] __attribute__((aligned(16)));

// The guests write 1,000 priorities, counting up and around, read each back, and leave by VMCALL.
void guest64(void), guest32(void);
__asm__(
    "guest64: xor %ebx, %ebx\n"
    "1: mov %rbx, %rax\n and $15, %eax\n mov %rax, %cr8\n mov %cr8, %rcx\n inc %ebx\n cmp $1000, %ebx\n jne 1b\n "
    "vmcall\n"
    ".code32\n"
    "guest32: xor %ebx, %ebx\n"
    "1: mov %ebx, %eax\n and $15, %eax\n shl $4, %eax\n mov %eax, 0xfee00080\n mov 0xfee00080, %ecx\n inc %ebx\n"
    "cmp $1000, %ebx\n jne 1b\n vmcall\n"
    ".code64\n");

static void begin(int wide, int shadow) {
  prepare(state, wide ? guest64 : guest32, stack + 512);
  vmwrite(kPrimary, allowed(0x48e, kSecondaryOn | (shadow ? kTprShadow : kCr8Exits)));
  vmwrite(kSecondary, allowed(0x48b, kApicAccesses));
  vmwrite(kTprThreshold, shadow ? kThreshold : 0);
  vmwrite(kVirtualApic, address(virtual_apic));
  vmwrite(kAccessPage, address(access_page));
  virtual_apic[0x20] = kThreshold << 4;
  if (wide) return;
  vmwrite(kEntry, allowed(0x490, kLoadGuestEfer));
  vmwrite(kGuestCr3, address(directory));
  vmwrite(kGuestCr4, (vmread(kGuestCr4) & ~0x20ull) | 0x10);
  vmwrite(kGuestEfer, 0);
  set_segment(1, 8, 0, 0xffffffff, 0xc09b);
}

static void measure(const char* what, int wide, int shadow) {
  uint32_t exits[64] = {0}, all = 0;
  uint32_t reason;
  begin(wide, shadow);
  const uint64_t start = rdtsc();
  while ((reason = enter()) != kVmcall && reason != kNoEntry) {
    exits[reason & 63]++, all++;
    if (reason == 28) registers[kRcx] = registers[kRbx] & 15;  // what MOV from CR8 reads
    if (reason == 43) vmwrite(kTprThreshold, 0);  // the interrupt that waited for this would be injected now
    if (reason == 28 || reason == 44) skip();
  }
  const uint64_t ticks = rdtsc() - start;
  print(what), print(shadow ? " with" : " without"), print(" FlexPriority: ");
  if (reason == kNoEntry) {
    print("no entry, error "), print_decimal((uint32_t)vmread(kError)), print("\n");
    return;
  }
  print_decimal(all), print(" exits");
  for (unsigned one = 0; one < 64; one++) {
    if (exits[one] != 0) print(", "), print_decimal(exits[one]), print(" of reason "), print_decimal(one);
  }
  print("; "), print_decimal((uint32_t)ticks), print(" ticks\n");
}

void guest_main(void) {
  for (uint32_t i = 0; i < 1024; i++) directory[i] = i << 22 | 0x83;
  directory[0xfee00000u >> 22] = (uint32_t)address(table) | 3;
  table[0xfee00000u >> 12 & 1023] = (uint32_t)address(access_page) | 3;
  start_vmx(operation);
  measure("64 bits, CR8", 1, 0);
  measure("64 bits, CR8", 1, 1);
  measure("32 bits, MMIO", 0, 0);
  measure("32 bits, MMIO", 0, 1);
}
