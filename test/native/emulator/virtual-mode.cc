// Virtual-8086 mode with its extensions, and virtual interrupts of protected mode (SDM Vol. 3A, 20.3 and 20.4).
#include "test/native/emulator/guest.h"

using namespace vtkit;
using namespace vtkit::test;

namespace {

constexpr uint64_t kVme = 1, kPvi = 2;
constexpr uint64_t kIfFlag = 1u << 9, kTfFlag = 1u << 8, kVmFlag = 1u << 17, kVifFlag = 1u << 19, kVipFlag = 1u << 20;

#define BYTES(TEXT) std::string(TEXT, sizeof(TEXT) - 1)

/** 32-bit protected mode with a task state segment; code of ring 3 in virtual-8086 mode, or flat. */
class UserGuest : public Guest {
 public:
  static constexpr uint64_t kTask = 0x20000, kGdt = 0x21000, kIdt = 0x22000, kHandler = 0x3000, kMap = 0x88;

  explicit UserGuest(uint64_t cr4, bool v86 = true) : Guest(32) {
    vcpu::Sregs sregs;
    processor->getSregs(sregs);
    sregs.cr4 |= cr4;
    for (vcpu::Segment* segment : {&sregs.cs, &sregs.ds, &sregs.es, &sregs.ss, &sregs.fs, &sregs.gs}) {
      segment->dpl = 3;
      if (!v86) continue;
      *segment = {};
      segment->limit = 0xffff;
      segment->type = 3;
      segment->present = segment->s = 1;
      segment->dpl = 3;
    }
    if (!v86) sregs.cs.selector = 0x1b, sregs.ss.selector = sregs.ds.selector = 0x23;
    sregs.tr = {};
    sregs.tr.base = kTask;
    sregs.tr.limit = 0x200;
    sregs.tr.type = 11;
    sregs.tr.present = 1;
    sregs.gdt.base = kGdt;
    sregs.gdt.limit = 0xff;
    sregs.idt.base = kIdt;
    sregs.idt.limit = 0x7ff;
    processor->setSregs(sregs);
    put<uint64_t>(kGdt + 8, 0x00cf9b000000ffff);
    put<uint64_t>(kGdt + 16, 0x00cf93000000ffff);
    put<uint32_t>(kTask + 4, 0x9000);
    put<uint32_t>(kTask + 8, 16);
    put<uint16_t>(kTask + 102, kMap);
    for (unsigned vector = 0; vector < 256; vector++) {
      put<uint64_t>(kIdt + 8 * vector, kHandler | 8u << 16 | uint64_t{0xee00} << 32);
    }
    write(kHandler, BYTES("\xbb\x34\x12\x00\x00\xf4"));  // the supervisor: mov ebx, 1234H; hlt
    regs.rflags = 2 | (v86 ? kVmFlag : 0);
  }
  /** Runs code of ring 3; CPUID's leaf is of no use there, so an undefined instruction ends it in the supervisor. */
  void user(const std::string& code, uint64_t flags) {
    regs.rbx = 0;
    regs.rflags |= flags;
    write(kCode, code + BYTES("\x0f\x0b"));
    regs.rip = kCode;
    run();
  }
  /** What the supervisor's frame has of RIP and RFLAGS; with #GP below an error code. */
  uint32_t framed(unsigned at, bool error = false) { return get<uint32_t>(regs.rsp + 4 * (at + (error ? 1 : 0))); }
};

}  // namespace

TEST("CLI and STI of virtual-8086 mode move VIF, where its extensions are on") {
  UserGuest guest(kVme);
  guest.user("\xfb", kIfFlag);
  CHECK_EQUAL(guest.framed(0), Guest::kCode + 1);
  CHECK_EQUAL(guest.framed(2) & (kVifFlag | kIfFlag), kVifFlag | kIfFlag);
  UserGuest again(kVme);
  again.user("\xfa", kIfFlag | kVifFlag);
  CHECK_EQUAL(again.framed(2) & (kVifFlag | kIfFlag), kIfFlag);
}

TEST("without them, and with IOPL below 3, they fault") {
  UserGuest guest(0);
  guest.user("\xfa", kIfFlag);
  CHECK_EQUAL(guest.framed(0, true), Guest::kCode);
}

TEST("STI faults while the supervisor waits for the flag") {
  UserGuest guest(kVme);
  guest.user("\xfb", kVipFlag);
  CHECK_EQUAL(guest.framed(0, true), Guest::kCode);
}

TEST("PUSHF shows VIF as IF and IOPL 3, POPF loads it, and refuses TF") {
  UserGuest guest(kVme);
  guest.user(BYTES("\x9c\x58"), kVifFlag);  // pushf; pop ax
  CHECK_EQUAL(guest.regs.rax & 0x3200, 0x3200u);
  UserGuest popped(kVme);
  popped.user(BYTES("\x68\x00\x02\x9d"), kIfFlag);  // push 200H; popf
  CHECK_EQUAL(popped.framed(2) & (kVifFlag | kIfFlag), kVifFlag | kIfFlag);
  UserGuest trapping(kVme);
  trapping.user(BYTES("\x68\x00\x01\x9d"), 0);
  CHECK_EQUAL(trapping.framed(0, true), Guest::kCode + 3);
  CHECK_EQUAL(trapping.framed(2, true) & kTfFlag, 0u);
}

TEST("INT goes through the 8086's vector table where its bit in the task state segment is 0") {
  UserGuest guest(kVme);
  guest.put<uint32_t>(4 * 0x21, 0x00005000);
  guest.write(0x5000, BYTES("\xb8\x77\x00\xcf"));  // mov ax, 77H; iret
  guest.user(BYTES("\xcd\x21"), kVifFlag);
  CHECK_EQUAL(guest.regs.rax & 0xffff, 0x77u);
  CHECK_EQUAL(guest.framed(0), Guest::kCode + 2);
  CHECK_EQUAL(guest.framed(2) & kVifFlag, kVifFlag);
}

TEST("INT faults where the bit is 1 and IOPL below 3") {
  UserGuest guest(kVme);
  guest.put<uint8_t>(UserGuest::kTask + UserGuest::kMap - 32 + 0x21 / 8, 1u << (0x21 & 7));
  guest.user(BYTES("\xcd\x21"), 0);
  CHECK_EQUAL(guest.framed(0, true), Guest::kCode);
}

TEST("CLI and STI of ring 3 in protected mode move VIF, where CR4.PVI is on") {
  UserGuest guest(kPvi, false);
  guest.user("\xfb", kIfFlag);
  CHECK_EQUAL(guest.framed(2) & (kVifFlag | kIfFlag), kVifFlag | kIfFlag);
  UserGuest without(0, false);
  without.user("\xfb", kIfFlag);
  CHECK_EQUAL(without.framed(0, true), Guest::kCode);
}

TEST("INVPCID in virtual-8086 mode raises a general protection fault with an error code") {
  UserGuest guest(0);
  // The supervisor: pop ebx; hlt. Of a frame without an error code that would be the address.
  guest.write(UserGuest::kHandler, BYTES("\x5b\xf4"));
  guest.user(BYTES("\x66\x0f\x38\x82\x0e\x00\x10"), 0);  // invpcid ecx, [0x1000]
  CHECK_EQUAL(guest.regs.rbx, 0u);
}
