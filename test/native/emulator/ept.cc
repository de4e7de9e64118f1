// Guests under extended page tables: what they reach, and what the exits tell (SDM Vol. 3C, 28.2.1, 29.3).
#include "test/native/emulator/vmx-guest.h"

using namespace vtkit;
using namespace vtkit::test;
namespace vmx = vtkit::emulator::vmx;

namespace {

/** Maps the first 4 MiB one to one by 4 KiB pages. */
class EptGuest : public VmxGuest {
 public:
  static constexpr uint64_t kTop = 0x30000, kPointers3 = 0x31000, kDirectory = 0x32000, kTable = 0x33000;
  static constexpr uint64_t kTarget = 0x40000;

  explicit EptGuest(bool flags = false) {
    put<uint64_t>(kTop, kPointers3 | 7);
    put<uint64_t>(kPointers3, kDirectory | 7);
    for (uint64_t i = 0; i < 2; i++) put<uint64_t>(kDirectory + 8 * i, (kTable + 0x1000 * i) | 7);
    for (uint64_t page = 0; page < 1024; page++) map(page << 12, page << 12, 7);
    control(Field::primaryControls, vmx::primary::kActivateSecondaryControls | vmx::primary::kHltExiting);
    control(Field::secondaryControls, vmx::secondary::kEnableEpt);
    field(Field::eptPointer, kTop | 3 << 3 | 6 | (flags ? 1 << 6 : 0));
  }
  void map(uint64_t guest, uint64_t physical, uint64_t rights) {
    put<uint64_t>(kTable + (guest >> 12) * 8, physical | rights | 6 << 3);
  }
  uint64_t entry(uint64_t guest) { return get<uint64_t>(kTable + (guest >> 12) * 8); }
  bool left(ExitReason reason) { return basicReason() == static_cast<uint64_t>(reason); }
};

// mov rax, [0x40000]; hlt — and the same as a write
const std::string kLoad = BYTES("\x48\x8b\x04\x25\x00\x00\x04\x00\xf4");
const std::string kStore = BYTES("\x48\x89\x04\x25\x00\x00\x04\x00\xf4");
// jmp to 0x40000
const std::string kJump = BYTES("\xb8\x00\x00\x04\x00\xff\xe0");

}  // namespace

TEST("a guest runs under tables that map one to one, and reaches another page where they say so") {
  EptGuest guest;
  guest.put<uint64_t>(0x41000, 0x1122334455667788);
  guest.map(EptGuest::kTarget, 0x41000, 7);
  guest.enter(kLoad);
  CHECK_EQUAL(guest.left(ExitReason::hlt), true);
  CHECK_EQUAL(guest.regs.rax, 0x1122334455667788u);
}

TEST("a violation tells access, rights, and both addresses") {
  const struct {
    const std::string& code;
    uint64_t rights, qualification;
  } rows[] = {
      {kLoad, 0, 0x181},   // nothing is there
      {kLoad, 4, 0x1a1},   // execute only
      {kStore, 1, 0x18a},  // read only
      {kStore, 5, 0x1aa}, {kJump, 3, 0x19c},
  };
  for (const auto& row : rows) {
    EptGuest guest;
    guest.map(EptGuest::kTarget, EptGuest::kTarget, row.rights);
    guest.enter(row.code);
    CHECK_EQUAL(guest.left(ExitReason::eptViolation), true);
    CHECK_EQUAL(guest.field(Field::exitQualification), row.qualification);
    CHECK_EQUAL(guest.field(Field::guestPhysicalAddress), EptGuest::kTarget);
    CHECK_EQUAL(guest.field(Field::guestLinearAddress), EptGuest::kTarget);
  }
}

TEST("the guest goes on with the instruction once its page is there") {
  EptGuest guest;
  guest.put<uint64_t>(EptGuest::kTarget, 5);
  guest.map(EptGuest::kTarget, 0, 0);
  guest.enter(kLoad);
  CHECK_EQUAL(guest.left(ExitReason::eptViolation), true);
  guest.map(EptGuest::kTarget, EptGuest::kTarget, 7);
  guest.again();
  CHECK_EQUAL(guest.left(ExitReason::hlt), true);
  CHECK_EQUAL(guest.regs.rax, 5u);
}

TEST("a paging structure that the tables hide is a violation without a translation") {
  EptGuest guest;
  const uint64_t top = guest.field(Field::guestCr3) & ~uint64_t{0xfff};
  guest.map(top, 0, 0);
  guest.enter(kLoad);
  CHECK_EQUAL(guest.left(ExitReason::eptViolation), true);
  CHECK_EQUAL(guest.field(Field::exitQualification), 0x81u);
  CHECK_EQUAL(guest.field(Field::guestPhysicalAddress) & ~uint64_t{0xfff}, top);
}

TEST("an entry that cannot be is a misconfiguration, not a violation") {
  const uint64_t entries[] = {2 | 6 << 3, 6 | 6 << 3, 7 | 2 << 3, 7 | 7 << 3, 7 | 6 << 3 | uint64_t{1} << 50};
  for (const uint64_t entry : entries) {
    EptGuest guest;
    guest.put<uint64_t>(EptGuest::kTable + (EptGuest::kTarget >> 12) * 8, EptGuest::kTarget | entry);
    guest.enter(kLoad);
    CHECK_EQUAL(guest.left(ExitReason::eptMisconfiguration), true);
    CHECK_EQUAL(guest.field(Field::guestPhysicalAddress), EptGuest::kTarget);
  }
}

TEST("accessed and dirty flags are set where the pointer asks for them, and nowhere else") {
  for (const bool flags : {false, true}) {
    EptGuest guest(flags);
    guest.enter(kLoad);
    CHECK_EQUAL(guest.entry(EptGuest::kTarget) >> 8 & 3, flags ? 1u : 0u);
    guest.enter(kStore);
    CHECK_EQUAL(guest.entry(EptGuest::kTarget) >> 8 & 3, flags ? 3u : 0u);
  }
}

TEST("an unrestricted guest runs without paging") {
  EptGuest guest;
  guest.control(Field::secondaryControls, vmx::secondary::kUnrestrictedGuest);
  guest.field(Field::entryControls, guest.field(Field::entryControls) & ~uint64_t{vmx::onEntry::kIa32eModeGuest});
  guest.field(Field::guestCr0, guest.field(Field::guestCr0) & ~uint64_t{0x80000000});
  guest.field(Field::guestCsAccessRights, 0xc09b);
  guest.enter(BYTES("\xa1\x00\x00\x04\x00\xf4"));  // mov eax, [0x40000]; hlt
  CHECK_EQUAL(guest.left(ExitReason::hlt), true);
  CHECK_EQUAL(guest.field(Field::guestRip), VmxGuest::kGuestCode + 5);
}
