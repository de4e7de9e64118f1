// vmx-ept.c: a hypervisor that gives its guest every combination of rights, reserved bits and page sizes in each level
// of the extended page tables, for the guest's data and for its paging structures (SDM Vol. 3C, 29.3).
#include "hypervisor.h"

static uint8_t operation[4096] __attribute__((aligned(4096))), state[4096] __attribute__((aligned(4096)));
static uint64_t stack[2048] __attribute__((aligned(16)));
// Extended tables: the first 1 GiB one to one by 2 MiB pages, and the path to the page that is tried, by level.
static uint64_t ept[5][512] __attribute__((aligned(4096))), low_pointers[512] __attribute__((aligned(4096)));
static uint64_t low_pages[512] __attribute__((aligned(4096))), structures[512] __attribute__((aligned(4096)));
// The guest's path to the same page.
static uint64_t paging[3][512] __attribute__((aligned(4096)));

enum { kRead = 1, kWrite = 2, kExecute = 4, kAll = 7, kLarge = 0x80, kAccessed = 0x100, kDirty = 0x200 };
enum { kLinearValid = 0x80, kTranslated = 0x100, kWriteBack = 6 << 3 };
enum { kOpRead, kOpWrite, kOpExecute, kOpFlush, kOps };
enum { kPageAccessed = 0x20, kPageDirty = 0x40 };

// The page lies at 32 MiB; the guest finds it 512 GiB further up, in entries of their own in every table.
static const uint64_t page = 0x2000000, tried = (1ull << 39) + 0x2000000;
static volatile uint64_t* const data = (volatile uint64_t*)((1ull << 39) + 0x2000000);
static volatile int op;
static volatile uint64_t result;

static void guest(void) {
  for (;;) {
    switch (op) {
      case kOpRead:
        result = data[0];
        break;
      case kOpWrite:
        data[0] = 0x2222;
        result = 0x2222;
        break;
      case kOpExecute:
        result = ((uint64_t(*)(void))(uint64_t)&data[1])();
        break;
      default: {
        uint64_t cr3;
        __asm__ volatile("mov %%cr3, %0\n mov %0, %%cr3" : "=r"(cr3) : : "memory");
      }
    }
    vmcall();
  }
}

static uint64_t pointer;
static void invept(void) {
  const uint64_t descriptor[2] = {pointer, 0};
  __asm__ volatile("invept %0, %1" : : "m"(descriptor), "r"(1ull) : "cc", "memory");
}

static uint64_t* entry_of(unsigned level) { return &ept[level][tried >> (12 + 9 * (level - 1)) & 511]; }
static void reset_tables(void) {
  *entry_of(4) = address(ept[3]) | kAll;
  *entry_of(3) = address(ept[2]) | kAll;
  *entry_of(2) = address(ept[1]) | kAll;
  *entry_of(1) = page | kAll | kWriteBack;
}

static uint64_t rights_of(int what) { return what == kOpRead ? kRead : what == kOpWrite ? kWrite : kExecute; }

/** Has the guest try something: 0 if it goes through, or the exit's reason. */
static uint32_t attempt(int what) {
  invept();
  op = what, result = 0, *(volatile uint64_t*)page = 0x1111;
  const uint32_t reason = enter();
  if (reason != kVmcall) return reason;
  expect("result of", what, result, what == kOpRead ? 0x1111 : what == kOpWrite ? 0x2222 : what == kOpExecute ? 42 : 0);
  skip();
  return 0;
}

/** Tries it again with the tables put right. */
static void retry(uint64_t of) {
  reset_tables(), invept();
  expect("second try", of, enter(), kVmcall);
  skip();
}

static void expect_violation(uint64_t of, int what, uint64_t rights) {
  const uint64_t at = what == kOpExecute ? 8 : 0;
  expect("reason", of, vmread(kReason), kEptViolation);
  expect("qualification", of, vmread(kQualification) & 0x3ff,
         rights_of(what) | rights << 3 | kLinearValid | kTranslated);
  expect("physical address", of, vmread(kGuestPhysical), tried + at);
  expect("linear address", of, vmread(kGuestLinear), address(data) + at);
}

/** An entry in some level, large or not: `bits` in place of its rights, and more. */
static void set_entry(unsigned level, int large, uint64_t bits) {
  uint64_t* entry = entry_of(level);
  if (!large) {
    *entry = (*entry & ~(uint64_t)kAll) | bits;
    return;
  }
  const uint64_t offsets = (1ull << (12 + 9 * (level - 1))) - 1;
  *entry = (page & ~offsets) | kLarge | kWriteBack | bits;
}

static void try_rights(void) {
  for (unsigned level = 1; level <= 4; level++) {
    for (int large = 0; large <= (level == 2 || level == 3); large++) {
      for (uint64_t rights = 0; rights <= kAll; rights++) {
        for (int what = kOpRead; what <= kOpExecute; what++) {
          const uint64_t of = level << 12 | large << 8 | rights << 4 | what;
          set_entry(level, large, rights);
          const uint32_t reason = attempt(what);
          const int impossible = (rights & (kRead | kWrite)) == kWrite;
          if (impossible) {
            expect("misconfiguration", of, reason, kEptMisconfiguration);
          } else if ((rights & rights_of(what)) == 0) {
            expect_violation(of, what, rights);
          } else {
            expect("allowed", of, reason, 0);
            reset_tables();
            continue;
          }
          retry(of);
        }
      }
    }
  }
}

static void try_reserved(unsigned level, int large, uint64_t bits) {
  const uint64_t of = (uint64_t)level << 60 | (uint64_t)large << 56 | (bits & 0xffffffffffffff);
  for (int what = kOpRead; what <= kOpExecute; what++) {
    set_entry(level, large, kAll | bits);
    expect("reserved", of, attempt(what), kEptMisconfiguration);
    expect("physical address", of, vmread(kGuestPhysical), tried + (what == kOpExecute ? 8 : 0));
    retry(of);
  }
  set_entry(level, large, bits);  // not present: nothing is reserved
  attempt(kOpRead);
  expect_violation(of, kOpRead, 0);
  retry(of);
}

static void try_bits(void) {
  uint32_t leaf[4];
  cpuid(0x80000008, 0, leaf);
  for (unsigned level = 1; level <= 4; level++) {
    for (unsigned bit = leaf[0] & 0xff; bit <= 51; bit++) {
      for (int large = 0; large <= (level == 2 || level == 3); large++) try_reserved(level, large, 1ull << bit);
    }
    for (unsigned bit = 3; bit <= 6 && level > 1; bit++) try_reserved(level, 0, 1ull << bit);
  }
  try_reserved(4, 0, kLarge);
  for (unsigned bit = 12; bit <= 20; bit++) try_reserved(2, 1, 1ull << bit);
  for (unsigned bit = 12; bit <= 29; bit++) {
    if (bit != 25) try_reserved(3, 1, 1ull << bit);
  }
  static const uint8_t ignored[] = {8, 9, 10, 11, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63};
  for (unsigned level = 1; level <= 4; level++) {
    for (unsigned i = 0; i < sizeof ignored; i++) {
      for (int large = 0; large <= (level == 2 || level == 3); large++) {
        for (int what = kOpRead; what <= kOpExecute; what++) {
          set_entry(level, large, kAll | 1ull << ignored[i]);
          expect("ignored", level << 8 | ignored[i], attempt(what), 0);
          reset_tables();
        }
      }
    }
  }
  static const uint8_t types[] = {2, 3, 7};
  for (unsigned i = 0; i < sizeof types; i++) {
    *entry_of(1) = page | kAll | types[i] << 3;
    expect("memory type", types[i], attempt(kOpRead), kEptMisconfiguration);
    retry(types[i]);
  }
}

/** The page in which the guest's last table lies has rights of its own, with accessed and dirty flags and without. */
static void try_structures(void) {
  uint64_t* const entry = &structures[address(paging[2]) >> 12 & 511];
  uint64_t* const leaf = &paging[2][tried >> 12 & 511];
  for (int flags = 0; flags <= 1; flags++) {
    pointer = address(ept[4]) | 3 << 3 | 6 | (flags ? 1 << 6 : 0);
    vmwrite(kEptPointer, pointer);
    for (uint64_t rights = 0; rights <= kAll; rights++) {
      if ((rights & (kRead | kWrite)) == kWrite) continue;
      for (unsigned marks = 0; marks < 3; marks++) {
        for (int what = kOpRead; what <= kOpExecute; what++) {
          const uint64_t of = flags << 16 | rights << 12 | marks << 8 | what;
          const uint64_t had = marks == 0 ? 0 : marks == 1 ? kPageAccessed : kPageAccessed | kPageDirty;
          const int marks_it = (had & kPageAccessed) == 0 || (what == kOpWrite && (had & kPageDirty) == 0);
          attempt(kOpFlush);
          *leaf = (*leaf & ~(uint64_t)(kPageAccessed | kPageDirty)) | had;
          *entry = (address(paging[2]) & ~0xfffull) | kWriteBack | rights;
          const uint32_t reason = attempt(what);
          // 29.3.3.2: with flags, whatever the processor does there is a write; without, first a read, then a write.
          const int refused =
              flags ? (rights & kWrite) == 0 : (rights & kRead) == 0 || (marks_it && (rights & kWrite) == 0);
          if (refused) {
            const uint64_t writes = flags || (rights & kRead) != 0 ? kWrite : 0;
            expect("structure", of, reason, kEptViolation);
            expect("qualification", of, vmread(kQualification) & 0x3ff, kRead | writes | rights << 3 | kLinearValid);
            expect("physical address", of, vmread(kGuestPhysical), address(leaf));
            *entry |= kAll;
            retry(of);
          } else {
            expect("structure", of, reason, 0);
            if (flags) expect("flags", of, *entry & (kAccessed | kDirty), kAccessed | kDirty);
          }
          expect("accessed", of, *leaf & kPageAccessed, kPageAccessed);
          if (what == kOpWrite || marks == 2) expect("dirty", of, *leaf & kPageDirty, kPageDirty);
        }
      }
    }
  }
  *entry |= kAll;
  // The page itself: accessed, then dirty, and accessed alone in the levels above.
  for (unsigned level = 1; level <= 4; level++) *entry_of(level) &= ~(uint64_t)(kAccessed | kDirty);
  attempt(kOpRead);
  for (unsigned level = 1; level <= 4; level++)
    expect("read", level, *entry_of(level) & (kAccessed | kDirty), kAccessed);
  attempt(kOpWrite);
  expect("written", 1, *entry_of(1) & (kAccessed | kDirty), kAccessed | kDirty);
  for (unsigned level = 2; level <= 4; level++) expect("written", level, *entry_of(level) & kDirty, 0);
}

void guest_main(void) {
  uint64_t cr3;
  __asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
  ((uint64_t*)cr3)[1] = address(paging[0]) | 7;
  paging[0][0] = address(paging[1]) | 7;
  paging[1][16] = address(paging[2]) | 7;
  paging[2][0] = tried | 7;
  ept[4][0] = address(low_pointers) | kAll;
  low_pointers[0] = address(low_pages) | kAll;
  for (uint64_t i = 0; i < 512; i++) low_pages[i] = i << 21 | kAll | kLarge | kWriteBack;
  // What lies around the guest's last table is mapped by small pages.
  const uint64_t around = address(paging[2]) >> 21;
  low_pages[around] = address(structures) | kAll;
  for (uint64_t i = 0; i < 512; i++) structures[i] = around << 21 | i << 12 | kAll | kWriteBack;
  static const uint8_t code[] = {0xb8, 42, 0, 0, 0, 0xc3};  // mov eax, 42; ret
  for (unsigned i = 0; i < sizeof code; i++) ((volatile uint8_t*)page)[8 + i] = code[i];
  reset_tables();

  start_vmx(operation);
  prepare(state, guest, stack + 2048);
  set_bits(kPrimary, kSecondaryOn);
  vmwrite(kSecondary, kEnableEpt);
  pointer = address(ept[4]) | 3 << 3 | 6;
  vmwrite(kEptPointer, pointer);
  try_rights();
  try_bits();
  try_structures();
  conclude();
}
