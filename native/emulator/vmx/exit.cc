// VM exits (SDM Vol. 3C, chapter 28).
#include "emulator/vmx/exit.h"

#include <algorithm>

#include "emulator/breakpoints.h"
#include "emulator/dispatch.h"
#include "emulator/msrs.h"
#include "emulator/system.h"
#include "emulator/translation-cache.h"
#include "emulator/vmx/transitions.h"
#include "emulator/vmx/virtual-apic.h"

namespace vtkit::emulator::vmx {

bool leave(Cpu& cpu, ExitReason reason, uint64_t qualification) {
  cpu.fault = {true, 0, false, 0, true};
  cpu.vmx.exit = {};
  cpu.vmx.exit.reason = reason;
  cpu.vmx.exit.qualification = qualification;
  return false;
}

namespace {

Field at(Field first, unsigned seg) { return static_cast<Field>(static_cast<uint32_t>(first) + 2 * seg); }

/** What the exit tells of itself (28.2). */
void saveInformation(Cpu& cpu) {
  Vmx& vmx = cpu.vmx;
  const PendingExit& exit = vmx.exit;
  Vmcs& vmcs = vmx.vmcs;
  vmcs.set(Field::exitReason, static_cast<uint32_t>(exit.reason));
  vmcs.set(Field::exitQualification, exit.qualification);
  vmcs.set(Field::guestLinearAddress, exit.guestLinear);
  vmcs.set(Field::guestPhysicalAddress, exit.guestPhysical);
  vmcs.set(Field::exitInterruptionInformation, exit.interruption);
  vmcs.set(Field::exitInterruptionErrorCode, exit.interruptionError);
  vmcs.set(Field::exitInstructionInformation, exit.instruction);
  const bool software = (exit.interruption >> 8 & 7) >= kPrivilegedSoftwareException;
  // An exit that is the event's own does not happen on the event's way (28.2.4).
  const bool doubles = (exit.interruption & (kEventValid | 0xff)) == (kEventValid | kDf8);
  if (doubles || exit.reason == ExitReason::tripleFault) vmx.vectoring = {};
  vmcs.set(Field::idtVectoringInformation, vmx.vectoring.information);
  vmcs.set(Field::idtVectoringErrorCode, vmx.vectoring.error);
  const uint32_t length = exit.byInstruction || software ? vmx.instructionBytes : vmx.vectoring.length;
  vmcs.set(Field::exitInstructionLength, length);
}

void saveSegments(Cpu& cpu) {
  Vmcs& vmcs = cpu.vmx.vmcs;
  for (unsigned seg = ES; seg < kSegments; seg++) {
    const vcpu::Segment& segment = cpu.seg[seg];
    vmcs.set(at(Field::guestEsSelector, seg), segment.selector);
    vmcs.set(at(Field::guestEsBase, seg), segment.base);
    vmcs.set(at(Field::guestEsLimit, seg), segment.limit);
    const uint32_t dpl = seg == SS ? cpu.cpl : segment.dpl;  // SS.DPL is the privilege level (25.4.1)
    vmcs.set(at(Field::guestEsAccessRights, seg), uint32_t{segment.type} | uint32_t{segment.s} << 4 | dpl << 5 |
                                                      uint32_t{segment.present} << 7 | uint32_t{segment.avl} << 12 |
                                                      uint32_t{segment.l} << 13 | uint32_t{segment.db} << 14 |
                                                      uint32_t{segment.g} << 15 | uint32_t{segment.unusable} << 16);
  }
  vmcs.set(Field::guestGdtrBase, cpu.gdt.base);
  vmcs.set(Field::guestGdtrLimit, cpu.gdt.limit);
  vmcs.set(Field::guestIdtrBase, cpu.idt.base);
  vmcs.set(Field::guestIdtrLimit, cpu.idt.limit);
}

/** Of an exit because of memory that an access reaches: its instruction has begun, and will begin again. */
bool interruptsAccess(ExitReason reason) {
  switch (reason) {
    case ExitReason::apicAccess:
    case ExitReason::eptViolation:
    case ExitReason::eptMisconfiguration:
    case ExitReason::pageModificationLogFull:
      return true;
    default:
      return false;
  }
}

/**
 * RFLAGS as saved (28.3.3): RF is clear behind an instruction's own exit, set before one whose access or fault leaves,
 * and on an event's way what its frame would have.
 */
uint64_t savedFlags(Cpu& cpu) {
  const PendingExit& exit = cpu.vmx.exit;
  const uint64_t value = flags(cpu);
  const uint8_t vector = exit.interruption & 0xff;
  const bool fault = (exit.interruption >> 8 & 7) == kHardwareException && vector != kDb;
  if (fault || (interruptsAccess(exit.reason) && cpu.vmx.vectoring.information == 0)) return value | kRf;
  return exit.byInstruction ? value & ~kRf : value;
}

void saveGuest(Cpu& cpu) {
  Vmx& vmx = cpu.vmx;
  Vmcs& vmcs = vmx.vmcs;
  vmcs.set(Field::guestCr0, cpu.cr0);
  vmcs.set(Field::guestCr3, cpu.cr3);
  vmcs.set(Field::guestCr4, cpu.cr4);
  vmcs.set(Field::guestSysenterCs, cpu.sysenterCs);
  vmcs.set(Field::guestSysenterEsp, cpu.sysenterEsp);
  vmcs.set(Field::guestSysenterEip, cpu.sysenterEip);
  if (exitBased(cpu, onExit::kSaveDebugControls)) {
    vmcs.set(Field::guestDr7, cpu.dr7);
    vmcs.set(Field::guestDebugctl, cpu.debugControl);
  }
  if (exitBased(cpu, onExit::kSavePat)) vmcs.set(Field::guestPat, cpu.pat);
  if (exitBased(cpu, onExit::kSaveEfer)) vmcs.set(Field::guestEfer, cpu.efer);
  const uint64_t entry = field(cpu, Field::entryControls) & ~uint64_t{onEntry::kIa32eModeGuest};
  vmcs.set(Field::entryControls, entry | (cpu.longMode() ? onEntry::kIa32eModeGuest : 0));
  for (unsigned i = 0; cpu.ept && i < 4; i++) vmcs.set(pointerField(i), cpu.pointers[i]);
  saveSegments(cpu);
  vmcs.set(Field::guestRsp, cpu.gpr[RSP]);
  vmcs.set(Field::guestRip, cpu.rip());
  vmcs.set(Field::guestRflags, savedFlags(cpu));

  const bool masked = pinBased(cpu, pin::kVirtualNmis) ? vmx.virtualNmiMasked : cpu.nmiMasked;
  uint64_t interruptibility = masked ? kBlockingByNmi : 0;
  if (cpu.shadow) interruptibility |= blockedByMovSs(cpu) ? kBlockingByMovSs : kBlockingBySti;
  vmcs.set(Field::guestInterruptibilityState, interruptibility);
  vmcs.set(Field::guestActivityState, static_cast<uint32_t>(vmx.activity));
  uint64_t pending = vmx.pendingDebug;
  if (blockedByMovSs(cpu)) {
    pending |= cpu.dataHits | ((cpu.rflags & kTf) != 0 && !stepsOnBranches(cpu) ? kPendingSingleStep : 0);
  }
  if ((pending & 15) != 0) pending |= kPendingEnabled;
  vmcs.set(Field::guestPendingDebugExceptions, pending);

  if (exitBased(cpu, onExit::kSavePreemptionTimer)) {
    const uint64_t now = (ticksOf(cpu) + cpu.tscOffset) >> kPreemptionTimerRate;
    const uint64_t value = field(cpu, Field::vmxPreemptionTimerValue), passed = now - vmx.preemptionStart;
    vmcs.set(Field::vmxPreemptionTimerValue, value - std::min(passed, value));
  }
}

bool storeMsrs(Cpu& cpu) {
  const uint64_t count = field(cpu, Field::exitMsrStoreCount), list = field(cpu, Field::exitMsrStoreAddress);
  for (uint64_t i = 0; i < count; i++) {
    uint32_t entry[2];
    uint64_t value;
    if (i >= kMsrListMaximum || !cpu.memory->read(list + 16 * i, entry, sizeof(entry))) return false;
    if (entry[0] >> 8 == 8 || entry[1] != 0 || !readMsr(cpu, entry[0], value)) return false;
    if (!writePhysical(cpu, list + 16 * i + 8, &value, sizeof(value))) return false;
  }
  return true;
}

bool loadMsrs(Cpu& cpu) {
  const uint64_t count = field(cpu, Field::exitMsrLoadCount), list = field(cpu, Field::exitMsrLoadAddress);
  for (uint64_t i = 0; i < count; i++) {
    uint32_t entry[4];
    if (i >= kMsrListMaximum || !cpu.memory->read(list + 16 * i, entry, sizeof(entry))) return false;
    const bool refused = entry[0] == 0xc0000100 || entry[0] == 0xc0000101 || entry[0] >> 8 == 8 || entry[1] != 0;
    if (refused || !writeMsr(cpu, entry[0], entry[2] | uint64_t{entry[3]} << 32)) return false;
  }
  return true;
}

void loadHostSegments(Cpu& cpu) {
  const bool wide = exitBased(cpu, onExit::kHostAddressSpaceSize);
  for (unsigned seg = ES; seg <= GS; seg++) {
    vcpu::Segment& segment = cpu.seg[seg];
    segment = {};
    segment.selector = static_cast<uint16_t>(field(cpu, at(Field::hostEsSelector, seg)));
    segment.limit = 0xffffffff;
    segment.type = seg == CS ? 0xb : 3;
    segment.s = segment.present = segment.g = 1;
    segment.db = seg != CS || !wide;
    segment.l = seg == CS && wide;
    segment.unusable = seg != CS && segment.selector == 0;
  }
  cpu.seg[FS].base = field(cpu, Field::hostFsBase);
  cpu.seg[GS].base = field(cpu, Field::hostGsBase);
  cpu.seg[LDTR] = {};
  cpu.seg[LDTR].unusable = 1;
  vcpu::Segment& task = cpu.seg[TR];
  task = {};
  task.selector = static_cast<uint16_t>(field(cpu, Field::hostTrSelector));
  task.base = field(cpu, Field::hostTrBase);
  task.limit = 0x67;
  task.type = 0xb;
  task.present = 1;
  cpu.gdt.base = field(cpu, Field::hostGdtrBase);
  cpu.idt.base = field(cpu, Field::hostIdtrBase);
  cpu.gdt.limit = cpu.idt.limit = 0xffff;
  cpu.cpl = 0;
}

}  // namespace

void endUntagged(Cpu& cpu) {
  if (!secondaryBased(cpu, secondary::kEnableVpid)) endTranslations(cpu, vpidAlone(0));
}

void abort(Cpu& cpu, uint32_t indicator) {
  if (cpu.vmx.current != kNoVmcs) writePhysical(cpu, cpu.vmx.current + 4, &indicator, sizeof(indicator));
  cpu.shutdown = true;
}

void loadHost(Cpu& cpu) {
  Vmx& vmx = cpu.vmx;
  const bool wide = exitBased(cpu, onExit::kHostAddressSpaceSize);
  constexpr uint64_t kCr0Kept = kCr0Et | kCr0Nw | kCr0Cd;
  constexpr uint32_t kHostPointers = 2, kHostMsrs = 4, kHostMode = 6;  // VMX-abort indicators (28.7)
  cpu.guest = cpu.ept = false;
  if (!wide && cpu.longMode()) return abort(cpu, kHostMode);
  cpu.cr0 = (field(cpu, Field::hostCr0) & ~kCr0Kept & 0xffffffff) | (cpu.cr0 & kCr0Kept);
  cpu.cr3 = field(cpu, Field::hostCr3);
  cpu.cr4 = field(cpu, Field::hostCr4);
  cpu.cr4 = wide ? cpu.cr4 | kCr4Pae : cpu.cr4 & ~kCr4Pcide;
  cpu.dr7 = 0x400;
  cpu.debugControl = 0;
  cpu.sysenterCs = field(cpu, Field::hostSysenterCs);
  cpu.sysenterEsp = field(cpu, Field::hostSysenterEsp);
  cpu.sysenterEip = field(cpu, Field::hostSysenterEip);
  cpu.efer = exitBased(cpu, onExit::kLoadEfer) ? field(cpu, Field::hostEfer)
                                               : (cpu.efer & ~(kEferLma | kEferLme)) | (wide ? kEferLma | kEferLme : 0);
  if (exitBased(cpu, onExit::kLoadPat)) cpu.pat = field(cpu, Field::hostPat);
  loadHostSegments(cpu);
  cpu.gpr[RSP] = field(cpu, Field::hostRsp);
  cpu.rip() = field(cpu, Field::hostRip);
  cpu.lazy.kind = LazyFlags::none;
  cpu.rflags = 2;
  cpu.shadow = cpu.shadowNext = cpu.trapBlocked = cpu.halted = cpu.taskTraps = cpu.stepNow = cpu.taskSwitched = false;
  cpu.dataHits = 0;
  cpu.fault.pending = cpu.fault.leaves = false;
  vmx.activity = Activity::active;
  vmx.vectoring = {};
  vmx.pendingDebug = 0;
  vmx.monitorTrap = vmx.monitorTrapDue = false;
  stopVirtualApic(cpu);
  vmx.preemptionTick = kNever;
  updateMode(cpu);
  updateUsable(cpu);
  updateBreakpoints(cpu);
  endUntagged(cpu);
  flushTlb(cpu);
  cpu.attention.fetch_or(kInterrupt | kNmi);
  if (usesPointers(cpu) && !readPointers(cpu)) return abort(cpu, kHostPointers);
  if (!loadMsrs(cpu)) abort(cpu, kHostMsrs);
}

void makeExit(Cpu& cpu) {
  Vmx& vmx = cpu.vmx;
  cpu.fault.pending = cpu.fault.leaves = false;
  saveInformation(cpu);
  vmx.vmcs.set(Field::entryInterruptionInformation,
               field(cpu, Field::entryInterruptionInformation) & ~uint64_t{kEventValid});
  saveGuest(cpu);
  cpu.guest = false;  // its offset and scale do not concern a time stamp counter that is stored
  constexpr uint32_t kGuestMsrs = 1;
  if (!storeMsrs(cpu)) return abort(cpu, kGuestMsrs);
  if ((vmx.exit.interruption >> 8 & 7) == kNmiEvent) cpu.nmiMasked = true;
  loadHost(cpu);
}

}  // namespace vtkit::emulator::vmx
