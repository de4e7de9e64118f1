// What is due between two instructions of a guest, and in which order (SDM Vol. 3C, 26.5.2, 27.6 and 27.7).
#include "test/native/emulator/vmx-breaks.h"

using namespace vtkit;
using namespace vtkit::test;
using namespace vtkit::emulator::vmx;

namespace {

constexpr uint64_t kMovSs = 2, kNmiBlocked = 8, kSingleStep = 1u << 14, kEnabled = 1u << 12, kTf = 1u << 8;
constexpr uint64_t kDebugException = 0x80000301;

/** Entered at a NOP, WBINVD or another instruction of one or two bytes, behind an MOV SS that is said to have been. */
void behindMovSs(VmxGuest& guest, uint64_t pending, uint64_t flags) {
  guest.field(Field::guestInterruptibilityState, kMovSs);
  guest.field(Field::guestPendingDebugExceptions, pending);
  guest.field(Field::guestRflags, 2 | flags);
}

}  // namespace

TEST("a single step behind MOV SS takes along the breakpoints that were pending, and leaves DR6 alone") {
  for (const std::string& code : {BYTES("\x90"), BYTES("\x0f\x09")}) {  // NOP, WBINVD
    VmxGuest guest;
    guest.field(Field::exceptionBitmap, 1u << 1);
    guest.processor->cpu().dr6 = 0xffff0ff0 | kSingleStep | 10;
    behindMovSs(guest, kSingleStep | kEnabled | 1, kTf);
    guest.enter(code + "\x90");
    CHECK_EQUAL(guest.reason(), number(ExitReason::exceptionOrNmi));
    CHECK_EQUAL(guest.field(Field::exitInterruptionInformation), kDebugException);
    CHECK_EQUAL(guest.field(Field::exitQualification), kSingleStep | 1);
    CHECK_EQUAL(guest.field(Field::guestRip), VmxGuest::kGuestCode + code.size());
    CHECK_EQUAL(guest.field(Field::guestPendingDebugExceptions), 0u);
    CHECK_EQUAL(guest.processor->cpu().dr6, 0xffff0ff0 | kSingleStep | 10);
  }
}

TEST("pending breakpoints behind MOV SS come behind the next instruction without a single step, too") {
  VmxGuest guest;
  guest.field(Field::exceptionBitmap, 1u << 1);
  behindMovSs(guest, kEnabled | 4, 0);
  guest.enter("\x90\x90");
  CHECK_EQUAL(guest.field(Field::exitQualification), 4u);
  CHECK_EQUAL(guest.field(Field::guestRip), VmxGuest::kGuestCode + 1);
}

TEST("an instruction behind MOV SS that exits leaves the breakpoints pending, and the blocking") {
  VmxGuest guest;
  behindMovSs(guest, kSingleStep | kEnabled | 1, kTf);
  guest.enter(BYTES("\x0f\x01\xc1"));
  CHECK_EQUAL(guest.reason(), number(ExitReason::vmcall));
  CHECK_EQUAL(guest.field(Field::guestInterruptibilityState), kMovSs);
  CHECK_EQUAL(guest.field(Field::guestPendingDebugExceptions), kSingleStep | kEnabled | 1);
}

TEST("an exit that needs no instruction tells MOV SS from STI") {
  VmxGuest guest;
  guest.control(Field::pinBasedControls, pin::kPreemptionTimer);
  guest.field(Field::vmxPreemptionTimerValue, 1);
  guest.regs.rax = 16;
  guest.enter("\x8e\xd0\x90");  // mov ss, eax
  CHECK_EQUAL(guest.reason(), number(ExitReason::preemptionTimer));
  CHECK_EQUAL(guest.field(Field::guestRip), VmxGuest::kGuestCode + 2);
  CHECK_EQUAL(guest.field(Field::guestInterruptibilityState), kMovSs);
  guest.field(Field::guestInterruptibilityState, 0);
  guest.field(Field::vmxPreemptionTimerValue, 1);
  guest.enter("\xfb\x90");
  CHECK_EQUAL(guest.field(Field::guestInterruptibilityState), 1u);
}

TEST("an NMI waits for the instruction behind MOV SS, not for the one behind STI") {
  const auto ripOf = [](const std::string& code) {
    VmxGuest guest;
    guest.control(Field::pinBasedControls, pin::kNmiExiting | pin::kPreemptionTimer);
    guest.field(Field::vmxPreemptionTimerValue, 1);
    guest.regs.rax = 16;
    guest.enter(code);
    guest.processor->cpu().nmiMasked = true;  // not to be taken by the host
    guest.processor->nmi();
    guest.field(Field::pinBasedControls, guest.field(Field::pinBasedControls) & ~uint64_t{pin::kPreemptionTimer});
    guest.again();
    CHECK_EQUAL(guest.field(Field::exitInterruptionInformation), 0x80000202u);
    return guest.field(Field::guestRip) - VmxGuest::kGuestCode;
  };
  CHECK_EQUAL(ripOf("\x8e\xd0\x90\x90"), 3u);
  CHECK_EQUAL(ripOf("\xfb\x90\x90"), 1u);
}

TEST("behind an event that is injected nothing is blocked by what the field says of STI or MOV SS") {
  VmxGuest guest;
  guest.control(Field::pinBasedControls, pin::kPreemptionTimer);
  guest.field(Field::vmxPreemptionTimerValue, 0);
  guest.field(Field::entryInterruptionInformation, 0x80000306);  // #UD
  guest.field(Field::guestInterruptibilityState, kMovSs);
  guest.enter("\x90");
  CHECK_EQUAL(guest.reason(), number(ExitReason::preemptionTimer));
  CHECK_EQUAL(guest.field(Field::guestRip), VmxGuest::kHandler);
  CHECK_EQUAL(guest.field(Field::guestInterruptibilityState), 0u);
}

TEST("the monitor trap comes before a single step, which stays pending; behind a fault, at its handler") {
  VmxGuest guest;
  guest.control(Field::primaryControls, primary::kMonitorTrapFlag);
  guest.field(Field::guestRflags, 2 | kTf);
  guest.enter("\xe6\x80\x90");  // out 80h, al
  CHECK_EQUAL(guest.reason(), number(ExitReason::monitorTrapFlag));
  CHECK_EQUAL(guest.field(Field::guestRip), VmxGuest::kGuestCode + 2);
  CHECK_EQUAL(guest.field(Field::guestPendingDebugExceptions), kSingleStep);
  guest.field(Field::guestRflags, 2);
  guest.field(Field::guestPendingDebugExceptions, 0);
  guest.regs.rax = 0xaaaaaaaaaaaaaaaa;
  guest.enter("\x0f\x22\xd8");  // mov cr3, rax: #GP
  CHECK_EQUAL(guest.reason(), number(ExitReason::monitorTrapFlag));
  CHECK_EQUAL(guest.field(Field::guestRip), VmxGuest::kHandler);
  guest.enter("\xf1");
  CHECK_EQUAL(guest.reason(), number(ExitReason::monitorTrapFlag));
  CHECK_EQUAL(guest.field(Field::guestRip), VmxGuest::kHandler);
}

TEST("an injected monitor trap exits before the first instruction, whatever the control says") {
  VmxGuest guest;
  guest.field(Field::entryInterruptionInformation, 0x80000700);
  guest.enter("\x90");
  CHECK_EQUAL(guest.reason(), number(ExitReason::monitorTrapFlag));
  CHECK_EQUAL(guest.field(Field::guestRip), VmxGuest::kGuestCode);
}

TEST("an NMI window opens at once, behind the instruction behind MOV SS, at an injected event's handler, and by IRET") {
  VmxGuest guest;
  guest.control(Field::pinBasedControls, pin::kNmiExiting | pin::kVirtualNmis);
  guest.control(Field::primaryControls, primary::kNmiWindowExiting);
  guest.write(VmxGuest::kHandler, "\x48\xcf");
  const auto windowAt = [&](uint64_t rip) {
    CHECK_EQUAL(guest.reason(), number(ExitReason::nmiWindow));
    CHECK_EQUAL(guest.field(Field::guestRip), rip);
    guest.field(Field::guestActivityState, 0);
  };
  guest.enter("\x90\x90\x90");
  windowAt(VmxGuest::kGuestCode);
  guest.field(Field::guestInterruptibilityState, kMovSs);
  guest.again();
  windowAt(VmxGuest::kGuestCode + 1);
  guest.field(Field::entryInterruptionInformation, kDebugException);
  guest.again();
  windowAt(VmxGuest::kHandler);
  guest.field(Field::guestInterruptibilityState, kNmiBlocked);
  guest.again();
  windowAt(VmxGuest::kGuestCode + 1);
  guest.field(Field::guestActivityState, 1);
  guest.again();
  windowAt(VmxGuest::kGuestCode + 1);
  guest.field(Field::guestActivityState, 1);
  guest.field(Field::entryInterruptionInformation, kDebugException);
  guest.again();
  windowAt(VmxGuest::kHandler);
}

TEST("a preemption timer of 0 comes behind an injected event and behind pending breakpoints, before any instruction") {
  VmxGuest guest;
  guest.control(Field::pinBasedControls, pin::kPreemptionTimer);
  guest.field(Field::entryInterruptionInformation, kDebugException);
  guest.field(Field::exceptionBitmap, 1u << 1);  // which an injected event does not look at
  guest.enter("\x90");
  CHECK_EQUAL(guest.reason(), number(ExitReason::preemptionTimer));
  CHECK_EQUAL(guest.field(Field::guestRip), VmxGuest::kHandler);
  guest.field(Field::exceptionBitmap, 0);
  guest.field(Field::guestPendingDebugExceptions, kEnabled | 2);
  guest.enter("\x90");
  CHECK_EQUAL(guest.reason(), number(ExitReason::preemptionTimer));
  CHECK_EQUAL(guest.field(Field::guestRip), VmxGuest::kHandler);
  guest.field(Field::exceptionBitmap, 1u << 1);
  guest.field(Field::guestPendingDebugExceptions, kEnabled | 2);
  guest.enter("\x90");
  CHECK_EQUAL(guest.reason(), number(ExitReason::exceptionOrNmi));
  CHECK_EQUAL(guest.field(Field::exitQualification), 2u);
}

TEST(
    "an entry behind MOV SS is error 26, before it matters whether the VMCS was launched; without one it is "
    "VMfailInvalid") {
  VmxGuest guest;
  guest.enter(BYTES("\x0f\x01\xc1"));
  const std::string behind = BYTES("\x8c\xd0\x8e\xd0") + VmxGuest::vmlaunch();  // mov eax, ss; mov ss, eax
  guest.regs.rflags |= 0x8d5;
  guest.run(behind);
  CHECK_EQUAL(guest.regs.rflags & 0x8d5, 1u << 6);
  CHECK_EQUAL(guest.field(Field::vmInstructionError), 26u);
  guest.run(VmxGuest::vmclear(8) + behind);
  CHECK_EQUAL(guest.regs.rflags & 0x8d5, 1u);
}

TEST("VMREAD of a field that does not exist, from a shadow VMCS, leaves its error number in the current one") {
  VmxGuest guest;
  guest.put<uint32_t>(VmxGuest::kOther, kRevision | 1u << 31);
  guest.control(Field::primaryControls, primary::kActivateSecondaryControls);
  guest.field(Field::secondaryControls, secondary::kVmcsShadowing);
  guest.field(Field::vmreadBitmap, VmxGuest::kBitmaps);
  guest.field(Field::vmwriteBitmap, VmxGuest::kBitmaps);
  guest.field(Field::vmcsLinkPointer, VmxGuest::kOther);
  guest.regs.rax = 0x6a00;
  guest.enter(BYTES("\x0f\x78\xc1\x9c\x5b\x0f\x01\xc1"));  // vmread rcx, rax; pushf; pop rbx; vmcall
  CHECK_EQUAL(guest.reason(), number(ExitReason::vmcall));
  CHECK_EQUAL(guest.regs.rbx & 0x8d5, 1u << 6);
  CHECK_EQUAL(guest.field(Field::vmInstructionError), 12u);
}

TEST("code of an unrestricted guest with 16-bit operands may lie above 64 KiB") {
  VmxGuest guest;
  constexpr uint64_t kFar = 0x12340;
  guest.write(kFar, BYTES("\x90\x0f\x01\xc1"));
  guest.control(Field::primaryControls, primary::kActivateSecondaryControls);
  guest.field(Field::secondaryControls, secondary::kEnableEpt | secondary::kUnrestrictedGuest);
  guest.put<uint64_t>(0x40000, 0x41007);
  guest.put<uint64_t>(0x41000, 0x42007);
  guest.put<uint64_t>(0x42000, 0xb7);  // the first 2 MiB to themselves
  guest.field(Field::eptPointer, 0x40000 | 3u << 3 | 6);
  guest.field(Field::guestCr0, guest.field(Field::guestCr0) & 0x7fffffff);
  guest.control(Field::entryControls, onEntry::kLoadEfer);
  guest.field(Field::guestEfer, 1u << 8);  // LME without paging
  guest.field(Field::entryControls, guest.field(Field::entryControls) & ~uint64_t{onEntry::kIa32eModeGuest});
  guest.field(Field::guestRip, kFar);
  guest.again();
  CHECK_EQUAL(guest.reason(), number(ExitReason::vmcall));
  CHECK_EQUAL(guest.field(Field::guestRip), kFar + 1);
}

namespace {

/** What an exit says of its event: the reason, and the interruption information where it has some. */
std::pair<uint64_t, uint64_t> cause(VmxGuest& guest) {
  return {guest.reason(), guest.field(Field::exitInterruptionInformation)};
}

const Break kDebug = both(set(Field::exceptionBitmap, 1u << 1), set(Field::guestPendingDebugExceptions, kEnabled | 1));
const Break kNmiWindow = both(add(Field::pinBasedControls, pin::kNmiExiting | pin::kVirtualNmis),
                              add(Field::primaryControls, primary::kNmiWindowExiting));
const Break kInterruptWindow = both(add(Field::primaryControls, primary::kInterruptWindowExiting), kInterruptsOn);
const Break kInit = [](VmxGuest& guest) { guest.send(bus::DeliveryMode::init); };
const Break kNmi = [](VmxGuest& guest) {
  guest.control(Field::pinBasedControls, pin::kNmiExiting);
  guest.processor->cpu().nmiMasked = true;  // not to be taken by the host
  guest.processor->nmi();
};
const Break kInterrupt = [](VmxGuest& guest) {
  guest.control(Field::pinBasedControls, pin::kExternalInterruptExiting);
  guest.control(Field::exitControls, onExit::kAcknowledgeInterrupt);
  guest.processor->interrupt(0x55);
};

/** What may be due behind a VM entry, from what goes first (27.7.3 to 27.7.8). */
const struct Due {
  const char* what;
  Break prepare;
  uint64_t reason, information;
} kDue[] = {
    {"TPR below threshold", both(tprShadow(secondary::kVirtualizeApicAccesses), set(Field::tprThreshold, 1)), 43, 0},
    {"INIT", kInit, 3, 0},
    {"monitor trap", inject(7u << 8), 37, 0},
    {"debug exception", kDebug, 0, kDebugException},
    {"preemption timer", add(Field::pinBasedControls, pin::kPreemptionTimer), 52, 0},
    {"NMI window", kNmiWindow, 8, 0},
    {"NMI", kNmi, 0, 0x80000202},
    {"interrupt window", kInterruptWindow, 7, 0},
    {"external interrupt", kInterrupt, 1, 0x80000055},
};

}  // namespace

TEST("of two exits that are due behind a VM entry that one is made which goes first") {
  for (const Due& second : kDue) {
    for (const Due* first = kDue; first <= &second; first++) {
      VmxGuest guest;
      second.prepare(guest);
      first->prepare(guest);
      guest.enter(kVmcall);
      if (cause(guest) == std::make_pair(first->reason, first->information)) continue;
      std::printf("%s before %s: reason %llu\n", first->what, second.what,
                  static_cast<unsigned long long>(guest.reason()));
      countFailure();
    }
  }
}

TEST("what a control does not ask for does not exit, and what RFLAGS.IF or blocking holds back waits") {
  const struct {
    const char* what;
    Break prepare;
  } rows[] = {
      {"nothing", [](VmxGuest&) {}},
      {"virtual NMIs without the window", add(Field::pinBasedControls, pin::kNmiExiting | pin::kVirtualNmis)},
      {"the NMI window while NMIs are blocked", both(kNmiWindow, set(Field::guestInterruptibilityState, kNmiBlocked))},
      {"an NMI while NMIs are blocked", both(kNmi, set(Field::guestInterruptibilityState, kNmiBlocked))},
      {"the interrupt window while interrupts are off", both(kInterruptWindow, take(Field::guestRflags, 0x200))},
      {"interrupts without their exit, while they are off",
       both(kInterrupt, take(Field::pinBasedControls, pin::kExternalInterruptExiting))},
      {"interrupts on, and none", kInterruptsOn},
      {"exits of interrupts, and none", add(Field::pinBasedControls, pin::kExternalInterruptExiting)},
      {"exits of interrupts that stay, and none", both(add(Field::pinBasedControls, pin::kExternalInterruptExiting),
                                                       take(Field::exitControls, onExit::kAcknowledgeInterrupt))},
  };
  for (const auto& row : rows) {
    VmxGuest guest;
    row.prepare(guest);
    guest.enter("\x90" + kVmcall);
    if (!CHECK_EQUAL(guest.reason(), number(ExitReason::vmcall))) std::printf("  of %s\n", row.what);
    CHECK_EQUAL(guest.field(Field::guestRip), VmxGuest::kGuestCode + 1);
  }
}

TEST("an NMI, an interrupt and a debug exception that do not exit are delivered, and end blocking by STI") {
  constexpr uint64_t kOwnHandler = 0x3800;
  const struct {
    uint64_t vector;
    Break prepare;
    uint64_t blocking;
  } rows[] = {
      {2, both(kNmi, take(Field::pinBasedControls, pin::kNmiExiting)), kNmiBlocked},
      {0x55, both(kInterrupt, take(Field::pinBasedControls, pin::kExternalInterruptExiting)), 0},
      {1, both(kDebug, set(Field::exceptionBitmap, 0)), 0},
  };
  for (const auto& row : rows) {
    for (const uint64_t sti : {0, 1}) {
      VmxGuest guest;
      row.prepare(guest);
      kInterruptsOn(guest);
      guest.field(Field::guestInterruptibilityState, sti);
      guest.put<uint64_t>(VmxGuest::kIdt + 16 * row.vector, kOwnHandler | 8u << 16 | uint64_t{0x8e00} << 32);
      guest.write(VmxGuest::kHandler, kVmcall);
      guest.write(kOwnHandler, kVmcall);
      guest.enter("\x90\x90\x90");
      CHECK_EQUAL(guest.reason(), number(ExitReason::vmcall));
      CHECK_EQUAL(guest.field(Field::guestRip), kOwnHandler);
      CHECK_EQUAL(guest.field(Field::guestRsp), VmxGuest::kGuestStack - 40);
      CHECK_EQUAL(guest.field(Field::guestInterruptibilityState), row.blocking);
      CHECK_EQUAL(guest.field(Field::idtVectoringInformation), 0u);
    }
  }
}

TEST("an interrupt waits for the instruction behind STI and MOV SS, also where it exits") {
  for (const uint64_t blocking : {0, 1, 2}) {
    VmxGuest guest;
    kInterrupt(guest);
    kInterruptsOn(guest);
    guest.field(Field::guestInterruptibilityState, blocking);
    guest.enter("\x90\x90");
    CHECK_EQUAL(guest.field(Field::exitInterruptionInformation), 0x80000055u);
    CHECK_EQUAL(guest.field(Field::guestRip), VmxGuest::kGuestCode + (blocking != 0 ? 1 : 0));
  }
}

TEST("a page fault leaves as the bitmap says where its error code matches, and the other way where not (26.2)") {
  const struct {
    bool listed;
    uint64_t mask, match;
    bool write, leaves;
  } rows[] = {
      {true, 0, 0, false, true},  {true, 2, 2, false, false}, {true, 2, 2, true, true},   {false, 0, 0, false, false},
      {false, 2, 2, false, true}, {false, 2, 2, true, false}, {true, 0, 1, false, false}, {false, 0, 1, false, true},
  };
  for (const auto& row : rows) {
    VmxGuest guest;
    guest.write(VmxGuest::kHandler, kVmcall);
    guest.field(Field::exceptionBitmap, row.listed ? 1u << 14 : 0);
    guest.field(Field::pageFaultErrorCodeMask, row.mask);
    guest.field(Field::pageFaultErrorCodeMatch, row.match);
    guest.enter((row.write ? BYTES("\x48\x89\x04\x25") : BYTES("\x48\x8b\x04\x25")) + bytesOf(0x400000));
    CHECK_EQUAL(guest.reason(), number(row.leaves ? ExitReason::exceptionOrNmi : ExitReason::vmcall));
    CHECK_EQUAL(guest.processor->cpu().cr2, row.leaves ? 0u : 0x400000u);
    CHECK_EQUAL(guest.field(Field::exitInterruptionErrorCode), row.leaves && row.write ? 2u : 0u);
  }
}

TEST("an exception other than #DB and #PF has no qualification, and what those left stays") {
  VmxGuest guest;
  guest.write(VmxGuest::kHandler, BYTES("\x0f\x0b"));
  guest.field(Field::exceptionBitmap, 1u << 6);
  guest.field(Field::pageFaultErrorCodeMatch, 1);  // of no concern
  guest.field(Field::guestPendingDebugExceptions, kEnabled | 1);
  guest.enter("\x90");
  CHECK_EQUAL(guest.field(Field::exitInterruptionInformation), 0x80000306u);
  CHECK_EQUAL(guest.field(Field::exitQualification), 0u);
  CHECK_EQUAL(guest.processor->cpu().dr6 & 15, 1u);
}
