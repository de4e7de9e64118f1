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

/** An empty log of pages that become dirty. */
constexpr uint64_t kLog = 0x60000;
void logPages(EptGuest& guest) {
  guest.control(Field::secondaryControls, vmx::secondary::kEnablePml);
  guest.field(Field::pmlAddress, kLog);
  guest.field(Field::pmlIndex, 511);
}

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

TEST("an entry that cannot be is a misconfiguration, not a violation, and one that is not present can be anything") {
  constexpr uint64_t kWriteBack = 6 << 3, kWide = uint64_t{1} << 50, k1GiB = 1 << 30, k512GiB = uint64_t{1} << 39;
  constexpr uint64_t kTop = EptGuest::kTop, kPointers = EptGuest::kPointers3, kDirectory = 0x70000, kTable = 0x71000;
  constexpr auto kReached = ExitReason::hlt, kHidden = ExitReason::eptViolation,
                 kMisconfigured = ExitReason::eptMisconfiguration;
  // Each kind of entry for a guest-physical address, and those that lead to it.
  const struct {
    uint64_t address, physical, entry;
    ExitReason reason;
  } rows[] = {
      {kTable, k1GiB, 7 | kWriteBack, kReached},
      {kTable, k1GiB, 7, kReached},  // uncacheable
      {kTable, k1GiB, 2 | kWriteBack, kMisconfigured},
      {kTable, k1GiB, 6 | kWriteBack, kMisconfigured},
      {kTable, k1GiB, 7 | 2 << 3, kMisconfigured},
      {kTable, k1GiB, 7 | 7 << 3, kMisconfigured},
      {kTable, k1GiB, 7 | kWriteBack | kWide, kMisconfigured},
      {kTable, k1GiB, ~uint64_t{7}, kHidden},
      {kDirectory, k1GiB, 0x87 | kWriteBack, kReached},  // 2 MiB
      {kDirectory, k1GiB, 0x87 | 3 << 3, kMisconfigured},
      {kDirectory, k1GiB, 0x87 | kWriteBack | 0x1000, kMisconfigured},
      {kDirectory, k1GiB, 0x87 | kWriteBack | 0x100000, kMisconfigured},
      {kDirectory, k1GiB, kTable | 7 | 8, kMisconfigured},
      {kDirectory, k1GiB, kTable | 7 | 0x40, kMisconfigured},
      {kDirectory, k1GiB, kTable | 7 | kWide, kMisconfigured},
      {kDirectory, k1GiB, ~uint64_t{7}, kHidden},
      {kPointers + 8, k1GiB, 0x87 | kWriteBack, kReached},  // 1 GiB
      {kPointers + 8, k1GiB, 0x87 | kWriteBack | 0x200000, kMisconfigured},
      {kPointers + 8, k1GiB, kDirectory | 7 | 8, kMisconfigured},
      {kPointers + 8, k1GiB, ~uint64_t{7}, kHidden},
      {kTop + 8, k512GiB, kPointers | 7 | 8, kMisconfigured},
      {kTop + 8, k512GiB, 0x87, kMisconfigured},
      {kTop + 8, k512GiB, 0x87 | kWriteBack, kMisconfigured},
      {kTop + 8, k512GiB, ~uint64_t{7}, kHidden},
  };
  for (const auto& row : rows) {
    EptGuest guest;
    guest.put<uint64_t>(VmxGuest::kTables + 0x1008, row.physical | 0x87);  // the guest has it at 1 GiB
    guest.put<uint64_t>(kPointers + 8, kDirectory | 7);
    guest.put<uint64_t>(kDirectory, kTable | 7);
    guest.put<uint64_t>(row.address, row.entry);
    guest.enter(BYTES("\x8b\x04\x25") + bytesOf(k1GiB) + "\xf4");  // mov eax, [40000000H]
    const bool right = CHECK_EQUAL(guest.reason(), number(row.reason)) &
                       CHECK_EQUAL(guest.field(Field::guestPhysicalAddress), row.reason == kReached ? 0 : row.physical);
    if (row.reason == kHidden) CHECK_EQUAL(guest.field(Field::exitQualification), 0x181u);
    if (!right) std::printf("  of %llx\n", static_cast<unsigned long long>(row.entry));
  }
}

TEST("accessed and dirty flags are set where the pointer asks for them, and nowhere else") {
  for (const bool flags : {false, true}) {
    EptGuest guest(flags);
    guest.enter(kLoad);
    CHECK_EQUAL(guest.entry(EptGuest::kTarget) >> 8 & 3, flags ? 1u : 0u);
    guest.enter(kStore);
    CHECK_EQUAL(guest.entry(EptGuest::kTarget) >> 8 & 3, flags ? 3u : 0u);
    // What leads to a table is never dirty.
    for (const uint64_t table : {EptGuest::kTop, EptGuest::kPointers3, EptGuest::kDirectory}) {
      CHECK_EQUAL(guest.get<uint64_t>(table) >> 8 & 3, flags ? 1u : 0u);
    }
  }
}

TEST("an entry that has its flags already is not written") {
  EptGuest guest(true);
  constexpr uint64_t kTables = 0x30000, kBytes = 5 * 0x1000, kFlags = 0x300;
  // The same tables in memory that only reads: a write would come out of it as one of a device.
  const Ram only(kBytes);
  guest.memory.addSlot(1, Guest::kBytes, kBytes, only.get(), true, false);
  for (uint64_t at = 0; at < kBytes; at += 8) {
    uint64_t entry = guest.get<uint64_t>(kTables + at);
    if (entry != 0) entry |= kFlags;
    if (entry != 0 && at < 0x3000) entry += Guest::kBytes - kTables;
    guest.memory.write(Guest::kBytes + at, &entry, sizeof(entry));
  }
  guest.field(Field::eptPointer, guest.field(Field::eptPointer) + Guest::kBytes - kTables);
  guest.enter(kStore);
  CHECK_EQUAL(guest.left(ExitReason::hlt), true);
  CHECK_EQUAL(guest.platform.mmio.size(), 0u);
}

TEST("reaching the guest's paging structures reads, and writes to mark them, or with accessed and dirty flags always") {
  constexpr uint64_t kAccessed = 0x20, kDirty = 0x40, kGuestTable = 0x70000;
  constexpr uint64_t kReads = 0x81, kWrites = 0x83, kReached = 0;
  const struct {
    bool flags;
    uint64_t rights, marks;
    bool store;
    uint64_t qualification;
  } rows[] = {
      {false, 0, kAccessed | kDirty, true, kReads},
      {false, 1, 0, false, kWrites | 8},
      {false, 1, kAccessed, false, kReached},
      {false, 1, kAccessed, true, kWrites | 8},
      {false, 1, kAccessed | kDirty, true, kReached},
      {true, 0, kAccessed | kDirty, false, kWrites},
      {true, 1, kAccessed | kDirty, false, kWrites | 8},
      {true, 3, kAccessed | kDirty, false, kReached},
  };
  for (const auto& row : rows) {
    EptGuest guest(row.flags);
    guest.put<uint64_t>(VmxGuest::kTables + 0x2010, kGuestTable | 7 | kAccessed);
    guest.put<uint64_t>(kGuestTable, EptGuest::kTarget | 7 | row.marks);
    guest.map(kGuestTable, kGuestTable, row.rights);
    guest.enter((row.store ? BYTES("\x89\x04\x25") : BYTES("\x8b\x04\x25")) + bytesOf(0x400000) + "\xf4");
    CHECK_EQUAL(guest.left(row.qualification == kReached ? ExitReason::hlt : ExitReason::eptViolation), true);
    CHECK_EQUAL(guest.field(Field::exitQualification), row.qualification);
    if (row.qualification == kReached) continue;
    CHECK_EQUAL(guest.field(Field::guestPhysicalAddress), kGuestTable);
    CHECK_EQUAL(guest.field(Field::guestLinearAddress), 0x400000u);
  }
}

TEST("what four levels cannot reach is a violation") {
  EptGuest guest;
  std::vector<emulator::CpuidRow> rows = guest.processor->cpuid();
  for (emulator::CpuidRow& row : rows) {
    if (row.leaf == 0x80000008) row.eax = (row.eax & ~0xffu) | 52;
  }
  guest.processor->setCpuid(rows);
  constexpr uint64_t kBeyond = uint64_t{1} << 48;
  guest.put<uint64_t>(VmxGuest::kTables + 0x2010, kBeyond | 0x87);
  guest.enter(BYTES("\x8b\x04\x25") + bytesOf(0x400000) + "\xf4");
  CHECK_EQUAL(guest.left(ExitReason::eptViolation), true);
  CHECK_EQUAL(guest.field(Field::exitQualification), 0x181u);
  CHECK_EQUAL(guest.field(Field::guestPhysicalAddress), kBeyond);
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
  logPages(guest);
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

TEST("a page that is accessed and does not become dirty is not logged; entry 0 is the last of the log") {
  EptGuest guest(true);
  logPages(guest);
  guest.enter(kStore);
  guest.map(EptGuest::kTarget, EptGuest::kTarget, 7);
  guest.field(Field::pmlIndex, 0);
  guest.enter(kLoad);
  CHECK_EQUAL(guest.left(ExitReason::hlt), true);
  CHECK_EQUAL(guest.entry(EptGuest::kTarget) >> 8 & 3, 1u);
  CHECK_EQUAL(guest.field(Field::pmlIndex), 0u);
  guest.enter(kStore);
  CHECK_EQUAL(guest.left(ExitReason::hlt), true);
  CHECK_EQUAL(guest.field(Field::pmlIndex), 0xffffu);
  CHECK_EQUAL(guest.get<uint64_t>(kLog), EptGuest::kTarget);
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

TEST("without protection, or on the way of an event, a violation is no virtualization exception") {
  constexpr uint64_t kArea = 0x61000;
  for (const bool real : {false, true}) {
    EptGuest guest;
    guest.control(Field::secondaryControls, vmx::secondary::kEptViolationVe | vmx::secondary::kUnrestrictedGuest);
    guest.field(Field::virtualizationExceptionAddress, kArea);
    const uint64_t hidden = real ? EptGuest::kTarget : VmxGuest::kIdt;
    guest.map(hidden, hidden, 0);
    if (real) {
      guest.narrow();
      guest.field(Field::guestCr0, guest.field(Field::guestCr0) & 0x7ffffffe);
      guest.enter(BYTES("\xa1") + bytesOf(EptGuest::kTarget));  // mov eax, [40000H]
    } else {
      guest.enter(BYTES("\xcd\x30"));
    }
    CHECK_EQUAL(guest.left(ExitReason::eptViolation), true);
    CHECK_EQUAL(guest.field(Field::guestPhysicalAddress), real ? hidden : hidden + 0x300);
    CHECK_EQUAL(guest.field(Field::idtVectoringInformation), real ? 0 : 0x80000430u);
    CHECK_EQUAL(guest.get<uint32_t>(kArea + 4), 0u);
  }
}

TEST("a virtualization exception ends what the processor had of the page") {
  constexpr uint64_t kArea = 0x61000, kOther = 0x41000;
  EptGuest guest;
  guest.control(Field::secondaryControls, vmx::secondary::kEptViolationVe);
  guest.field(Field::virtualizationExceptionAddress, kArea);
  guest.put<uint64_t>(kOther, 0x5555);
  guest.write(VmxGuest::kHandler, BYTES("\x48\x8b\x1c\x25\x00\x00\x04\x00\xf4"));  // mov rbx, [40000H]; hlt
  // The guest reads the page, makes its entry one of another that only reads, and writes.
  const auto entry = static_cast<uint32_t>(EptGuest::kTable + (EptGuest::kTarget >> 12) * 8);
  guest.enter(kLoad.substr(0, 8) + BYTES("\xc7\x04\x25") + bytesOf(entry) + bytesOf(kOther | 6 << 3 | 1) + kStore);
  CHECK_EQUAL(guest.left(ExitReason::hlt), true);
  CHECK_EQUAL(guest.get<uint32_t>(kArea), 48u);
  CHECK_EQUAL(guest.regs.rbx, 0x5555u);
}

TEST("VM function 0 goes to another pointer of the list; one that is none leaves") {
  constexpr uint64_t kList = 0x66000, kOtherTop = 0x63000;
  EptGuest guest;
  guest.put<uint64_t>(kOtherTop, EptGuest::kPointers3 | 7);
  for (const uint64_t index : {1, 511, 512}) guest.put<uint64_t>(kList + 8 * index, kOtherTop | 3 << 3 | 6);
  guest.put<uint64_t>(kList + 16, kOtherTop | 1);
  guest.control(Field::secondaryControls, vmx::secondary::kEnableVmFunctions);
  guest.field(Field::vmFunctionControls, 1);
  guest.field(Field::eptpListAddress, kList);
  const auto switchTo = [&](uint32_t index) {
    guest.field(Field::eptPointer, EptGuest::kTop | 3 << 3 | 6);
    guest.field(Field::eptpIndex, 7);
    guest.enter(BYTES("\x31\xc0\xb9") + bytesOf(index) + BYTES("\x0f\x01\xd4\xf4"));
    CHECK_EQUAL(guest.field(Field::eptPointer) == (kOtherTop | 3 << 3 | 6), guest.left(ExitReason::hlt));
    return guest.left(ExitReason::hlt);
  };
  CHECK_EQUAL(switchTo(1), true);
  CHECK_EQUAL(guest.field(Field::eptpIndex), 7u);
  CHECK_EQUAL(switchTo(511), true);
  CHECK_EQUAL(switchTo(512), false);
  CHECK_EQUAL(guest.left(ExitReason::vmfunc), true);
  CHECK_EQUAL(switchTo(2), false);
  CHECK_EQUAL(guest.left(ExitReason::vmfunc), true);
  // Only virtualization exceptions tell of the index.
  guest.control(Field::secondaryControls, vmx::secondary::kEptViolationVe);
  guest.field(Field::virtualizationExceptionAddress, 0x61000);
  CHECK_EQUAL(switchTo(511), true);
  CHECK_EQUAL(guest.field(Field::eptpIndex), 511u);
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
  // A load of the pointers is a read, which no linear address makes.
  guest.map(kPointerTable, kPointerTable, 0);
  guest.enter(
      BYTES("\x0f\x20\xc0\x0f\xba\xe8\x1f\x0f\x22\xc0\xc7\x05\x00\x40\x06\x00\x00\x00\x00\x00"
            "\x8b\x1d\x00\x00\x04\x00\xf4"));
  CHECK_EQUAL(guest.left(ExitReason::eptViolation), true);
  CHECK_EQUAL(guest.field(Field::exitQualification), 1u);
  CHECK_EQUAL(guest.field(Field::guestPhysicalAddress), kPointerTable);
  guest.map(kPointerTable, kPointerTable, 7);
  guest.again();
  CHECK_EQUAL(guest.left(ExitReason::hlt), true);
  CHECK_EQUAL(guest.regs.rbx, 0x1234u);
  CHECK_EQUAL(guest.get<uint32_t>(kPointerTable), 0u);
  CHECK_EQUAL(guest.field(Field::guestPdpte0), kDirectories | 1);
}
