// Stale translations of guests: tags by VPID and extended page tables, and what ends them (SDM Vol. 3C, 29.4).
#include "test/native/emulator/ept-guest.h"

using namespace vtkit;
using namespace vtkit::test;
namespace vmx = vtkit::emulator::vmx;

namespace {

constexpr uint64_t kAt = 0x400000, kGuestTable = 0x70000, kSecond = 0x80000, kThird = 0x90000;
constexpr uint64_t kOldValue = 0xaa, kNewValue = 0xbb, kThirdValue = 0xcc, kDescriptor = 0x29000, kVpid = 7;
constexpr uint64_t kEptDirty = 0x200, kEptAccessed = 0x100, kGuestFlags = 0x60;

/** A guest that reads 0x400000, which its own tables show as kTarget, and its hypervisor's as the same page. */
class StaleGuest : public EptGuest {
 public:
  explicit StaleGuest(uint64_t vpid = kVpid, bool ept = true, bool flags = false) : EptGuest(flags) {
    if (!ept) field(Field::secondaryControls, 0);
    if (vpid != 0) control(Field::secondaryControls, vmx::secondary::kEnableVpid);
    field(Field::virtualProcessorIdentifier, vpid);
    put<uint64_t>(kTables + 0x2010, kGuestTable | 7);
    for (uint64_t i = 0; i < 2; i++) guestMap(i, kTarget);
    put<uint64_t>(kTarget, kOldValue);
    put<uint64_t>(kSecond, kNewValue);
    put<uint64_t>(kThird, kThirdValue);
    processor->keepTranslations();
  }
  void guestMap(uint64_t page, uint64_t guestPhysical, uint64_t bits = 7) {
    put<uint64_t>(kGuestTable + 8 * page, guestPhysical | bits);
  }
  uint64_t read() {
    enter(BYTES("\x48\x8b\x04\x25\x00\x00\x40\x00\xf4"));  // mov rax, [0x400000]; hlt
    CHECK_EQUAL(left(ExitReason::hlt), true);
    return regs.rax;
  }
  void store() { enter(BYTES("\x48\x89\x04\x25\x00\x00\x40\x00\xf4")); }
  /** INVEPT (opcode 80H) or INVVPID (81H) of a type, by the host. */
  void invalidate(char opcode, uint64_t type, uint64_t low, uint64_t high = 0) {
    put<uint64_t>(kDescriptor, low);
    put<uint64_t>(kDescriptor + 8, high);
    run(BYTES("\xb9") + bytesOf(static_cast<uint32_t>(type)) + BYTES("\x66\x0f\x38") + opcode + BYTES("\x0c\x25") +
        bytesOf(kDescriptor));
    CHECK_EQUAL(regs.rflags & 0x41, 0u);  // VMsucceed
  }
  void invept(uint64_t type, uint64_t pointer) { invalidate('\x80', type, pointer); }
  void invvpid(uint64_t type, uint64_t vpid, uint64_t linear = 0) { invalidate('\x81', type, vpid, linear); }
  uint64_t pointer() { return field(Field::eptPointer); }
};

}  // namespace

TEST("with a VPID a guest's translation lives through exits and entries") {
  for (const bool ept : {true, false}) {
    StaleGuest guest(kVpid, ept);
    CHECK_EQUAL(guest.read(), kOldValue);
    guest.guestMap(0, kSecond);
    CHECK_EQUAL(guest.read(), kOldValue);
  }
}

TEST("without one, each of them ends it, but for what the extended page tables said") {
  StaleGuest guest(0);
  CHECK_EQUAL(guest.read(), kOldValue);
  guest.guestMap(0, kSecond);
  CHECK_EQUAL(guest.read(), kNewValue);
  guest.map(kSecond, kThird, 7);
  CHECK_EQUAL(guest.read(), kNewValue);
  guest.invept(1, guest.pointer());
  CHECK_EQUAL(guest.read(), kThirdValue);
}

TEST("entries and exits without a VPID end the host's translations, which have VPID 0; with one they do not") {
  for (const uint64_t vpid : {uint64_t{0}, kVpid}) {
    StaleGuest guest(vpid);
    const std::string load = BYTES("\x48\x8b\x04\x25\x00\x10\x40\x00");  // mov rax, [0x401000]
    guest.run(load);
    guest.guestMap(1, kSecond);
    guest.read();
    guest.run(load);
    CHECK_EQUAL(guest.regs.rax, vpid == 0 ? kNewValue : kOldValue);
  }
}

TEST("INVEPT ends what came of one pointer's tables, or of all, and no linear mapping") {
  const struct {
    uint64_t type, pointer;
    bool ends;
  } rows[] = {{1, EptGuest::kTop | 0x1e, true}, {1, kSecond | 0x1e, false}, {2, 0, true}};
  for (const auto& row : rows) {
    StaleGuest guest;
    CHECK_EQUAL(guest.read(), kOldValue);
    guest.map(EptGuest::kTarget, kSecond, 7);
    CHECK_EQUAL(guest.read(), kOldValue);
    guest.invept(row.type, row.pointer);
    CHECK_EQUAL(guest.read(), row.ends ? kNewValue : kOldValue);
  }
  StaleGuest linear(kVpid, false);
  CHECK_EQUAL(linear.read(), kOldValue);
  linear.guestMap(0, kSecond);
  linear.invept(2, 0);
  CHECK_EQUAL(linear.read(), kOldValue);
}

TEST("INVVPID ends by its type: an address, a VPID, all but 0, or all of a VPID but global ones") {
  constexpr uint64_t kOtherVpid = 8, kGlobal = 0x100, kPge = 1 << 7;
  const struct {
    uint64_t type, vpid, linear;
    bool ends, endsGlobal;
  } rows[] = {
      {0, kVpid, kAt, true, true}, {0, kVpid, kAt + 0x1000, false, false}, {0, kOtherVpid, kAt, false, false},
      {1, kVpid, 0, true, true},   {1, kOtherVpid, 0, false, false},       {2, 0, 0, true, true},
      {3, kVpid, 0, true, false},  {3, kOtherVpid, 0, false, false},
  };
  for (const bool ept : {true, false}) {
    for (const auto& row : rows) {
      for (const bool global : {false, true}) {
        StaleGuest guest(kVpid, ept);
        guest.control(Field::guestCr4, kPge);
        guest.guestMap(0, EptGuest::kTarget, global ? 7 | kGlobal : 7);
        CHECK_EQUAL(guest.read(), kOldValue);
        guest.guestMap(0, kSecond, global ? 7 | kGlobal : 7);
        guest.invvpid(row.type, row.vpid, row.linear);
        CHECK_EQUAL(guest.read(), (global ? row.endsGlobal : row.ends) ? kNewValue : kOldValue);
      }
    }
  }
}

TEST("INVVPID of all contexts leaves VPID 0, and none of its types ends a guest-physical mapping") {
  StaleGuest guest;
  const std::string load = BYTES("\x48\x8b\x04\x25\x00\x10\x40\x00");
  guest.run(load);
  guest.guestMap(1, kSecond);
  guest.invvpid(2, 0);
  guest.run(load);
  CHECK_EQUAL(guest.regs.rax, kOldValue);

  CHECK_EQUAL(guest.read(), kOldValue);
  guest.map(EptGuest::kTarget, kSecond, 7);
  guest.invvpid(2, 0);
  CHECK_EQUAL(guest.read(), kOldValue);
}

TEST("the guest's own INVLPG ends combined mappings of its VPID, and no guest-physical ones") {
  StaleGuest guest;
  const std::string forget = BYTES("\x0f\x01\x3c\x25\x00\x00\x40\x00"),
                    load = BYTES("\x48\x8b\x04\x25\x00\x00\x40\x00");
  CHECK_EQUAL(guest.read(), kOldValue);
  guest.map(EptGuest::kTarget, kThird, 7);
  guest.enter(forget + load + '\xf4');
  CHECK_EQUAL(guest.regs.rax, kOldValue);
  guest.guestMap(0, kSecond);
  CHECK_EQUAL(guest.read(), kOldValue);
  guest.enter(forget + load + '\xf4');
  CHECK_EQUAL(guest.regs.rax, kNewValue);
}

TEST("a violation ends the mappings of its address, and the guest goes on without INVEPT") {
  StaleGuest guest;
  guest.map(EptGuest::kTarget, EptGuest::kTarget, 5);
  CHECK_EQUAL(guest.read(), kOldValue);
  guest.map(EptGuest::kTarget, kSecond, 7);
  guest.regs.rax = 0x77;
  guest.store();
  CHECK_EQUAL(guest.left(ExitReason::eptViolation), true);
  CHECK_EQUAL(guest.field(Field::exitQualification), 0x1aau);  // of the rights that it had
  CHECK_EQUAL(guest.field(Field::guestPhysicalAddress), EptGuest::kTarget);
  guest.again();
  CHECK_EQUAL(guest.left(ExitReason::hlt), true);
  CHECK_EQUAL(guest.get<uint64_t>(kSecond), 0x77u);
}

TEST("a violation by what is kept of a page that the guest has dirty ends it, too") {
  StaleGuest guest;
  guest.guestMap(0, EptGuest::kTarget, 7 | kGuestFlags);
  guest.map(EptGuest::kTarget, EptGuest::kTarget, 5);
  CHECK_EQUAL(guest.read(), kOldValue);
  guest.map(EptGuest::kTarget, kSecond, 7);
  guest.guestMap(0, kThird, 7 | kGuestFlags);
  guest.store();
  CHECK_EQUAL(guest.left(ExitReason::eptViolation), true);
  CHECK_EQUAL(guest.field(Field::exitQualification), 0x1aau);
  CHECK_EQUAL(guest.field(Field::guestPhysicalAddress), EptGuest::kTarget);
  CHECK_EQUAL(guest.read(), kThirdValue);
}

TEST("a violation of a paging structure leaves what is kept of the linear address") {
  constexpr uint64_t kOtherTable = 0x71000;
  StaleGuest guest;
  guest.guestMap(0, EptGuest::kTarget, 7 | kGuestFlags);
  guest.map(kGuestTable, kGuestTable, 5);
  CHECK_EQUAL(guest.read(), kOldValue);
  // The directory leads elsewhere, but the processor still has where it led to, and has to mark an entry there.
  guest.put<uint64_t>(VmxGuest::kTables + 0x2010, kOtherTable | 7);
  guest.put<uint64_t>(kOtherTable + 8, kThird | 7);
  guest.guestMap(1, kSecond);
  const std::string load = BYTES("\x48\x8b\x04\x25\x00\x10\x40\x00\xf4");
  guest.enter(load);
  CHECK_EQUAL(guest.left(ExitReason::eptViolation), true);
  CHECK_EQUAL(guest.field(Field::guestPhysicalAddress), kGuestTable + 8);
  guest.map(kGuestTable, kGuestTable, 7);
  guest.again();
  CHECK_EQUAL(guest.regs.rax, kNewValue);
}

TEST("what the extended tables say of a page, and of a table on the way there, is kept for other linear addresses") {
  // Through 0x401000: the same page, of which a read keeps enough for reads, and for writes where it is dirty.
  for (const bool flags : {false, true}) {
    for (const bool stores : {false, true}) {
      StaleGuest guest(kVpid, true, flags);
      CHECK_EQUAL(guest.read(), kOldValue);
      guest.map(EptGuest::kTarget, kSecond, 7);
      guest.regs.rax = 0x77;
      guest.enter(BYTES("\x48") + (stores ? "\x89" : "\x8b") + BYTES("\x04\x25\x00\x10\x40\x00\xf4"));
      CHECK_EQUAL(guest.left(ExitReason::hlt), true);
      const bool walks = flags && stores;
      if (!stores) CHECK_EQUAL(guest.regs.rax, kOldValue);
      if (stores) CHECK_EQUAL(guest.get<uint64_t>(walks ? kSecond : EptGuest::kTarget), 0x77u);
    }
  }
  // Another page of the same table.
  constexpr uint64_t kOtherTable = 0x71000;
  StaleGuest guest;
  guest.guestMap(1, kSecond);
  CHECK_EQUAL(guest.read(), kOldValue);
  for (uint64_t page = 0; page < 512; page++) guest.put<uint64_t>(kOtherTable + 8 * page, page << 12 | 0x37);
  guest.put<uint64_t>(kOtherTable + 8 * (kSecond >> 12), kThird | 0x37);
  guest.put<uint64_t>(EptGuest::kDirectory, kOtherTable | 7);
  const std::string load = BYTES("\x48\x8b\x04\x25\x00\x10\x40\x00\xf4");
  guest.enter(load);
  CHECK_EQUAL(guest.regs.rax, kNewValue);
  guest.invept(2, 0);
  guest.enter(load);
  CHECK_EQUAL(guest.regs.rax, kThirdValue);
}

TEST("a violation through one address leaves the combined mapping of another to the same page") {
  StaleGuest guest;
  guest.map(EptGuest::kTarget, EptGuest::kTarget, 5);
  guest.enter(BYTES("\x48\x8b\x04\x25\x00\x10\x40\x00\xf4"));  // mov rax, [0x401000]
  CHECK_EQUAL(guest.read(), kOldValue);
  guest.map(EptGuest::kTarget, kSecond, 7);
  guest.store();
  CHECK_EQUAL(guest.left(ExitReason::eptViolation), true);
  CHECK_EQUAL(guest.read(), kNewValue);
  guest.enter(BYTES("\x48\x8b\x04\x25\x00\x10\x40\x00\xf4"));
  CHECK_EQUAL(guest.regs.rax, kOldValue);
}

TEST("a virtualization exception ends them too") {
  constexpr uint64_t kArea = 0x61000;
  StaleGuest guest;
  guest.control(Field::secondaryControls, vmx::secondary::kEptViolationVe);
  guest.field(Field::virtualizationExceptionAddress, kArea);
  guest.map(EptGuest::kTarget, EptGuest::kTarget, 1);
  CHECK_EQUAL(guest.read(), kOldValue);
  guest.map(EptGuest::kTarget, kSecond, 7);
  guest.write(VmxGuest::kHandler, BYTES("\x48\x8b\x1c\x25\x00\x00\x40\x00\xf4"));  // mov rbx, [0x400000]; hlt
  guest.store();
  CHECK_EQUAL(guest.left(ExitReason::hlt), true);
  CHECK_EQUAL(guest.regs.rbx, kNewValue);
}

TEST("mappings of two EPT pointers live side by side, and VM function 0 goes from one to the other") {
  constexpr uint64_t kList = 0x62000, kTop2 = 0x63000, kPointers2 = 0x64000, kDirectory2 = 0x65000, kTable2 = 0x66000;
  StaleGuest guest;
  guest.put<uint64_t>(kTop2, kPointers2 | 7);
  guest.put<uint64_t>(kPointers2, kDirectory2 | 7);
  guest.put<uint64_t>(kDirectory2, kTable2 | 7);
  guest.put<uint64_t>(kDirectory2 + 8, (EptGuest::kTable + 0x1000) | 7);
  for (uint64_t page = 0; page < 512; page++) guest.put<uint64_t>(kTable2 + 8 * page, page << 12 | 0x37);
  guest.put<uint64_t>(kTable2 + 8 * (EptGuest::kTarget >> 12), kSecond | 0x37);
  guest.put<uint64_t>(kList, guest.pointer());
  guest.put<uint64_t>(kList + 8, kTop2 | 0x1e);
  guest.control(Field::secondaryControls, vmx::secondary::kEnableVmFunctions);
  guest.field(Field::vmFunctionControls, 1);
  guest.field(Field::eptpListAddress, kList);
  // xor eax, eax; mov ecx, index; vmfunc
  const auto go = [](uint32_t index) { return BYTES("\x31\xc0\xb9") + bytesOf(index) + BYTES("\x0f\x01\xd4"); };
  const std::string toRbx = BYTES("\x48\x8b\x1c\x25\x00\x00\x40\x00");
  const std::string toRdx = BYTES("\x48\x8b\x14\x25\x00\x00\x40\x00");
  CHECK_EQUAL(guest.read(), kOldValue);
  guest.map(EptGuest::kTarget, kThird, 7);
  guest.enter(go(1) + toRbx + go(0) + toRdx + '\xf4');
  CHECK_EQUAL(guest.left(ExitReason::hlt), true);
  CHECK_EQUAL(guest.regs.rbx, kNewValue);
  CHECK_EQUAL(guest.regs.rdx, kOldValue);
}

TEST("a write walks where the extended tables' page is not dirty, and only there") {
  StaleGuest guest(kVpid, true, true);
  const auto flags = [&] { return guest.entry(EptGuest::kTarget) & (kEptDirty | kEptAccessed); };
  guest.read();
  CHECK_EQUAL(flags(), kEptAccessed);
  guest.store();
  CHECK_EQUAL(flags(), kEptAccessed | kEptDirty);
  guest.map(EptGuest::kTarget, EptGuest::kTarget, 7);
  guest.store();
  CHECK_EQUAL(flags(), 0u);
  guest.invept(2, 0);
  guest.store();
  CHECK_EQUAL(flags(), kEptAccessed | kEptDirty);
}

TEST("INVLPG of one address ends all pieces that extended page tables made of a large page") {
  StaleGuest guest;
  guest.put<uint64_t>(VmxGuest::kTables + 0x2010, 0x87);  // the first 2 MiB again, by one page
  // mov rax, [0x440000]; and INVLPG [0x400000]
  const std::string load = BYTES("\x48\x8b\x04\x25\x00\x00\x44\x00"),
                    forget = BYTES("\x0f\x01\x3c\x25\x00\x00\x40\x00");
  guest.enter(load + '\xf4');
  CHECK_EQUAL(guest.regs.rax, kOldValue);
  guest.put<uint64_t>(VmxGuest::kTables + 0x2010, kGuestTable | 7);
  guest.guestMap(0x40, kSecond);
  guest.enter(load + '\xf4');
  CHECK_EQUAL(guest.regs.rax, kOldValue);
  guest.enter(forget + load + '\xf4');
  CHECK_EQUAL(guest.regs.rax, kNewValue);
}

TEST("INVEPT and INVVPID refuse what the manual has no meaning for, with error 28") {
  const struct {
    char opcode;
    uint64_t type, low, high;
  } rows[] = {
      {'\x80', 0, EptGuest::kTop | 0x1e, 0},  // types of INVEPT: 1, 2
      {'\x80', 3, EptGuest::kTop | 0x1e, 0},
      {'\x80', 1, EptGuest::kTop | 0x1c, 0},  // memory type 4
      {'\x80', 1, EptGuest::kTop | 0x16, 0},  // walks of three levels
      {'\x80', 1, EptGuest::kTop | 0x1e | uint64_t{1} << 52, 0},
      {'\x81', 4, 1, 0},        // types of INVVPID: 0 to 3
      {'\x81', 1, 0x10001, 0},  // VPIDs have 16 bits
      {'\x81', 2, 0x10000, 0},
      {'\x81', 0, 0, kAt},  // VPID 0 belongs to the host
      {'\x81', 1, 0, 0},
      {'\x81', 3, 0, 0},
      {'\x81', 0, 1, uint64_t{1} << 47},  // not canonical
  };
  for (const auto& row : rows) {
    StaleGuest guest;
    guest.put<uint64_t>(kDescriptor, row.low);
    guest.put<uint64_t>(kDescriptor + 8, row.high);
    guest.run(BYTES("\xb9") + bytesOf(static_cast<uint32_t>(row.type)) + BYTES("\x66\x0f\x38") + row.opcode +
              BYTES("\x0c\x25") + bytesOf(kDescriptor));
    CHECK_EQUAL(guest.regs.rflags & 0x8d5, 0x40u);  // VMfailValid: ZF alone
    CHECK_EQUAL(guest.field(Field::vmInstructionError), 28u);
  }
}
