// VM entries (SDM Vol. 3C, chapter 27).
#include "emulator/breakpoints.h"
#include "emulator/dispatch.h"
#include "emulator/msrs.h"
#include "emulator/system.h"
#include "emulator/vmx/entry-checks.h"
#include "emulator/vmx/transitions.h"
#include "emulator/vmx/virtual-apic.h"

namespace vtkit::emulator::vmx {

namespace {

constexpr uint32_t kUnusable = 1u << 16;

Field at(Field first, unsigned seg) { return static_cast<Field>(static_cast<uint32_t>(first) + 2 * seg); }

void loadGuestSegments(Cpu& cpu) {
  for (unsigned seg = ES; seg < kSegments; seg++) {
    vcpu::Segment& segment = cpu.seg[seg];
    const auto rights = static_cast<uint32_t>(field(cpu, at(Field::guestEsAccessRights, seg)));
    segment = {};
    segment.selector = static_cast<uint16_t>(field(cpu, at(Field::guestEsSelector, seg)));
    segment.base = field(cpu, at(Field::guestEsBase, seg));
    segment.limit = static_cast<uint32_t>(field(cpu, at(Field::guestEsLimit, seg)));
    segment.type = rights & 15;
    segment.s = rights >> 4 & 1;
    segment.dpl = rights >> 5 & 3;
    segment.present = rights >> 7 & 1;
    segment.avl = rights >> 12 & 1;
    segment.l = rights >> 13 & 1;
    segment.db = rights >> 14 & 1;
    segment.g = rights >> 15 & 1;
    segment.unusable = (rights & kUnusable) != 0;
  }
  cpu.cpl = cpu.seg[SS].dpl;
  cpu.gdt.base = field(cpu, Field::guestGdtrBase);
  cpu.gdt.limit = static_cast<uint16_t>(field(cpu, Field::guestGdtrLimit));
  cpu.idt.base = field(cpu, Field::guestIdtrBase);
  cpu.idt.limit = static_cast<uint16_t>(field(cpu, Field::guestIdtrLimit));
}

void loadGuestRegisters(Cpu& cpu) {
  // 27.3.2.1: these bits of CR0 are not loaded.
  constexpr uint64_t kCr0Kept = kCr0Et | kCr0Nw | kCr0Cd;
  cpu.cr0 = (field(cpu, Field::guestCr0) & ~kCr0Kept & 0xffffffff) | (cpu.cr0 & kCr0Kept);
  cpu.cr3 = field(cpu, Field::guestCr3);
  cpu.cr4 = field(cpu, Field::guestCr4);
  const bool longMode = entryBased(cpu, onEntry::kIa32eModeGuest), paging = (cpu.cr0 & kCr0Pg) != 0;
  if (entryBased(cpu, onEntry::kLoadEfer)) {
    cpu.efer = field(cpu, Field::guestEfer);
  } else {
    cpu.efer = (cpu.efer & ~(kEferLma | (paging ? kEferLme : 0))) | (longMode ? kEferLma | kEferLme : 0);
  }
  if (entryBased(cpu, onEntry::kLoadDebugControls)) {
    cpu.dr7 = (field(cpu, Field::guestDr7) & 0xffff2bff) | 0x400;
    cpu.debugControl = field(cpu, Field::guestDebugctl);
  }
  cpu.sysenterCs = field(cpu, Field::guestSysenterCs);
  cpu.sysenterEsp = field(cpu, Field::guestSysenterEsp);
  cpu.sysenterEip = field(cpu, Field::guestSysenterEip);
  if (entryBased(cpu, onEntry::kLoadPat)) cpu.pat = field(cpu, Field::guestPat);
  cpu.gpr[RSP] = field(cpu, Field::guestRsp);
  cpu.rip() = field(cpu, Field::guestRip);
  cpu.lazy.kind = LazyFlags::none;
  cpu.rflags = field(cpu, Field::guestRflags);
}

/** Which debug exceptions that pend outlive the entry: what takes their place depends on its event (27.7.3). */
uint64_t keptDebugExceptions(const Cpu& cpu, bool vectors, bool movSs) {
  const uint64_t pending = field(cpu, Field::guestPendingDebugExceptions);
  const Activity activity = cpu.vmx.activity;
  if ((pending & (kPendingSingleStep | kPendingEnabled)) == 0) return 0;
  if (!vectors) return activity == Activity::shutdown || activity == Activity::waitForSipi ? 0 : pending;
  const uint64_t type = field(cpu, Field::entryInterruptionInformation) >> 8 & 7;
  return movSs && (type == kSoftwareInterrupt || type == kSoftwareException) ? pending : 0;
}

void loadInterruptibility(Cpu& cpu, bool vectors) {
  Vmx& vmx = cpu.vmx;
  const uint64_t state = field(cpu, Field::guestInterruptibilityState);
  const bool movSs = (state & kBlockingByMovSs) != 0, nmi = (state & kBlockingByNmi) != 0;
  cpu.shadow = false;
  // 27.7.1: behind an event that is injected there is no blocking by STI or MOV SS.
  cpu.shadowNext = !vectors && (state & (kBlockingBySti | kBlockingByMovSs)) != 0;
  cpu.trapBlocked = !vectors && movSs;
  vmx.virtualNmiMasked = false;
  if (pinBased(cpu, pin::kVirtualNmis)) {
    vmx.virtualNmiMasked = nmi;
    cpu.nmiMasked = false;
  } else {
    cpu.nmiMasked = nmi;
  }
  vmx.activity = vectors ? Activity::active : static_cast<Activity>(field(cpu, Field::guestActivityState) & 3);
  const uint64_t pending = keptDebugExceptions(cpu, vectors, movSs);
  // Behind MOV SS they join what the first instruction, or the event in its place, does; RFLAGS.TF says again that it
  // steps, and an event does not.
  vmx.pendingDebug = cpu.trapBlocked ? 0 : pending & (15 | (movSs ? 0 : kPendingSingleStep));
  if (cpu.trapBlocked) cpu.dataHits = pending & 15;
}

void startTimer(Cpu& cpu) {
  Vmx& vmx = cpu.vmx;
  vmx.preemptionTick = kNever;
  if (!pinBased(cpu, pin::kPreemptionTimer)) return;
  vmx.preemptionStart = (ticksOf(cpu) + cpu.tscOffset) >> kPreemptionTimerRate;
  const uint64_t end = vmx.preemptionStart + field(cpu, Field::vmxPreemptionTimerValue);
  vmx.preemptionTick = (end << kPreemptionTimerRate) - cpu.tscOffset;
}

/** The list of MSRs (27.4). 0, or the number of the entry that cannot be loaded. */
uint64_t loadMsrs(Cpu& cpu) {
  const uint64_t count = field(cpu, Field::entryMsrLoadCount), list = field(cpu, Field::entryMsrLoadAddress);
  for (uint64_t i = 0; i < count; i++) {
    uint32_t entry[4];
    if (i >= kMsrListMaximum || !cpu.memory->read(list + 16 * i, entry, sizeof(entry))) return i + 1;
    const bool refused = entry[0] == 0xc0000100 || entry[0] == 0xc0000101 || entry[0] >> 8 == 8 || entry[1] != 0;
    if (refused || !writeMsr(cpu, entry[0], entry[2] | uint64_t{entry[3]} << 32)) return i + 1;
  }
  return 0;
}

/** Event injection (27.6). */
void inject(Cpu& cpu, uint32_t information) {
  Vmx& vmx = cpu.vmx;
  const auto vector = static_cast<uint8_t>(information);
  const auto type = static_cast<EventType>(information >> 8 & 7);
  vmx.monitorTrapDue = vmx.monitorTrap;
  const bool software = type >= kSoftwareInterrupt, hasError = (information & kEventHasError) != 0;
  const auto error = static_cast<uint32_t>(field(cpu, Field::entryExceptionErrorCode));
  const uint64_t length = software ? field(cpu, Field::entryInstructionLength) : 0;
  vmx.vectoring = {information & ~kEventUnblockedNmi & 0x80000fff, error, static_cast<uint32_t>(length)};
  if (type == kNmiEvent) (pinBased(cpu, pin::kVirtualNmis) ? vmx.virtualNmiMasked : cpu.nmiMasked) = true;
  const uint64_t start = cpu.rip();
  cpu.rip() = (start + length) & cpu.ipMask;
  const bool asked = type == kSoftwareInterrupt || type == kSoftwareException;
  if (deliver(cpu, vector, asked ? Source::software : Source::hardware, hasError, error)) return;
  cpu.rip() = start;
  if (!cpu.fault.leaves) vmx.pendingDebug = 0;  // as where the instruction itself faults
  deliverFault(cpu, {type == kHardwareException, vector, hasError, error, false});
}

}  // namespace

void failEntry(Cpu& cpu, ExitReason reason, uint64_t qualification) {
  constexpr uint32_t kEntryFailure = 1u << 31;
  cpu.vmx.vmcs.set(Field::exitReason, static_cast<uint32_t>(reason) | kEntryFailure);
  cpu.vmx.vmcs.set(Field::exitQualification, qualification);
  loadHost(cpu);
}

bool enterGuest(Cpu& cpu, bool launch) {
  Vmx& vmx = cpu.vmx;
  if (vmx.current == kNoVmcs || vmx.vmcs.shadow) return failInvalid(cpu);
  if (blockedByMovSs(cpu)) return fail(cpu, 26);
  if (launch == vmx.vmcs.launched) return fail(cpu, launch ? 4 : 5);
  const unsigned error = enter(cpu);
  return error == 0 || fail(cpu, error);
}

unsigned enter(Cpu& cpu) {
  Vmx& vmx = cpu.vmx;
  if (const Failure failure = checkControls(cpu, vmx.vmcs)) return failure.number;
  if (const Failure failure = checkHost(cpu, vmx.vmcs)) return failure.number;
  cpu.stepTaken = true;
  if (const GuestFailure failure = checkGuest(cpu, vmx.vmcs)) {
    failEntry(cpu, ExitReason::invalidGuestState, failure.qualification);
    return 0;
  }
  const auto information = static_cast<uint32_t>(field(cpu, Field::entryInterruptionInformation));
  const bool injects = (information & kEventValid) != 0;
  // A monitor trap takes the place of nothing (27.7).
  const bool vectors = injects && (information >> 8 & 7) != kOtherEvent;
  cpu.dataHits = 0;
  loadGuestRegisters(cpu);
  loadGuestSegments(cpu);
  cpu.guest = true;
  cpu.ept = secondaryBased(cpu, secondary::kEnableEpt);
  if (cpu.ept) {
    for (unsigned i = 0; i < 4; i++) cpu.pointers[i] = field(cpu, pointerField(i));
  } else if (usesPointers(cpu)) {
    readPointers(cpu);  // checked above
  }
  updateMode(cpu);
  updateUsable(cpu);
  updateBreakpoints(cpu);
  endUntagged(cpu);
  flushTlb(cpu);
  if (const uint64_t failed = loadMsrs(cpu)) {
    failEntry(cpu, ExitReason::msrLoading, failed);
    return 0;
  }
  vmx.vmcs.launched = true;
  loadInterruptibility(cpu, vectors);
  startTimer(cpu);
  startVirtualApic(cpu);
  vmx.monitorTrap = primaryBased(cpu, primary::kMonitorTrapFlag);
  vmx.monitorTrapDue = injects && !vectors;
  vmx.vectoring = {};
  vmx.firstPause = kNever;
  cpu.attention.fetch_or(kInterrupt | kNmi | kInit);
  cpu.deadline.store(0);  // the timer is one more
  if (vectors) inject(cpu, information);
  return 0;
}

}  // namespace vtkit::emulator::vmx
