// Events in non-root operation: exceptions that leave, and what is due between two instructions (SDM Vol. 3C, 26.2,
// 26.5 and 27.7).
#include "emulator/breakpoints.h"
#include "emulator/emulator.h"
#include "emulator/system.h"
#include "emulator/vmx/transitions.h"
#include "emulator/vmx/virtual-apic.h"

namespace vtkit::emulator::vmx {

bool exceptionLeaves(Cpu& cpu, uint8_t vector, EventType type, bool hasError, uint32_t error) {
  Vmx& vmx = cpu.vmx;
  // The vector tells the exception: INT n does not come here.
  bool listed = (field(cpu, Field::exceptionBitmap) >> (vector & 31) & 1) != 0;
  if (vector == kPfFault) {
    const bool matches =
        (error & field(cpu, Field::pageFaultErrorCodeMask)) == field(cpu, Field::pageFaultErrorCodeMatch);
    listed = listed == matches;
  }
  if (!listed) return false;
  uint64_t qualification = 0;
  if (vector == kPfFault) {
    qualification = cpu.cr2;
    cpu.cr2 = vmx.cr2Before;
  } else if (vector == kDb) {
    qualification = vmx.debugConditions;
    cpu.dr6 = vmx.dr6Before;
  }
  leave(cpu, ExitReason::exceptionOrNmi, qualification);
  vmx.exit.interruption = eventInformation(vector, type, hasError) | (vmx.unblockedNmi ? kEventUnblockedNmi : 0);
  vmx.exit.interruptionError = hasError ? error : 0;
  return true;
}

namespace {

/** An NMI that waits, and that non-root operation does not block: with virtual NMIs entry lifts all blocking. */
bool nmiWaits(const Cpu& cpu) { return cpu.nmis.load() != 0 && !cpu.nmiMasked; }

}  // namespace

}  // namespace vtkit::emulator::vmx

namespace vtkit::emulator {

using namespace vmx;

bool Emulator::interruptWaits() const {
  const Cpu& cpu = *cpu_;
  return cpu.queuedVector >= 0 || apic_.pending() >= 0 || (apic_.takesExternal() && cpu.platform->interruptAsserted());
}

/** Whether something came meanwhile; what was due before is taken before the processor rests. */
bool Emulator::guestWakes() {
  Cpu& cpu = *cpu_;
  const Activity activity = cpu.vmx.activity;
  if (signalWakes()) return true;
  if (activity == Activity::waitForSipi) return false;
  if (nmiWaits(cpu) || ticks() >= cpu.vmx.preemptionTick) return true;
  if (activity == Activity::shutdown) return false;
  return ((flags(cpu) & kIf) != 0 || pinBased(cpu, pin::kExternalInterruptExiting)) && interruptWaits();
}

/** Makes an exit, or delivers an event, if one is due. True if so. */
bool Emulator::takeGuestEvent() {
  Cpu& cpu = *cpu_;
  Vmx& vmx = cpu.vmx;
  const auto exits = [&](ExitReason reason, uint64_t qualification = 0) {
    leave(cpu, reason, qualification);
    makeExit(cpu);
    return true;
  };
  const auto exitsFor = [&](ExitReason reason, uint32_t information) {
    leave(cpu, reason);
    vmx.exit.interruption = information;
    makeExit(cpu);
    return true;
  };
  const auto delivers = [&](uint8_t vector, EventType type) {
    vmx.activity = Activity::active;
    vmx.monitorTrapDue = vmx.monitorTrap;
    vmx.vectoring = {eventInformation(vector, type, false), 0, 0};
    if (!deliver(cpu, vector, Source::hardware, false, 0)) deliverFault(cpu);
    return true;
  };
  if (vmx.activity == Activity::waitForSipi) return false;
  if (trapIsDue(vmx)) return exits(vmx.trapReason, vmx.trapQualification);
  if (vmx.monitorTrapDue) return exits(ExitReason::monitorTrapFlag);
  if (vmx.pendingDebug != 0) {
    const uint64_t conditions = vmx.pendingDebug;
    vmx.pendingDebug = 0;
    vmx.monitorTrapDue = vmx.monitorTrap;
    raiseDebug(cpu, conditions);
    deliverFault(cpu);
    return true;
  }
  if (ticks() >= vmx.preemptionTick) return exits(ExitReason::preemptionTimer);
  // The control needs virtual NMIs.
  if (primaryBased(cpu, primary::kNmiWindowExiting) && !vmx.virtualNmiMasked && !cpu.shadow) {
    return exits(ExitReason::nmiWindow);
  }
  if (nmiWaits(cpu) && !blockedByMovSs(cpu)) {
    cpu.nmis--;
    if (pinBased(cpu, pin::kNmiExiting)) {
      return exitsFor(ExitReason::exceptionOrNmi, eventInformation(2, kNmiEvent, false));
    }
    cpu.nmiMasked = true;
    return delivers(2, kNmiEvent);
  }
  forgetNmi();
  if (cpu.shadow || vmx.activity == Activity::shutdown) return false;
  const bool open = (flags(cpu) & kIf) != 0;
  if (open && primaryBased(cpu, primary::kInterruptWindowExiting)) return exits(ExitReason::interruptWindow);
  if (open && vmx.virtualInterrupt) return delivers(takeVirtualInterrupt(cpu), kExternalEvent);
  const bool leaves = pinBased(cpu, pin::kExternalInterruptExiting);
  if (!leaves && !open) return false;
  if (leaves && !exitBased(cpu, onExit::kAcknowledgeInterrupt)) {
    return interruptWaits() && exits(ExitReason::externalInterrupt);
  }
  const int vector = nextVector();
  if (vector < 0) return false;
  if (!leaves) return delivers(static_cast<uint8_t>(vector), kExternalEvent);
  if (takePosted(cpu, static_cast<uint8_t>(vector))) return true;
  return exitsFor(ExitReason::externalInterrupt, eventInformation(static_cast<uint8_t>(vector), kExternalEvent, false));
}

}  // namespace vtkit::emulator
