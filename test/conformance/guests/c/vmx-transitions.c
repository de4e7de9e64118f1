// vmx-transitions.c: a hypervisor that looks at what VM entries and exits load, save and leave alone (SDM Vol.
// 3C, 27.3, 27.4, 28.3 to 28.6).
#include "hypervisor.h"

static uint8_t operation[4096] __attribute__((aligned(4096))), state[4096] __attribute__((aligned(4096)));
static uint8_t bitmap[4096] __attribute__((aligned(4096))), ports[2][4096] __attribute__((aligned(4096)));
static uint64_t stack[2048] __attribute__((aligned(16)));
static uint64_t root[512] __attribute__((aligned(4096)));
static struct {
  uint32_t index, reserved;
  uint64_t value;
} list[3][513] __attribute__((aligned(4096)));

enum { kNoExecute = 1u << 11, kEntryFailure = 1u << 31, kMsrFailure = 34 };
enum { kSaveDebug = 1u << 2, kSavePat = 1u << 18, kLoadPat = 1u << 19, kSaveTimer = 1u << 22, kEntryPat = 1u << 14 };
enum { kUsePorts = 1u << 25, kEveryPort = 1u << 24, kTscOffsetting = 1u << 3, kTimer = 1u << 6, kPreemption = 52 };
enum { kIa32Pat = 0x277, kIa32Efer = 0xc0000080, kDebugControl = 0x1d9, kKernelGsBase = 0xc0000102, kTsc = 0x10 };
enum { kGuestDr7 = 0x681a, kGuestDebugControl = 0x2802, kTimerValue = 0x482e, kExceptions = 0x4004 };
enum {
  kEntryList = 0x200a,
  kStoreList = 0x2006,
  kLoadList = 0x2008,
  kEntryCount = 0x4014,
  kStores = 0x400e,
  kLoads = 0x4010
};

static volatile uint64_t seen[4];

static void begin(void (*guest)(void)) {
  prepare(state, guest, stack + 2048);
  vmwrite(kPrimary, allowed(0x48e, kUseMsrBitmap));
  vmwrite(kMsrBitmap, address(bitmap));
}
static void expect_exit(const char* what, uint32_t reason) {
  expect(what, 0, enter(), reason);
  skip();
}

static void calls(void) {
  for (;;) vmcall();
}

// Registers that controls load and save

static void moves_registers(void) {
  seen[0] = rdmsr(kIa32Efer), seen[1] = rdmsr(kIa32Pat);
  wrmsr(kIa32Efer, seen[0] ^ kNoExecute), wrmsr(kIa32Pat, 6);
  vmcall();
}
static void try_registers(void) {
  const uint64_t efer = rdmsr(kIa32Efer), pat = rdmsr(kIa32Pat);
  begin(moves_registers);
  vmwrite(kGuestEfer, efer ^ kNoExecute), vmwrite(0x2c02, efer ^ kNoExecute);
  vmwrite(0x2804, 0), vmwrite(0x2c00, pat);
  set_bits(kEntry, kEntryPat), set_bits(kExit, kSavePat | kLoadPat);
  expect_exit("registers", kVmcall);
  expect("EFER", 0, seen[0], efer ^ kNoExecute);
  expect("EFER saved", 0, vmread(kGuestEfer), efer);
  expect("EFER of the host", 0, rdmsr(kIa32Efer), efer ^ kNoExecute);
  expect("PAT", 0, seen[1], 0);
  expect("PAT saved", 0, vmread(0x2804), 6);
  expect("PAT of the host", 0, rdmsr(kIa32Pat), pat);
  wrmsr(kIa32Efer, efer);
}

static uint64_t dr7(void) {
  uint64_t value;
  __asm__ volatile("mov %%dr7, %0" : "=r"(value));
  return value;
}
static void moves_debug(void) {
  for (;;) {
    seen[0] = dr7(), seen[1] = rdmsr(kDebugControl);
    __asm__ volatile("mov %0, %%dr7" : : "r"(0x408ull));
    wrmsr(kDebugControl, 3);
    vmcall();
  }
}
static void try_debug(void) {
  begin(moves_debug);
  for (int moved = 1; moved >= 0; moved--) {
    if (moved) set_bits(kEntry, kSaveDebug), set_bits(kExit, kSaveDebug);
    if (!moved) clear_bits(kEntry, kSaveDebug), clear_bits(kExit, kSaveDebug);
    vmwrite(kGuestDr7, 0x404), vmwrite(kGuestDebugControl, 2);
    __asm__ volatile("mov %0, %%dr7" : : "r"(0x402ull));
    wrmsr(kDebugControl, 1);
    expect_exit("debug controls", kVmcall);
    expect("DR7", moved, seen[0], moved ? 0x404 : 0x402);
    expect("IA32_DEBUGCTL", moved, seen[1], moved ? 2 : 1);
    expect("DR7 saved", moved, vmread(kGuestDr7), moved ? 0x408 : 0x404);
    expect("IA32_DEBUGCTL saved", moved, vmread(kGuestDebugControl), moved ? 3 : 2);
    expect("DR7 of the host", moved, dr7(), 0x400);
    expect("IA32_DEBUGCTL of the host", moved, rdmsr(kDebugControl), 0);
  }
}

// Lists of MSRs

static void swaps(void) {
  for (;;) {
    seen[0] = rdmsr(kKernelGsBase);
    wrmsr(kKernelGsBase, 0x2222);
    vmcall();
  }
}
static void set_list(unsigned which, uint64_t field, uint64_t count_field, unsigned count, uint32_t index,
                     uint64_t value) {
  for (unsigned i = 0; i < 513; i++) {
    list[which][i].index = i < count ? index : ~0u;
    list[which][i].reserved = i < count ? 0 : ~0u;
    list[which][i].value = value;
  }
  vmwrite(field, address(list[which])), vmwrite(count_field, count);
}
static void try_lists(void) {
  begin(swaps);
  set_list(0, kEntryList, kEntryCount, 1, kKernelGsBase, 0x1111);
  set_list(1, kStoreList, kStores, 1, kKernelGsBase, 0);
  set_list(2, kLoadList, kLoads, 1, kKernelGsBase, 0x3333);
  expect_exit("lists", kVmcall);
  expect("loaded", 0, seen[0], 0x1111);
  expect("stored", 0, list[1][0].value, 0x2222);
  expect("loaded for the host", 0, rdmsr(kKernelGsBase), 0x3333);
  set_list(0, kEntryList, kEntryCount, 3, kKernelGsBase, 0x1111);
  list[0][2].index = 0xc0000100;
  expect("IA32_FS_BASE", 0, enter(), kEntryFailure | kMsrFailure);
  expect("its number", 0, vmread(kQualification), 3);

  // The most that IA32_VMX_MISC recommends, and one more.
  begin(calls);
  set_list(0, kEntryList, kEntryCount, 512, kTsc, 0x1234567890abcdef);
  set_list(1, kStoreList, kStores, 512, kTsc, 0);
  set_list(2, kLoadList, kLoads, 512, kTsc, 0x1234567890abcdef);
  expect_exit("512 MSRs", kVmcall);
  expect("stored", 511, list[1][511].value >> 20, 0x1234567890abcdefull >> 20);
  set_list(0, kEntryList, kEntryCount, 513, kTsc, 0x1234567890abcdef);
  expect("513 MSRs", 0, enter(), kEntryFailure | kMsrFailure);
  expect("their number", 0, vmread(kQualification), 513);
}

// Time

static void reads_time(void) {
  for (;;) {
    seen[0] = rdtsc();
    vmcall();
  }
}
static void try_time(void) {
  begin(reads_time);
  const uint64_t offset = 1ull << 30;
  set_bits(kPrimary, kTscOffsetting);
  vmwrite(0x2010, offset);
  set_list(1, kStoreList, kStores, 1, kTsc, 0);
  for (unsigned i = 0; i < 100; i++) {
    const uint64_t low = rdtsc();
    expect_exit("time", kVmcall);
    const uint64_t high = rdtsc(), stored = list[1][0].value;
    expect("guest's", i, low + offset <= seen[0] && seen[0] <= high + offset, 1);
    expect("stored", i, low <= stored && stored <= high && stored + offset >= seen[0], 1);
    expect("from RDTSC to the exit", i, stored + offset - seen[0] < 750, 1);
  }
}

static void waits(void) {
  vmcall();
  __asm__ volatile("nop\n nop\n nop\n nop");
  vmcall();
  while (seen[0] == 0) seen[1] = rdtsc();
  __asm__ volatile("hlt");
  calls();
}
static void try_timer(void) {
  const unsigned shift = (unsigned)rdmsr(0x485) & 31, value = 100000;
  begin(waits);
  vmwrite(kPinBased, allowed(0x48d, kTimer));
  vmwrite(kTimerValue, value);
  expect_exit("timer", kVmcall);
  expect("kept", 0, vmread(kTimerValue), value);
  set_bits(kExit, kSaveTimer);
  expect_exit("timer", kVmcall);
  expect("saved", 0, vmread(kTimerValue) < value && vmread(kTimerValue) != 0, 1);
  vmwrite(kTimerValue, value);
  seen[0] = 0;
  uint64_t start = rdtsc();
  expect("busy", 0, enter(), kPreemption);
  expect("passed", 0, (rdtsc() - start) >> shift >= value, 1);
  expect("stored behind the deadline", 0, seen[1] - start > (uint64_t)(value + 200) << shift, 0);
  expect("0", 0, vmread(kTimerValue), 0);
  seen[0] = 1;
  vmwrite(kTimerValue, value);
  start = rdtsc();
  expect("halted", 0, enter(), kPreemption);
  expect("passed", 1, (rdtsc() - start) >> shift >= value, 1);
  expect("activity", 1, vmread(kActivity), 1);
  const uint64_t rip = vmread(kGuestRip);
  vmwrite(kActivity, 0), vmwrite(kTimerValue, 0);
  expect("at once", 0, enter(), kPreemption);
  expect("RIP", 0, vmread(kGuestRip), rip);
}

// Ports

static volatile uint16_t port;
static volatile int bytes;
static void reads_port(void) {
  for (;;) {
    uint32_t value;
    if (bytes == 1) __asm__ volatile("inb %1, %b0" : "=a"(value) : "d"(port));
    if (bytes == 4) __asm__ volatile("inl %1, %0" : "=a"(value) : "d"(port));
    vmcall();
  }
}
static void try_port(uint16_t of, int width, int exits) {
  port = of, bytes = width;
  uint32_t reason = enter();
  expect("port", of, reason, exits ? 30 : kVmcall);
  if (exits) {
    expect("qualification", of, vmread(kQualification), (uint64_t)of << 16 | 8 | (unsigned)(width - 1));
    skip();
    reason = enter();
  }
  expect("port", of, reason, kVmcall);
  skip();
}
static void try_ports(void) {
  begin(reads_port);
  set_bits(kPrimary, kUsePorts | kEveryPort);
  vmwrite(0x2000, address(ports[0])), vmwrite(0x2002, address(ports[1]));
  ports[0][0x5000 / 8] = 1, ports[1][0x1000 / 8] = 1;
  try_port(0x5000, 1, 1), try_port(0x4fff, 1, 0), try_port(0x4fff, 4, 1), try_port(0x5001, 4, 0);
  try_port(0x9000, 1, 1), try_port(0x8ffd, 4, 1), try_port(0x7ffe, 4, 0), try_port(0xffff, 4, 1);
  clear_bits(kPrimary, kUsePorts);
  try_port(0x4fff, 1, 1);
  clear_bits(kPrimary, kEveryPort);
  try_port(0x5000, 1, 0);
}

// Segments that 64-bit mode does not use, and a host of other paging

static void try_segments(void) {
  begin(calls);
  static const uint8_t segments[] = {0, 2, 3};
  for (unsigned i = 0; i < sizeof segments; i++) {
    const uint64_t base = 0x6806 + 2 * segments[i], rights = 0x4814 + 2 * segments[i];
    const uint64_t had = vmread(rights);
    vmwrite(base, 1ull << 40);
    expect("usable", segments[i], enter(), kEntryFailure | 33);
    vmwrite(rights, had | 1u << 16);
    expect("unusable", segments[i], enter(), kVmcall);
    vmwrite(rights, had), vmwrite(base, 0);
    expect("usable again", segments[i], enter(), kVmcall);
  }
  vmwrite(0x6812, 0xaaaaaaaaaaaaaaaa);  // LDTR, unusable
  expect("LDTR", 0, enter(), kVmcall);
  uint16_t ldtr;
  __asm__ volatile("sldt %0" : "=r"(ldtr));
  expect("LDTR of the host", 0, ldtr, 0);
  vmwrite(0x0804, vmread(0x0804) | 3);
  expect("RPL of SS", 0, enter(), kEntryFailure | 33);
}

static void try_hosts(void) {
  uint64_t cr3, cr4, seen_cr4;
  __asm__ volatile("mov %%cr3, %0\n mov %%cr4, %1" : "=r"(cr3), "=r"(cr4));
  begin(calls);
  vmwrite(0x6c04, cr4 | 1u << 17), vmwrite(0x6c02, cr3 | 1);
  expect("PCID", 0, enter(), kVmcall);
  __asm__ volatile("mov %%cr4, %0" : "=r"(seen_cr4));
  expect("CR4", 0, seen_cr4, cr4 | 1u << 17);
  __asm__ volatile("mov %0, %%cr4" : : "r"((cr4 | 1u << 17) ^ 1u << 6));  // with a PCID: no fault
  root[0] = cr3 | 7;
  vmwrite(0x6c04, cr4 | 1u << 12), vmwrite(0x6c02, address(root));
  expect("five levels", 0, enter(), kVmcall);
  __asm__ volatile("mov %%cr4, %0" : "=r"(seen_cr4));
  expect("CR4", 1, seen_cr4, cr4 | 1u << 12);
  vmwrite(0x6c04, cr4), vmwrite(0x6c02, cr3);
  expect("four levels", 0, enter(), kVmcall);
  __asm__ volatile("mov %%cr4, %0" : "=r"(seen_cr4));
  expect("CR4", 2, seen_cr4, cr4);
}

// Interrupts that wait for the entry

static volatile unsigned taken;
static __attribute__((interrupt)) void on_interrupt(struct frame* frame) {
  (void)frame;
  taken++;
  end_of_interrupt();
}
static void try_pending(void) {
  begin(calls);
  vmwrite(kPinBased, allowed(0x48d, kExternalInterruptExiting));
  expect_exit("guest", kVmcall);
  for (uint64_t activity = 0; activity <= 1; activity++) {
    const uint64_t rip = vmread(kGuestRip);
    vmwrite(kActivity, activity);
    taken = 0;
    apic_write(0x300, 0x440f1);
    expect("interrupt", activity, enter(), 1);
    expect("RIP", activity, vmread(kGuestRip), rip);
    expect("activity", activity, vmread(kActivity), activity);
    allow_interrupts(), hold_interrupts();
    expect("interrupts", activity, taken, 1);
  }
  vmwrite(kActivity, 0);
  expect_exit("guest", kVmcall);
}

// Exceptions

static void raises_of(void) {
  __asm__ volatile(
      "lcall *1f(%%rip)\n jmp 3f\n"
      "1: .long 2f\n .word 8\n"
      ".code32\n 2: mov $0x7fffffff, %%eax\n add %%eax, %%eax\n into\n lret\n.code64\n 3:\n"
      :
      :
      : "rax", "cc", "memory");
  vmcall();
}
static void raises_nm(void) {
  uint64_t cr0;
  __asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
  __asm__ volatile("mov %0, %%cr0\n fnop" : : "r"(cr0 | 8));
  vmcall();
}
static void raises_gp(void) { *(volatile uint64_t*)0xaaaaaaaaaaaaaaaa = 0; }
static void raises_bp(void) { __asm__ volatile("int3"); }
static void raises_ud(void) { __asm__ volatile("rdtscp" : : : "rax", "rcx", "rdx"); }
static void raises_db(void) { __asm__ volatile("pushf\n orl $0x100, (%%rsp)\n popf\n nop" : : : "cc", "memory"); }
static void try_exceptions(void) {
  static const struct {
    void (*guest)(void);
    uint32_t information;
  } rows[] = {{raises_of, 0x80000604}, {raises_nm, 0x80000307}, {raises_gp, 0x80000b0d},
              {raises_bp, 0x80000603}, {raises_ud, 0x80000306}, {raises_db, 0x80000301}};
  for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    begin(rows[i].guest);
    vmwrite(kExceptions, ~0u);
    expect("exception", i, enter(), 0);
    expect("information", i, vmread(0x4404), rows[i].information);
  }
}

void guest_main(void) {
  map_devices(), load_idt();
  handle(0xf1, on_interrupt);
  apic_write(0xf0, 0x1ff);
  start_vmx(operation);
  try_registers(), try_debug(), try_lists(), try_time(), try_timer(), try_ports(), try_segments(), try_hosts();
  try_pending(), try_exceptions();
  conclude();
}
