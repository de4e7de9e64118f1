// What a VM exit saves of the guest, stores and loads of MSRs, and makes of the host (SDM Vol. 3C, 28.2.4 to 28.7).
#include "emulator/vmx/outside.h"
#include "test/native/emulator/ept-guest.h"
#include "test/native/emulator/vmx-breaks.h"

using namespace vtkit;
using namespace vtkit::test;
using namespace vtkit::emulator::vmx;

namespace {

constexpr uint64_t kRf = 1u << 16;
constexpr uint32_t kFsBase = 0xc0000100, kGsBase = 0xc0000101, kKernelGsBase = 0xc0000102;
const std::string kUd2 = BYTES("\x0f\x0b");

/** mov rax, [40000H]; mov [40000H], rax */
const std::string kLoad = BYTES("\x48\x8b\x04\x25") + bytesOf(EptGuest::kTarget);
const std::string kStore = BYTES("\x48\x89\x04\x25") + bytesOf(EptGuest::kTarget);
/** mov ecx, msr; mov eax, low; mov edx, high; wrmsr; vmcall */
std::string writesMsr(uint32_t msr, uint64_t value) {
  return "\xb9" + bytesOf(msr) + "\xb8" + bytesOf(static_cast<uint32_t>(value)) + "\xba" +
         bytesOf(static_cast<uint32_t>(value >> 32)) + BYTES("\x0f\x30") + kVmcall;
}

Break hides(uint64_t page) {
  return [=](VmxGuest& guest) { static_cast<EptGuest&>(guest).map(page, 0, 0); };
}
Break maps(uint64_t page, uint64_t rights) {
  return [=](VmxGuest& guest) { static_cast<EptGuest&>(guest).map(page, page, rights); };
}
const Break kHidesTarget = hides(EptGuest::kTarget), kHidesIdt = hides(VmxGuest::kIdt);
Break catches(unsigned vector) { return set(Field::exceptionBitmap, 1u << vector); }
/** A breakpoint at code that is not executed: RF counts for something. */
void watchCode(VmxGuest& guest) {
  guest.processor->cpu().dr[0] = VmxGuest::kData;
  guest.field(Field::guestDr7, 0x402);
}

}  // namespace

TEST("RF is saved set for a fault and an access that leaves, clear for an instruction, and as it was for the rest") {
  const Break kTimer = add(Field::pinBasedControls, pin::kPreemptionTimer),
              kLeaves = add(Field::pinBasedControls, pin::kExternalInterruptExiting | pin::kNmiExiting),
              kInterrupt = [](VmxGuest&guest) { guest.processor->interrupt(0x55); };
  const struct {
    const char* what;
    Break prepare;
    std::string code;
    ExitReason reason;
    bool before, after;
  } rows[] = {
      {"an instruction", watchCode, kVmcall, ExitReason::vmcall, true, false},
      {"a fault", catches(6), kUd2, ExitReason::exceptionOrNmi, false, true},
      {"INT3", catches(3), "\xcc", ExitReason::exceptionOrNmi, false, false},
      {"a single step", both(catches(1), add(Field::guestRflags, 0x100)), "\x90", ExitReason::exceptionOrNmi, false,
       false},
      {"an NMI",
       both(kLeaves,
            [](VmxGuest& guest) {
              guest.processor->cpu().nmiMasked = true;  // not to be taken by the host
              guest.processor->nmi();
            }),
       "\x90", ExitReason::exceptionOrNmi, false, false},
      {"an interrupt", both(kLeaves, kInterrupt), "\x90", ExitReason::externalInterrupt, false, false},
      {"an interrupt with RF", both(kLeaves, kInterrupt), "\x90", ExitReason::externalInterrupt, true, true},
      {"the timer", kTimer, "\x90", ExitReason::preemptionTimer, false, false},
      {"the timer with RF", kTimer, "\x90", ExitReason::preemptionTimer, true, true},
      {"a violation", kHidesTarget, kLoad, ExitReason::eptViolation, false, true},
      {"a misconfiguration", maps(EptGuest::kTarget, 2), kLoad, ExitReason::eptMisconfiguration, false, true},
      {"a full log", both(add(Field::secondaryControls, secondary::kEnablePml), set(Field::pmlIndex, 0xffff)), kStore,
       ExitReason::pageModificationLogFull, false, true},
      {"the APIC's page", tprShadow(secondary::kVirtualizeApicAccesses), kLoad, ExitReason::apicAccess, false, true},
      {"a violation on the way of a fault", kHidesIdt, kUd2, ExitReason::eptViolation, false, true},
      {"a violation on the way of INT n", kHidesIdt, BYTES("\xcd\x30"), ExitReason::eptViolation, false, false},
      {"a violation on the way of an interrupt", all({kHidesIdt, kInterruptsOn, kInterrupt}), "\x90",
       ExitReason::eptViolation, false, false},
      {"a fault on the way of an interrupt",
       all({catches(13), kInterruptsOn, kInterrupt, set(Field::guestIdtrLimit, 0)}), "\x90", ExitReason::exceptionOrNmi,
       false, true},
  };
  for (const auto& row : rows) {
    EptGuest guest(true);
    guest.field(Field::pmlAddress, 0x60000);
    guest.field(Field::guestRflags, row.before ? 2 | kRf : 2);
    row.prepare(guest);
    guest.enter(row.code);
    const bool left = CHECK_EQUAL(guest.reason(), number(row.reason)) &
                      CHECK_EQUAL(guest.field(Field::guestRflags) & kRf, row.after ? kRf : 0);
    if (!left) std::printf("  of %s\n", row.what);
  }
}

TEST("a double fault that leaves is no exit on the way of the fault before it") {
  VmxGuest guest;
  guest.field(Field::exceptionBitmap, 1u << 8);
  guest.field(Field::guestIdtrLimit, 0);
  guest.regs.rax = kCrooked;
  guest.enter("\x0f\x22\xd8");  // mov cr3, rax: #GP, whose gate is out of reach
  CHECK_EQUAL(guest.field(Field::exitInterruptionInformation), 0x80000b08u);
  CHECK_EQUAL(guest.field(Field::idtVectoringInformation), 0u);
}

TEST("of two exceptions the second leaves by its own bit, else both as a double fault, of three as a triple fault") {
  constexpr uint32_t kException = 3u << 8, kCode = 1u << 11, kDe = 0, kUd = 6, kDf = 8, kNp = 11, kGp = 13, kVe = 20,
                     kCp = 21;
  const auto absent = [](std::vector<uint32_t> vectors) {
    return [=](VmxGuest& guest) {
      for (const uint32_t vector : vectors) guest.put<uint8_t>(VmxGuest::kIdt + 16 * vector + 5, 0x0e);
    };
  };
  const auto injects = [](uint32_t information) { return inject(information | kException); };
  const std::string divide = BYTES("\x31\xc9\xf7\xf1");  // xor ecx, ecx; div ecx
  constexpr uint64_t kTriple = 0, kStays = ~uint64_t{0}, kValid = 1u << 31;
  const auto event = [=](uint32_t vector, uint64_t more = 1u << 11) { return vector | kException | kValid | more; };
  const struct {
    const char* what;
    Break prepare;
    std::string code;
    uint64_t left;       // the exit's exception
    uint64_t vectoring;  // on whose way
  } rows[] = {
      {"#NP of #DE", both(absent({kDe}), catches(kNp)), divide, event(kNp), event(kDe, 0)},
      {"#NP of #DE, #DF too", all({absent({kDe}), catches(kNp), add(Field::exceptionBitmap, 1u << kDf)}), divide,
       event(kNp), event(kDe, 0)},
      {"#DF of #DE", both(absent({kDe}), catches(kDf)), divide, event(kDf), 0},
      {"#NP of #DF of #DE", all({absent({kDe, kDf, kNp}), catches(31)}), divide, kTriple, 0},
      {"#NP of #UD", all({absent({kUd}), catches(kNp)}), kUd2, event(kNp), event(kUd, 0)},
      {"#NP behind #UD, which is benign", all({absent({kUd}), catches(kDf)}), kUd2, kStays, 0},
      {"an injected #GP", all({absent({kGp}), injects(kGp | kCode), catches(kNp)}), "\x90", event(kNp), event(kGp)},
      {"an injected #GP", all({absent({kGp}), injects(kGp | kCode), catches(kDf)}), "\x90", event(kDf), 0},
      {"an injected #CP", all({absent({kCp}), injects(kCp), catches(kDf)}), "\x90", event(kDf), 0},
      {"an injected #VE", all({absent({kVe}), injects(kVe), catches(kDf)}), "\x90", event(kDf), 0},
      {"an injected #DF", all({absent({kDf}), injects(kDf | kCode), catches(31)}), "\x90", kTriple, 0},
      {"an injected interrupt", all({absent({kDf}), kInterruptsOn, inject(kDf + 32), absent({kDf + 32}), catches(kNp)}),
       "\x90", event(kNp), kValid | (kDf + 32)},
  };
  for (const auto& row : rows) {
    VmxGuest guest;
    guest.write(VmxGuest::kHandler, kVmcall);
    row.prepare(guest);
    guest.enter(row.code);
    bool right;
    if (row.left == kTriple) {
      right = CHECK_EQUAL(guest.reason(), number(ExitReason::tripleFault));
    } else if (row.left == kStays) {
      right = CHECK_EQUAL(guest.reason(), number(ExitReason::vmcall));
    } else {
      right = CHECK_EQUAL(guest.reason(), number(ExitReason::exceptionOrNmi)) &
              CHECK_EQUAL(guest.field(Field::exitInterruptionInformation), row.left);
    }
    if (!(right & CHECK_EQUAL(guest.field(Field::idtVectoringInformation), row.vectoring))) {
      std::printf("  of %s\n", row.what);
    }
  }
}

TEST("debug controls, PAT and EFER are saved where a control asks for it, and nowhere else") {
  const struct {
    uint32_t control;
    Field field;
    std::string code;
    uint64_t before, after;
  } rows[] = {
      {onExit::kSaveDebugControls, Field::guestDr7, BYTES("\xb8\x01\x07\x00\x00\x0f\x23\xf8") + kVmcall, 0x400, 0x701},
      {onExit::kSaveDebugControls, Field::guestDebugctl, writesMsr(0x1d9, 2), 0, 2},
      {onExit::kSavePat, Field::guestPat, writesMsr(0x277, 0x0606060606060606), 0x0707070707070707, 0x0606060606060606},
      {onExit::kSaveEfer, Field::guestEfer, writesMsr(0xc0000080, 0xd01), 0x500, 0xd01},
  };
  for (const auto& row : rows) {
    for (const bool saves : {false, true}) {
      VmxGuest guest;
      guest.control(Field::primaryControls, primary::kUseMsrBitmaps);
      guest.field(Field::msrBitmap, VmxGuest::kBitmaps);
      (saves ? add : take)(Field::exitControls, row.control)(guest);
      guest.field(row.field, row.before);
      guest.enter(row.code);
      CHECK_EQUAL(guest.reason(), number(ExitReason::vmcall));
      CHECK_EQUAL(guest.field(row.field), saves ? row.after : row.before);
    }
  }
}

TEST("the preemption timer is saved with what is left of it: 0 where it ran out, whatever else left first") {
  const auto left = [](uint64_t value, const std::string& code, const Break& prepare) {
    VmxGuest guest;
    guest.control(Field::pinBasedControls, pin::kPreemptionTimer);
    guest.control(Field::exitControls, onExit::kSavePreemptionTimer);
    guest.field(Field::vmxPreemptionTimerValue, value);
    prepare(guest);
    guest.enter(code);
    CHECK_EQUAL(guest.reason() != number(ExitReason::preemptionTimer), true);
    return guest.field(Field::vmxPreemptionTimerValue);
  };
  const Break kNothing = [](VmxGuest&) {};
  const uint64_t few = left(1000, "\x90" + kVmcall, kNothing),
                 more = left(1000, std::string(11, '\x90') + kVmcall, kNothing);
  CHECK_EQUAL(few < 1000, true);
  CHECK_EQUAL(more, few - 10);
  // OUT takes longer, and the monitor trap comes before the timer.
  CHECK_EQUAL(left(2, BYTES("\xe6\x80"), add(Field::primaryControls, primary::kMonitorTrapFlag)), 0u);
}

TEST("only an NMI that leaves blocks NMIs in the host, and the guest's state is of before") {
  for (const bool nmi : {false, true}) {
    VmxGuest guest;
    guest.control(Field::pinBasedControls, pin::kNmiExiting);
    guest.field(Field::exceptionBitmap, 1u << 6);
    guest.processor->cpu().nmiMasked = true;  // not to be taken by the host
    if (nmi) guest.processor->nmi();
    guest.enter(kUd2);
    CHECK_EQUAL(guest.field(Field::exitInterruptionInformation), nmi ? 0x80000202 : 0x80000306);
    CHECK_EQUAL(guest.processor->cpu().nmiMasked, nmi);
    CHECK_EQUAL(guest.field(Field::guestInterruptibilityState), 0u);
  }
}

TEST("the host has what its fields say, and the rest as every exit makes it") {
  for (const unsigned bits : {32u, 64u}) {
    VmxGuest guest(bits);
    const bool wide = bits == 64;
    const uint64_t base = wide ? 0xffff800000001000 : 0x12345000;
    const std::pair<Field, uint64_t> fields[] = {
        {Field::hostSysenterCs, 0x123},  {Field::hostSysenterEsp, base + 1}, {Field::hostSysenterEip, base + 2},
        {Field::hostFsBase, base + 3},   {Field::hostGsBase, base + 4},      {Field::hostTrBase, base + 5},
        {Field::hostGdtrBase, base + 6}, {Field::hostIdtrBase, base + 7},    {Field::hostFsSelector, 0x30},
        {Field::hostDsSelector, 0},
    };
    for (const auto& [field, value] : fields) guest.field(field, value);
    guest.field(Field::guestRflags, 0xcd7);
    guest.field(Field::guestDr7, 0x700);
    guest.field(Field::guestDebugctl, 2);
    guest.enter(kVmcall);
    CHECK_EQUAL(guest.reason(), number(ExitReason::vmcall));
    CHECK_EQUAL(guest.regs.rip, VmxGuest::kHostExit + 1);
    CHECK_EQUAL(guest.regs.rsp, Guest::kStack);
    CHECK_EQUAL(guest.regs.rflags, 2u);
    const emulator::Cpu& cpu = guest.processor->cpu();
    CHECK_EQUAL(cpu.cr0, guest.field(Field::hostCr0));
    CHECK_EQUAL(cpu.cr3, guest.field(Field::hostCr3));
    CHECK_EQUAL(cpu.cr4, guest.field(Field::hostCr4));
    CHECK_EQUAL(cpu.efer & 0x500, wide ? 0x500u : 0);
    CHECK_EQUAL(cpu.dr7, 0x400u);
    CHECK_EQUAL(cpu.debugControl, 0u);
    CHECK_EQUAL(cpu.sysenterCs, 0x123u);
    CHECK_EQUAL(cpu.sysenterEsp, base + 1);
    CHECK_EQUAL(cpu.sysenterEip, base + 2);
    CHECK_EQUAL(cpu.gdt.base, base + 6);
    CHECK_EQUAL(cpu.idt.base, base + 7);
    CHECK_EQUAL(cpu.gdt.limit, 0xffff);
    CHECK_EQUAL(cpu.idt.limit, 0xffff);
    const struct {
      unsigned segment;
      uint64_t selector, base;
      uint32_t limit;
      uint8_t type, s, db, l, g;
    } rows[] = {
        {emulator::CS, 8, 0, 0xffffffff, 11, 1, !wide, wide, 1},
        {emulator::SS, 16, 0, 0xffffffff, 3, 1, 1, 0, 1},
        {emulator::FS, 0x30, base + 3, 0xffffffff, 3, 1, 1, 0, 1},
        {emulator::TR, 24, base + 5, 0x67, 11, 0, 0, 0, 0},
    };
    for (const auto& row : rows) {
      const vcpu::Segment& segment = cpu.seg[row.segment];
      CHECK_EQUAL(segment.selector, row.selector);
      CHECK_EQUAL(segment.base, row.base);
      CHECK_EQUAL(segment.limit, row.limit);
      CHECK_EQUAL(segment.type, row.type);
      CHECK_EQUAL(segment.s, row.s);
      CHECK_EQUAL(segment.db, row.db);
      CHECK_EQUAL(segment.l, row.l);
      CHECK_EQUAL(segment.g, row.g);
      CHECK_EQUAL(segment.dpl, 0);
      CHECK_EQUAL(segment.present, 1);
      CHECK_EQUAL(segment.unusable, 0);
    }
    for (const unsigned null : {unsigned{emulator::DS}, unsigned{emulator::GS}, unsigned{emulator::LDTR}}) {
      CHECK_EQUAL(cpu.seg[null].selector, 0);
      CHECK_EQUAL(cpu.seg[null].unusable, 1);
    }
    CHECK_EQUAL(cpu.seg[emulator::GS].base, base + 4);
  }
}

TEST("the host has its own PAT where a control loads it, and else the guest's") {
  for (const bool loads : {false, true}) {
    VmxGuest guest;
    guest.control(Field::entryControls, onEntry::kLoadPat);
    guest.field(Field::guestPat, 0x0606060606060606);
    guest.field(Field::hostPat, 0x0404040404040404);
    if (loads) guest.control(Field::exitControls, onExit::kLoadPat);
    guest.enter(kVmcall);
    CHECK_EQUAL(guest.processor->cpu().pat, loads ? 0x0404040404040404u : 0x0606060606060606u);
  }
}

namespace {

constexpr uint32_t kSavesMsrs = 1, kLoadsPointers = 2, kLoadsMsrs = 4, kLeavesLongMode = 6;

/** The VMX-abort indicator in the VMCS region. */
uint32_t indicator(const VmxGuest& guest) { return guest.get<uint32_t>(VmxGuest::kVmcs + 4); }
/** The same behind an exit; a VMX abort shuts down. */
uint32_t abortOf(VmxGuest& guest) {
  guest.enter(kVmcall);
  CHECK_EQUAL(guest.processor->cpu().shutdown, indicator(guest) != 0);
  return indicator(guest);
}

}  // namespace

TEST("an MSR that an exit can neither store nor load is a VMX abort, with the entries before it done (28.4, 28.6)") {
  const struct {
    uint32_t index, reserved;
    uint64_t value;
    bool stores, loads;
  } rows[] = {
      {kKernelGsBase, 0, 0x5678, true, true},
      {kKernelGsBase, 1, 0x5678, false, false},
      {kKernelGsBase, 0, kCrooked, true, false},
      {kFsBase, 0, 0, true, false},
      {kGsBase, 0, 0, true, false},
      {0x808, 0, 0, false, false},  // the task priority, of x2APIC mode
      {0x4711, 0, 0, false, false},
  };
  for (const auto& row : rows) {
    for (const bool loads : {false, true}) {
      VmxGuest guest;
      emulator::writeMsr(guest.processor->cpu(), 0x1b, 0xfee00d00);  // x2APIC mode
      emulator::writeMsr(guest.processor->cpu(), kKernelGsBase, 0x1234);
      putMsr(guest, 0, kKernelGsBase, 0, 0x1111);
      putMsr(guest, 1, row.index, row.reserved, row.value);
      guest.field(loads ? Field::exitMsrLoadAddress : Field::exitMsrStoreAddress, kMsrList);
      guest.field(loads ? Field::exitMsrLoadCount : Field::exitMsrStoreCount, 2);
      CHECK_EQUAL(abortOf(guest), loads ? (row.loads ? 0 : kLoadsMsrs) : row.stores ? 0 : kSavesMsrs);
      if (!loads) {
        CHECK_EQUAL(guest.get<uint64_t>(kMsrList + 8), 0x1234u);
        if (row.stores && row.index == kKernelGsBase) CHECK_EQUAL(guest.get<uint64_t>(kMsrList + 24), 0x1234u);
        if (!row.stores) CHECK_EQUAL(guest.get<uint64_t>(kMsrList + 24), row.value);
      } else {
        uint64_t value = 0;
        emulator::readMsr(guest.processor->cpu(), kKernelGsBase, value);
        CHECK_EQUAL(value, row.loads ? 0x5678u : 0x1111u);
      }
    }
  }
}

TEST("the lists of an exit have 512 entries at most, as IA32_VMX_MISC says, and lie in memory") {
  const auto found = [](Field address, Field count, uint64_t at, uint64_t entries) {
    VmxGuest guest;
    for (uint64_t i = 0; i < 513; i++) putMsr(guest, i, kKernelGsBase);
    guest.field(address, at);
    guest.field(count, entries);
    return abortOf(guest);
  };
  const struct {
    Field address, count;
    uint32_t indicator;
  } rows[] = {{Field::exitMsrStoreAddress, Field::exitMsrStoreCount, kSavesMsrs},
              {Field::exitMsrLoadAddress, Field::exitMsrLoadCount, kLoadsMsrs}};
  for (const auto& row : rows) {
    CHECK_EQUAL(found(row.address, row.count, kMsrList, 512), 0u);
    CHECK_EQUAL(found(row.address, row.count, kMsrList, 513), row.indicator);
    CHECK_EQUAL(found(row.address, row.count, uint64_t{1} << 32, 1), row.indicator);
  }
}

TEST("a host with PAE paging has the pointers of its CR3, and a reserved bit in one is a VMX abort (28.5.4)") {
  constexpr uint64_t kPointerTable = 0x70000, kDirectory = 0x71000;
  for (const uint64_t reserved : {uint64_t{0}, uint64_t{2}}) {
    VmxGuest guest(32);
    guest.put<uint64_t>(kPointerTable, kDirectory | 1 | reserved);
    guest.put<uint64_t>(kDirectory, 0x83);  // 2 MiB
    guest.control(Field::hostCr4, 1u << 5);
    guest.field(Field::hostCr3, kPointerTable);
    CHECK_EQUAL(abortOf(guest), reserved != 0 ? kLoadsPointers : 0);
    if (reserved == 0) CHECK_EQUAL(guest.regs.rip, VmxGuest::kHostExit + 1);
  }
}

TEST("a guest that has gone to long mode under a host of 32 bits cannot leave: a VMX abort (28.7)") {
  constexpr uint64_t kTop = 0x70000;
  EptGuest guest(false, 32);
  guest.put<uint64_t>(kTop, (kTop + 0x1000) | 3);
  guest.put<uint64_t>(kTop + 0x1000, (kTop + 0x2000) | 3);
  guest.put<uint64_t>(kTop + 0x2000, 0x83);  // 2 MiB
  guest.control(Field::secondaryControls, secondary::kUnrestrictedGuest);
  guest.control(Field::primaryControls, primary::kUseMsrBitmaps);
  guest.field(Field::msrBitmap, VmxGuest::kBitmaps);
  take(Field::guestCr0, 1u << 31)(guest);
  guest.control(Field::guestCr4, 1u << 5);
  guest.field(Field::guestCr3, kTop);
  // mov ecx, c0000080h; mov eax, 100h; xor edx, edx; wrmsr; mov eax, cr0; bts eax, 31; mov cr0, eax; cpuid
  guest.enter(BYTES(
      "\xb9\x80\x00\x00\xc0\xb8\x00\x01\x00\x00\x31\xd2\x0f\x30\x0f\x20\xc0\x0f\xba\xe8\x1f\x0f\x22\xc0\x0f\xa2"));
  CHECK_EQUAL(guest.reason(), number(ExitReason::cpuid));
  CHECK_EQUAL((guest.field(Field::entryControls) & onEntry::kIa32eModeGuest) != 0, true);
  CHECK_EQUAL(indicator(guest), kLeavesLongMode);
  CHECK_EQUAL(guest.processor->cpu().shutdown, true);
}

TEST("where a hypervisor outside the machine has the VMCS, a VMX abort writes to no region") {
  VmxGuest guest;
  guest.field(Field::exitMsrLoadAddress, kMsrList);
  guest.field(Field::exitMsrLoadCount, 1);  // of MSR 0
  guest.write(VmxGuest::kGuestCode, kVmcall);
  guest.field(Field::guestRip, VmxGuest::kGuestCode);
  vcpu::VmcsField fields[kFieldCount];
  getFields(guest.processor->cpu(), fields);
  guest.run(VmxGuest::vmclear(8) + BYTES("\x0f\x01\xc4"));  // vmxoff
  CHECK_EQUAL(setFields(guest.processor->cpu(), fields) == nullptr, true);
  guest.put<uint64_t>(0, 0);
  CHECK_EQUAL(guest.processor->enter(), true);
  guest.processor->run();
  CHECK_EQUAL(guest.reason(), number(ExitReason::vmcall));
  CHECK_EQUAL(guest.processor->cpu().shutdown, true);
  CHECK_EQUAL(guest.get<uint64_t>(0), 0u);
}
