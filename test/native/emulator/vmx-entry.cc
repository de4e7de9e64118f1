// What VM entry loads, and the event that it may inject (SDM Vol. 3C, 27.3.2 to 27.7).
#include "emulator/vmx/transitions.h"
#include "test/native/emulator/ept-guest.h"
#include "test/native/emulator/vmx-breaks.h"

using namespace vtkit;
using namespace vtkit::test;
using namespace vtkit::emulator::vmx;

namespace {

constexpr uint64_t kList = kMsrList, kMovSs = 2, kNmiBlocked = 8, kB0 = 1 | 1u << 12, kPg = 0x80000000;
constexpr uint32_t kKernelGsBase = 0xc0000102;

}  // namespace

TEST("without its own value EFER has LMA of the guest's mode, and LME too unless the guest does not page (27.3.2.1)") {
  const struct {
    bool wide, pages, loads;
    uint64_t value, efer;
  } rows[] = {
      {true, true, false, 0, 0x500},    {false, true, false, 0, 0},
      {false, false, false, 0, 0x100},  // LME of the host
      {true, true, true, 0xd01, 0xd01}, {false, false, true, 0x800, 0x800},
  };
  for (const auto& row : rows) {
    EptGuest guest;
    guest.control(Field::secondaryControls, secondary::kUnrestrictedGuest);
    guest.control(Field::exitControls, onExit::kSaveEfer);
    if (!row.wide) guest.narrow();
    if (!row.pages) take(Field::guestCr0, kPg)(guest);
    if (row.loads) guest.control(Field::entryControls, onEntry::kLoadEfer);
    guest.field(Field::guestEfer, row.value);
    guest.put<uint64_t>(kList, 0x87);  // PAE paging of the first 2 MiB
    guest.field(Field::guestPdpte0, kList | 1);
    guest.enter(kVmcall);
    CHECK_EQUAL(guest.reason(), number(ExitReason::vmcall));
    CHECK_EQUAL(guest.field(Field::guestEfer), row.efer);
  }
}

TEST("debug controls and PAT are loaded where a control says so") {
  for (const bool loads : {false, true}) {
    VmxGuest guest;
    const uint32_t bits = onEntry::kLoadDebugControls | onEntry::kLoadPat;
    (loads ? add(Field::entryControls, bits) : take(Field::entryControls, bits))(guest);
    guest.control(Field::exitControls, onExit::kSavePat);
    guest.field(Field::guestDr7, 0x402);
    guest.field(Field::guestDebugctl, 2);
    guest.field(Field::guestPat, 0x0007040600070401);
    guest.enter(kVmcall);
    CHECK_EQUAL(guest.field(Field::guestDr7), loads ? 0x402u : 0x400u);
    CHECK_EQUAL(guest.field(Field::guestDebugctl), loads ? 2u : 0u);
    CHECK_EQUAL(guest.field(Field::guestPat), loads ? 0x0007040600070401u : 0x0007040600070406u);
  }
}

TEST("the entries of PAE paging come from memory, under EPT from their fields") {
  constexpr uint64_t kPointers = 0x100000, kFirst = 0x101000, kSecond = 0x102000, kFar = 0x200000;
  for (const bool extended : {false, true}) {
    EptGuest guest;
    guest.narrow();
    if (!extended) take(Field::secondaryControls, secondary::kEnableEpt)(guest);
    guest.put<uint64_t>(kPointers, kFirst | 1);
    guest.put<uint64_t>(kFirst, 0x87);
    guest.put<uint64_t>(kSecond, kFar | 0x87);
    guest.field(Field::guestCr3, kPointers);
    guest.field(Field::guestPdpte0, kSecond | 1);
    guest.write(kFar + VmxGuest::kGuestCode, "\xb0\x02" + kVmcall);  // mov al, 2
    guest.enter("\xb0\x01" + kVmcall);
    CHECK_EQUAL(guest.regs.rax & 0xff, extended ? 2u : 1u);
  }
}

TEST("an entry of the list of MSRs fails that names a base, x2APIC, reserved bits, no MSR or a value of none") {
  const struct {
    uint32_t index, reserved;
    uint64_t value;
    bool fails;
  } rows[] = {
      {kKernelGsBase, 0, 0x1234, false}, {0xc0000100, 0, 0, true}, {0xc0000101, 0, 0, true}, {0x808, 0, 0, true},
      {kKernelGsBase, 1, 0, true},       {0x12345, 0, 0, true},    {0x277, 0, 0x0303, true},
  };
  for (const auto& row : rows) {
    VmxGuest guest;
    emulator::writeMsr(guest.processor->cpu(), 0x1b, 0xfee00d00);  // x2APIC mode, where WRMSR takes 808H
    putMsr(guest, 0, kKernelGsBase);
    putMsr(guest, 1, row.index, row.reserved, row.value);
    guest.field(Field::entryMsrLoadAddress, kList);
    guest.field(Field::entryMsrLoadCount, 2);
    guest.enter(kVmcall);
    CHECK_EQUAL(guest.reason(), row.fails ? number(ExitReason::msrLoading) | 1u << 31 : number(ExitReason::vmcall));
    if (row.fails) CHECK_EQUAL(guest.field(Field::exitQualification), 2u);
    CHECK_EQUAL(guest.processor->cpu().vmx.vmcs.launched, !row.fails);
  }
}

TEST("a list of MSRs has 512 entries at most, as IA32_VMX_MISC says, and lies in memory") {
  const auto failing = [](uint64_t address, uint64_t count) {
    VmxGuest guest;
    for (uint64_t i = 0; i < 513; i++) putMsr(guest, i, kKernelGsBase);
    guest.field(Field::entryMsrLoadAddress, address);
    guest.field(Field::entryMsrLoadCount, count);
    guest.enter(kVmcall);
    return guest.reason() == number(ExitReason::vmcall) ? 0 : guest.field(Field::exitQualification);
  };
  CHECK_EQUAL(failing(kList, 512), 0u);
  CHECK_EQUAL(failing(kList, 513), 513u);
  CHECK_EQUAL(failing(uint64_t{1} << 40, 1), 1u);
}

namespace {

/** Events of each type (table 25-17), with 2 as the length of the instruction. */
const struct Event {
  uint32_t information;
  uint64_t length;    // that counts: software's events return behind it
  uint32_t external;  // EXT of an error on its way (Vol. 3A, 6.13)
  uint64_t blocking;
} kEvents[] = {
    {0x80000040, 0, 1, 0}, {0x80000202, 0, 1, kNmiBlocked}, {0x80000306, 0, 1, 0},
    {0x80000480, 2, 0, 0}, {0x80000501, 2, 1, 0},           {0x80000603, 2, 0, 0},
};

void prepare(VmxGuest& guest, const Event& event) {
  guest.write(VmxGuest::kHandler, kVmcall);
  guest.field(Field::guestRflags, 0x202);
  guest.field(Field::entryInterruptionInformation, event.information);
  guest.field(Field::entryInstructionLength, 2);
}

}  // namespace

TEST("an event of software returns behind its instruction, an NMI blocks others, and no event is recorded") {
  for (const bool virtualNmis : {false, true}) {
    for (const Event& event : kEvents) {
      VmxGuest guest;
      if (virtualNmis) guest.control(Field::pinBasedControls, pin::kNmiExiting | pin::kVirtualNmis);
      prepare(guest, event);
      guest.enter("\x90");
      CHECK_EQUAL(guest.reason(), number(ExitReason::vmcall));
      CHECK_EQUAL(guest.field(Field::guestRip), VmxGuest::kHandler);
      CHECK_EQUAL(guest.get<uint64_t>(guest.field(Field::guestRsp)), VmxGuest::kGuestCode + event.length);
      CHECK_EQUAL(guest.field(Field::guestInterruptibilityState), event.blocking);
      CHECK_EQUAL(guest.field(Field::idtVectoringInformation), 0u);
    }
  }
}

TEST("an event that cannot be delivered leaves RIP alone, and its #GP names the vector") {
  for (const Event& event : kEvents) {
    VmxGuest guest;
    prepare(guest, event);
    guest.field(Field::guestIdtrLimit, 0);
    guest.field(Field::exceptionBitmap, 1u << 13);
    guest.enter("\x90");
    CHECK_EQUAL(guest.field(Field::exitInterruptionInformation), 0x80000b0du);
    CHECK_EQUAL(guest.field(Field::exitInterruptionErrorCode), (event.information & 0xff) * 8 + 2 + event.external);
    CHECK_EQUAL(guest.field(Field::idtVectoringInformation), event.information);
    CHECK_EQUAL(guest.field(Field::exitInstructionLength), event.length);
    CHECK_EQUAL(guest.field(Field::guestRip), VmxGuest::kGuestCode);
  }
}

TEST("INT n and INT3 need a gate of the guest's ring, and INT1 and what comes from outside do not (27.6.1)") {
  constexpr uint64_t kTask = 0x100000;
  for (const Event& event : kEvents) {
    VmxGuest guest;
    prepare(guest, event);
    guest.put<uint64_t>(kTask + 4, VmxGuest::kGuestStack);  // RSP0
    guest.field(Field::guestTrBase, kTask);
    guest.field(Field::guestCsSelector, 11);
    guest.field(Field::guestCsAccessRights, 0xa0fb);
    guest.field(Field::guestSsSelector, 19);
    guest.field(Field::guestSsAccessRights, 0xc0f3);
    for (const Field rights : {Field::guestDsAccessRights, Field::guestEsAccessRights}) guest.field(rights, 0xc0f3);
    guest.field(Field::exceptionBitmap, 1u << 13);
    guest.enter("\x90");
    const bool refused = event.external == 0;
    CHECK_EQUAL(guest.reason(), number(refused ? ExitReason::exceptionOrNmi : ExitReason::vmcall));
    if (refused) CHECK_EQUAL(guest.field(Field::exitInterruptionErrorCode), (event.information & 0xff) * 8 + 2);
  }
}

TEST("an injected event takes the place of blocking by MOV SS and of pending debug exceptions") {
  VmxGuest guest;
  prepare(guest, kEvents[2]);
  guest.field(Field::guestInterruptibilityState, kMovSs);
  guest.field(Field::guestPendingDebugExceptions, kB0);
  guest.enter("\x90");
  CHECK_EQUAL(guest.field(Field::guestRip), VmxGuest::kHandler);
  CHECK_EQUAL(guest.field(Field::guestRsp), VmxGuest::kGuestStack - 40);  // of one event
  CHECK_EQUAL(guest.field(Field::guestInterruptibilityState), 0u);
  CHECK_EQUAL(guest.field(Field::guestPendingDebugExceptions), 0u);
}

TEST(
    "debug exceptions behind MOV SS come behind an injected INT n, INT3 or INTO, and are lost with other events "
    "(27.7.3)") {
  for (const Event& event : kEvents) {
    for (const uint64_t blocking : {uint64_t{0}, kMovSs}) {
      const uint64_t type = event.information >> 8 & 7;
      if (blocking != 0 && (type == kExternalEvent || type == kNmiEvent)) continue;  // the entry would fail
      VmxGuest guest;
      prepare(guest, event);
      guest.field(Field::exceptionBitmap, 1u << 1);
      guest.field(Field::guestInterruptibilityState, blocking);
      guest.field(Field::guestPendingDebugExceptions, kB0);
      guest.enter("\x90");
      const bool kept = blocking != 0 && (type == kSoftwareInterrupt || type == kSoftwareException);
      CHECK_EQUAL(guest.reason(), number(kept ? ExitReason::exceptionOrNmi : ExitReason::vmcall));
      CHECK_EQUAL(guest.field(Field::exitQualification), kept ? 1u : 0u);
      CHECK_EQUAL(guest.field(Field::idtVectoringInformation), 0u);
      CHECK_EQUAL(guest.field(Field::guestRip), VmxGuest::kHandler);
      CHECK_EQUAL(guest.field(Field::guestPendingDebugExceptions), 0u);
    }
  }
}

TEST("an INT3 that is injected behind MOV SS ends with the debug exception that one in the guest ends with") {
  constexpr uint64_t kTf = 0x100, kSingleStep = 1u << 14;
  for (const uint64_t flags : {uint64_t{2}, 2 | kTf}) {
    VmxGuest own, injected;
    for (VmxGuest* guest : {&own, &injected}) {
      guest->field(Field::exceptionBitmap, 1u << 1);
      guest->field(Field::guestRflags, flags);
    }
    own.processor->cpu().dr[0] = Guest::kData;
    own.put<uint16_t>(Guest::kData, 16);
    own.field(Field::guestDr7, 0x400 | 1 | 3u << 16);  // an access to a byte
    own.enter(BYTES("\x8e\x14\x25") + bytesOf(Guest::kData) + "\xcc");
    injected.field(Field::entryInterruptionInformation, 0x80000603);
    injected.field(Field::entryInstructionLength, 1);
    injected.field(Field::guestInterruptibilityState, kMovSs);
    injected.field(Field::guestPendingDebugExceptions, kB0 | ((flags & kTf) != 0 ? kSingleStep : 0));
    injected.enter("\xcc");
    CHECK_EQUAL(own.field(Field::exitQualification), 1u);
    for (const Field name : {Field::exitReason, Field::exitInterruptionInformation, Field::exitQualification,
                             Field::guestRip, Field::guestRsp, Field::guestPendingDebugExceptions}) {
      CHECK_EQUAL(own.field(name), injected.field(name));
    }
  }
}

TEST("debug exceptions behind MOV SS stay pending where the way to the handler of an injected INT3 leaves") {
  EptGuest guest;
  guest.field(Field::entryInterruptionInformation, 0x80000603);
  guest.field(Field::entryInstructionLength, 1);
  guest.field(Field::guestInterruptibilityState, kMovSs);
  guest.field(Field::guestPendingDebugExceptions, kB0);
  guest.map(VmxGuest::kIdt & ~uint64_t{0xfff}, 0, 0);
  guest.enter("\x90");
  CHECK_EQUAL(guest.left(ExitReason::eptViolation), true);
  CHECK_EQUAL(guest.field(Field::idtVectoringInformation), 0x80000603u);
  CHECK_EQUAL(guest.field(Field::guestPendingDebugExceptions), kB0);
}

TEST("debug exceptions behind MOV SS are lost where the injected INT3 faults, as where INT3 itself does") {
  VmxGuest guest;
  guest.write(VmxGuest::kHandler, kVmcall);
  guest.field(Field::entryInterruptionInformation, 0x80000603);
  guest.field(Field::entryInstructionLength, 1);
  guest.field(Field::guestInterruptibilityState, kMovSs);
  guest.field(Field::guestPendingDebugExceptions, kB0);
  guest.put<uint64_t>(VmxGuest::kIdt + 16 * 3, 0);
  guest.field(Field::exceptionBitmap, 1u << 1);
  guest.enter("\x90");
  CHECK_EQUAL(guest.reason(), number(ExitReason::vmcall));
  CHECK_EQUAL(guest.field(Field::guestRsp), VmxGuest::kGuestStack - 48);  // of #GP alone
  CHECK_EQUAL(guest.field(Field::guestPendingDebugExceptions), 0u);
}

TEST("an injected monitor trap takes the place of nothing: blocking, activity and debug exceptions stay (27.7)") {
  const struct {
    uint64_t blocking, activity, pending;
  } rows[] = {{1, 0, 0}, {kMovSs, 0, kB0}, {0, 1, kB0}, {0, 0, kB0}};
  for (const auto& row : rows) {
    VmxGuest guest;
    guest.field(Field::entryInterruptionInformation, 0x80000700);
    guest.field(Field::guestRflags, 0x202);
    guest.field(Field::guestInterruptibilityState, row.blocking);
    guest.field(Field::guestActivityState, row.activity);
    guest.field(Field::guestPendingDebugExceptions, row.pending);
    guest.enter("\x90");
    CHECK_EQUAL(guest.reason(), number(ExitReason::monitorTrapFlag));
    CHECK_EQUAL(guest.field(Field::guestInterruptibilityState), row.blocking);
    CHECK_EQUAL(guest.field(Field::guestActivityState), row.activity);
    CHECK_EQUAL(guest.field(Field::guestPendingDebugExceptions), row.pending);
  }
}

TEST("a breakpoint that pends is delivered once; one that no enabled breakpoint met is none (27.7.3)") {
  for (const bool enabled : {false, true}) {
    VmxGuest guest;
    guest.write(VmxGuest::kHandler, "\x90" + kVmcall);
    guest.field(Field::guestPendingDebugExceptions, enabled ? kB0 : 1);
    guest.processor->setLimit(guest.processor->instructionsRetired() + 100);
    guest.enter(kVmcall);
    CHECK_EQUAL(guest.field(Field::guestRip), enabled ? VmxGuest::kHandler + 1 : VmxGuest::kGuestCode);
    CHECK_EQUAL(guest.field(Field::guestRsp), VmxGuest::kGuestStack - (enabled ? 40 : 0));
    CHECK_EQUAL(guest.processor->cpu().dr6 & 15, enabled ? 1u : 0u);
    CHECK_EQUAL(guest.field(Field::guestPendingDebugExceptions), 0u);
  }
}

TEST("blocking by NMI is of NMIs, or with virtual NMIs of those") {
  for (const bool virtualNmis : {false, true}) {
    VmxGuest guest;
    if (virtualNmis) guest.control(Field::pinBasedControls, pin::kNmiExiting | pin::kVirtualNmis);
    guest.field(Field::guestInterruptibilityState, kNmiBlocked);
    guest.enter(kVmcall);
    CHECK_EQUAL(guest.field(Field::guestInterruptibilityState), kNmiBlocked);
    CHECK_EQUAL(guest.processor->cpu().nmiMasked, !virtualNmis);  // in the host, too
  }
}

TEST("a shadow VMCS is not entered: VMfailInvalid") {
  VmxGuest guest;
  guest.put<uint32_t>(VmxGuest::kOther, kRevision | 1u << 31);
  guest.run(VmxGuest::vmptrld(16) + VmxGuest::vmlaunch());
  CHECK_EQUAL(guest.regs.rflags & 0x8d5, 1u);
}

TEST("only MOV SS in the host keeps it from entering, not STI, nor MOV SS in the guest") {
  VmxGuest guest;
  guest.write(VmxGuest::kGuestCode, kVmcall);
  guest.field(Field::guestRip, VmxGuest::kGuestCode);
  guest.run("\xfb" + VmxGuest::vmlaunch());
  CHECK_EQUAL(guest.reason(), number(ExitReason::vmcall));
  CHECK_EQUAL(guest.field(Field::guestRflags), 2u);  // no flag says that an instruction failed

  guest.control(Field::pinBasedControls, pin::kPreemptionTimer);
  guest.field(Field::vmxPreemptionTimerValue, 1);
  guest.regs.rax = 16;
  guest.write(VmxGuest::kHostExit, VmxGuest::vmresume());  // as the first instruction behind the exit
  guest.processor->setLimit(guest.processor->instructionsRetired() + 20);
  guest.enter("\x8e\xd0\x90\xf4");  // mov ss, eax; nop; hlt
  CHECK_EQUAL(guest.field(Field::vmInstructionError), 0u);
  CHECK_EQUAL(guest.field(Field::guestRip) > VmxGuest::kGuestCode + 2, true);
}
