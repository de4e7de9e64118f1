// vmx-shadow.c: a hypervisor whose guest reads and writes every field of a shadow VMCS, as its bitmaps say (SDM Vol.
// 3C, 25.10 and 31.3).
#include "hypervisor.h"

static uint8_t operation[4096] __attribute__((aligned(4096))), state[4096] __attribute__((aligned(4096)));
static uint8_t shadow[4096] __attribute__((aligned(4096)));
static uint8_t reads[4096] __attribute__((aligned(4096))), writes[4096] __attribute__((aligned(4096)));
static uint64_t stack[2048] __attribute__((aligned(16)));

enum { kOpRead, kOpWrite };
static volatile int op;
static volatile uint64_t field, flags, result;

static void guest(void) {
  for (;;) {
    uint64_t value = 0;
    flags = op == kOpRead ? try_vmread(field, &value) : try_vmwrite(field, 0x4242);
    result = value;
    vmcall();
  }
}

static uint64_t in_shadow(uint64_t encoding, const uint64_t* store) {
  vmptrld(address(shadow));
  if (store) vmwrite(encoding, *store);
  const uint64_t value = vmread(encoding);
  vmptrld(address(state));
  return value;
}

static void allow(uint8_t* bitmap, uint64_t encoding, int allowed) {
  if (encoding >> 15) return;
  const uint8_t bit = (uint8_t)(1u << (encoding & 7));
  bitmap[encoding >> 3] = allowed ? bitmap[encoding >> 3] & ~bit : bitmap[encoding >> 3] | bit;
}

/** Has the guest access the field. The exit's reason, or 0 if there was none. */
static uint32_t attempt(int what) {
  op = what;
  vmwrite(kError, 0);
  const uint32_t reason = enter();
  if (reason == kVmcall) return skip(), 0;
  skip();
  expect("reason", field, enter(), kVmcall);
  skip();
  return reason;
}

static void try_field(uint64_t encoding, int linked) {
  uint64_t before = 0;
  field = encoding;
  const int exists = try_vmread(encoding, &before) == 0;
  expect("write", encoding, try_vmwrite(encoding, before) == 0, exists);  // IA32_VMX_MISC, bit 29: read-only ones, too
  for (int mode = 0; mode < 4; mode++) {
    allow(reads, encoding, mode & 1), allow(writes, encoding, mode >> 1);
    const int readable = (mode & 1) && encoding >> 15 == 0, writable = mode >> 1 && encoding >> 15 == 0;
    const uint64_t failed = !linked ? 1 : exists ? 0 : 1 << 6, number = failed == 1 << 6 ? 12 : 0;
    const uint64_t old = 0x12345678 + encoding;
    const uint64_t kept = exists && linked ? in_shadow(encoding, &old) : 0;
    expect("read exits", encoding << 4 | mode, attempt(kOpRead), readable ? 0 : kVmread);
    if (readable) {
      expect("flags", encoding << 4 | mode, flags, failed);
      if (encoding != kError) expect("error", encoding << 4 | mode, vmread(kError), number);
      if (failed == 0) expect("value", encoding << 4 | mode, result, kept);
    }
    expect("write exits", encoding << 4 | mode, attempt(kOpWrite), writable ? 0 : kVmwrite);
    if (!writable) continue;
    expect("flags", encoding << 4 | mode, flags, failed);
    if (encoding != kError) expect("error", encoding << 4 | mode, vmread(kError), number);
    if (failed == 0) expect("value", encoding << 4 | mode, in_shadow(encoding, 0), kept == 0 ? 0 : 0x4242);
  }
}

void guest_main(void) {
  start_vmx(operation);
  *(uint32_t*)shadow = (uint32_t)rdmsr(0x480) | 1u << 31;
  vmclear(address(shadow));
  prepare(state, guest, stack + 2048);
  set_bits(kPrimary, kSecondaryOn);
  vmwrite(kSecondary, allowed(0x48b, kVmcsShadowing));
  vmwrite(kVmreadBitmap, address(reads)), vmwrite(kVmwriteBitmap, address(writes));
  const unsigned highest = (unsigned)rdmsr(0x48a) & 0x3fe;
  for (int linked = 1; linked >= 0; linked--) {
    vmwrite(kLink, linked ? address(shadow) : ~0ull);
    for (unsigned kind = 0; kind < 32; kind++) {
      for (unsigned index = 0; index <= highest + 1; index++) try_field(kind << 10 | index, linked);
    }
    for (unsigned bit = 15; bit < 32; bit++) try_field(1ull << bit, linked);
  }
  conclude();
}
