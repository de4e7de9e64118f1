// Guests under extended page tables: what they reach, and what the exits tell (SDM Vol. 3C, 28.2.1, 29.3).
#include "test/native/emulator/ept-guest.h"

using namespace vtkit;
using namespace vtkit::test;
namespace vmx = vtkit::emulator::vmx;

namespace {

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

TEST("a log has each page that became dirty, once, and a full one exits before the write") {
  EptGuest guest(true);
  constexpr uint64_t kLog = 0x60000;
  guest.control(Field::secondaryControls, vmx::secondary::kEnablePml);
  guest.field(Field::pmlAddress, kLog);
  guest.field(Field::pmlIndex, 511);
  guest.enter(kStore);
  CHECK_EQUAL(guest.left(ExitReason::hlt), true);
  const uint64_t index = guest.field(Field::pmlIndex);
  CHECK_EQUAL(guest.get<uint64_t>(kLog + 8 * (index + 1)), EptGuest::kTarget);
  guest.enter(kStore);
  CHECK_EQUAL(guest.field(Field::pmlIndex), index);
  guest.map(EptGuest::kTarget, EptGuest::kTarget, 7);
  guest.field(Field::pmlIndex, 0xffff);
  guest.put<uint64_t>(EptGuest::kTarget, 0);
  guest.regs.rax = 5;
  guest.enter(kStore);
  CHECK_EQUAL(guest.left(ExitReason::pageModificationLogFull), true);
  CHECK_EQUAL(guest.get<uint64_t>(EptGuest::kTarget), 0u);
  CHECK_EQUAL(guest.entry(EptGuest::kTarget) >> 9 & 1, 0u);
  guest.field(Field::pmlIndex, 511);
  guest.again();
  CHECK_EQUAL(guest.left(ExitReason::hlt), true);
  CHECK_EQUAL(guest.get<uint64_t>(EptGuest::kTarget), 5u);
}

TEST("a violation becomes a virtualization exception where its entry allows it, and no other is on its way") {
  constexpr uint64_t kArea = 0x61000, kSuppress = uint64_t{1} << 63;
  for (const uint64_t suppressed : {uint64_t{0}, kSuppress}) {
    EptGuest guest;
    guest.control(Field::secondaryControls, vmx::secondary::kEptViolationVe);
    guest.field(Field::virtualizationExceptionAddress, kArea);
    guest.field(Field::eptpIndex, 7);
    guest.write(VmxGuest::kHandler, BYTES("\xb3\x77\xf4"));
    guest.regs.rbx = 0;
    guest.map(EptGuest::kTarget, EptGuest::kTarget, 1 | suppressed);
    guest.enter(kStore);
    CHECK_EQUAL(guest.left(suppressed != 0 ? ExitReason::eptViolation : ExitReason::hlt), true);
    CHECK_EQUAL(guest.regs.rbx & 0xff, suppressed != 0 ? 0 : 0x77u);
    if (suppressed != 0) continue;
    CHECK_EQUAL(guest.get<uint32_t>(kArea), 48u);
    CHECK_EQUAL(guest.get<uint32_t>(kArea + 4), 0xffffffffu);
    CHECK_EQUAL(guest.get<uint64_t>(kArea + 8), 0x18au);
    CHECK_EQUAL(guest.get<uint64_t>(kArea + 16), EptGuest::kTarget);
    CHECK_EQUAL(guest.get<uint64_t>(kArea + 24), EptGuest::kTarget);
    CHECK_EQUAL(guest.get<uint16_t>(kArea + 32), 7u);
    guest.enter(kStore);  // the area is still taken
    CHECK_EQUAL(guest.left(ExitReason::eptViolation), true);
  }
}

TEST("VM function 0 goes to another pointer of the list; one that is none leaves") {
  constexpr uint64_t kList = 0x62000, kOtherTop = 0x63000;
  EptGuest guest;
  guest.put<uint64_t>(kOtherTop, EptGuest::kPointers3 | 7);
  guest.put<uint64_t>(kList + 8, kOtherTop | 3 << 3 | 6);
  guest.put<uint64_t>(kList + 16, kOtherTop | 1);
  guest.control(Field::secondaryControls, vmx::secondary::kEnableVmFunctions);
  guest.field(Field::vmFunctionControls, 1);
  guest.field(Field::eptpListAddress, kList);
  const auto switchTo = [](char index) {
    return BYTES("\x31\xc0\xb9") + bytesOf(static_cast<uint32_t>(index)) + BYTES("\x0f\x01\xd4\xf4");
  };
  guest.enter(switchTo(1));
  CHECK_EQUAL(guest.left(ExitReason::hlt), true);
  CHECK_EQUAL(guest.field(Field::eptPointer), kOtherTop | 3 << 3 | 6);
  guest.enter(switchTo(2));
  CHECK_EQUAL(guest.left(ExitReason::vmfunc), true);
}

TEST("mode-based control executes supervisor pages and user pages by bits of their own") {
  for (const bool user : {false, true}) {
    EptGuest guest;
    guest.control(Field::secondaryControls, vmx::secondary::kModeBasedExecute);
    for (uint64_t page = 0; page < 1024; page++) guest.map(page << 12, page << 12, 0x407);
    for (const uint64_t table : {EptGuest::kTop, EptGuest::kPointers3, EptGuest::kDirectory}) {
      guest.put<uint64_t>(table, guest.get<uint64_t>(table) | 0x400);
    }
    guest.write(EptGuest::kTarget, "\xf4");
    // The guest has its first 2 MiB as pages of ring 3, or not.
    guest.put<uint64_t>(VmxGuest::kTables + 0x2000, user ? 0x87 : 0x83);
    guest.map(EptGuest::kTarget, EptGuest::kTarget, 7);
    guest.enter(kJump);
    CHECK_EQUAL(guest.left(user ? ExitReason::eptViolation : ExitReason::hlt), true);
    if (user) CHECK_EQUAL(guest.field(Field::exitQualification), 0x1bcu);
    guest.map(EptGuest::kTarget, EptGuest::kTarget, 0x403);
    guest.enter(kJump);
    CHECK_EQUAL(guest.left(user ? ExitReason::hlt : ExitReason::eptViolation), true);
    if (!user) CHECK_EQUAL(guest.field(Field::exitQualification), 0x1dcu);
  }
}

TEST("PAE paging uses the pointers that the processor was given, and an exit saves them") {
  EptGuest guest;
  constexpr uint64_t kPointerTable = 0x64000, kDirectories = 0x65000;
  guest.put<uint64_t>(kPointerTable, kDirectories | 1);
  guest.put<uint64_t>(kDirectories, 0x83);  // 2 MiB
  guest.control(Field::secondaryControls, vmx::secondary::kUnrestrictedGuest);
  guest.field(Field::entryControls, guest.field(Field::entryControls) & ~uint64_t{vmx::onEntry::kIa32eModeGuest});
  guest.control(Field::entryControls, vmx::onEntry::kLoadEfer);  // EFER.LME is off
  guest.field(Field::guestCsAccessRights, 0xc09b);
  guest.field(Field::guestCr0, guest.field(Field::guestCr0) & ~(uint64_t{1} << 31));
  guest.field(Field::guestCr3, kPointerTable);
  // mov eax, cr0; bts eax, 31; mov cr0, eax; mov dword [64000H], 0; mov ebx, [40000H]; hlt
  guest.put<uint32_t>(EptGuest::kTarget, 0x1234);
  guest.enter(
      BYTES("\x0f\x20\xc0\x0f\xba\xe8\x1f\x0f\x22\xc0\xc7\x05\x00\x40\x06\x00\x00\x00\x00\x00"
            "\x8b\x1d\x00\x00\x04\x00\xf4"));
  CHECK_EQUAL(guest.left(ExitReason::hlt), true);
  CHECK_EQUAL(guest.regs.rbx, 0x1234u);
  CHECK_EQUAL(guest.get<uint32_t>(kPointerTable), 0u);
  CHECK_EQUAL(guest.field(Field::guestPdpte0), kDirectories | 1);
}
