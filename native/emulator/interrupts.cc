// Interrupts and exceptions: delivery through the vector table or the IDT, and what a failed one becomes (SDM Vol. 3A,
// chapter 6).
#include "emulator/breakpoints.h"
#include "emulator/frame.h"
#include "emulator/system.h"
#include "emulator/task.h"
#include "emulator/transfer.h"
#include "emulator/vmx/transitions.h"

namespace vtkit::emulator {

namespace {

bool deliverReal(Cpu& cpu, uint8_t vector) {
  const uint64_t offset = uint64_t{vector} * 4;
  if (offset + 3 > cpu.idt.limit) return gp(cpu);
  uint16_t rip, cs;
  if (!loadSystem<uint16_t>(cpu, cpu.idt.base + offset, rip) ||
      !loadSystem<uint16_t>(cpu, cpu.idt.base + offset + 2, cs)) {
    return false;
  }
  Frame frame(cpu);
  if (!frame.push(flags(cpu), 2) || !frame.push(cpu.seg[CS].selector, 2) || !frame.push(cpu.rip(), 2)) return false;
  cpu.gpr[RSP] = frame.rsp();
  loadRealSegment(cpu, CS, cs);
  cpu.rip() = rip;
  cpu.rflags &= ~(kIf | kTf | kAc | kRf);
  return true;
}

struct InterruptGate {
  uint16_t selector = 0;
  uint64_t offset = 0;
  unsigned ist = 0;
  unsigned bytes = 0;
  bool masks = false;  // interrupt gate: IF is cleared
  bool isTask = false;
  Descriptor descriptor;
};

bool readGate(Cpu& cpu, uint8_t vector, Source source, uint32_t ext, InterruptGate& gate) {
  const bool wide = cpu.longMode();
  const uint64_t offset = uint64_t{vector} * (wide ? 16 : 8);
  const uint32_t error = vector * 8u + 2 + ext;
  if (offset + (wide ? 15 : 7) > cpu.idt.limit) return gp(cpu, error);
  Descriptor descriptor;
  if (!loadSystem<uint64_t>(cpu, cpu.idt.base + offset, descriptor.raw)) return false;
  if (wide && !loadSystem<uint64_t>(cpu, cpu.idt.base + offset + 8, descriptor.high)) return false;
  const unsigned type = descriptor.type();
  const bool known = type == 14 || type == 15 || (!wide && (type == 5 || type == 6 || type == 7));
  if (descriptor.s() || !known) return gp(cpu, error);
  if (source == Source::software && descriptor.dpl() < cpu.cpl) return gp(cpu, error);
  if (!descriptor.present()) return raise(cpu, kNp, error);
  gate.isTask = type == 5;
  gate.descriptor = descriptor;
  gate.selector = static_cast<uint16_t>(descriptor.raw >> 16);
  gate.offset = (descriptor.raw & 0xffff) | (type >= 14 ? descriptor.raw >> 32 & 0xffff0000 : 0) |
                (wide ? descriptor.high << 32 : 0);
  gate.ist = wide ? descriptor.raw >> 32 & 7 : 0;
  gate.bytes = wide ? 8 : type >= 14 ? 4 : 2;
  gate.masks = (type & 1) == 0;
  return true;
}

/** Adds EXT to the selector errors of a delivery that no software asked for. */
bool failed(Cpu& cpu, uint32_t ext) {
  if (cpu.fault.pending && cpu.fault.hasError && cpu.fault.vector != kPfFault) cpu.fault.error |= ext;
  return false;
}

bool enterHandler(Cpu& cpu, uint8_t vector, Source source, bool hasError, uint32_t error) {
  if (!cpu.protectedMode()) return deliverReal(cpu, vector);
  const uint32_t ext = source == Source::software ? 0 : 1;
  InterruptGate gate;
  if (!readGate(cpu, vector, source, ext, gate)) return false;
  if (gate.isTask) {
    return switchThroughGate(cpu, gate.descriptor, TaskSource::interrupt, ext) &&
           (!hasError || pushTaskError(cpu, error));
  }
  if ((gate.selector & ~3) == 0) return gp(cpu, ext);
  Descriptor code;
  if (!readDescriptor(cpu, gate.selector, code)) return failed(cpu, ext);
  const uint32_t codeError = (gate.selector & ~3u) | ext;
  if (!code.isCode() || code.dpl() > cpu.cpl) return gp(cpu, codeError);
  if (cpu.longMode() && (!code.l() || code.db())) return gp(cpu, codeError);
  if (!code.present()) return raise(cpu, kNp, codeError);
  const bool inner = !code.conforming() && code.dpl() < cpu.cpl;
  if (cpu.v86() && (!inner || code.dpl() != 0)) return gp(cpu, codeError);
  const unsigned level = inner ? code.dpl() : cpu.cpl;
  if (!checkTarget(cpu, code, gate.offset)) return failed(cpu, ext);

  const uint64_t savedFlags = flags(cpu);
  const uint64_t oldRsp = cpu.gpr[RSP];
  const uint16_t oldSs = cpu.seg[SS].selector;
  vcpu::Segment stack = cpu.seg[SS];
  uint64_t rsp = oldRsp;
  uint16_t ss;
  if (cpu.longMode()) {
    if (gate.ist != 0) {
      const uint64_t offset = 28 + 8 * gate.ist;
      if (offset + 7 > cpu.seg[TR].limit) return raise(cpu, kTs, (cpu.seg[TR].selector & ~3u) | ext);
      if (!loadSystem<uint64_t>(cpu, cpu.seg[TR].base + offset, rsp)) return false;
    } else if (inner && !stackOfLevel(cpu, level, ss, rsp)) {
      return failed(cpu, ext);
    }
    if (inner && !innerStack(cpu, level, 0, stack)) return failed(cpu, ext);
    rsp &= ~uint64_t{15};
  } else if (inner) {
    if (!stackOfLevel(cpu, level, ss, rsp) || !innerStack(cpu, level, ss, stack)) return failed(cpu, ext);
  }
  Frame frame(cpu, stack, rsp, cpu.longMode(), level == 3);
  bool pushed = true;
  const auto put = [&](uint64_t value) { pushed = pushed && frame.push(value, gate.bytes); };
  if (cpu.v86()) {
    for (const unsigned seg : {GS, FS, DS, ES}) put(cpu.seg[seg].selector);
  }
  if (inner || cpu.longMode()) {
    put(oldSs);
    put(oldRsp);
  }
  put(savedFlags);
  put(cpu.seg[CS].selector);
  put(cpu.rip());
  if (hasError) put(error);
  if (!pushed || !setAccessed(cpu, gate.selector, code)) return failed(cpu, ext);

  if (cpu.v86()) {
    cpu.rflags &= ~kVm;
    for (const unsigned seg : {GS, FS, DS, ES}) {
      cpu.seg[seg] = {};
      cpu.seg[seg].unusable = 1;
    }
  }
  if (inner) cpu.seg[SS] = stack;
  loadCode(cpu, gate.selector, code, level);
  cpu.gpr[RSP] = frame.rsp();
  cpu.rip() = gate.offset;
  cpu.rflags &= ~(kTf | kNt | kVm | kRf | (gate.masks ? kIf : 0));
  if (vector == kDb && source == Source::exception) {
    cpu.dr7 &= ~kDr7Detect;
    cpu.debugControl &= ~kDebugBranches;
  }
  return true;
}

enum class Class { benign, contributory, pageFault };
Class classOf(uint8_t vector) {
  if (vector == kPfFault || vector == kVe) return Class::pageFault;
  return vector == kDe || (vector >= kTs && vector <= kGp) || vector == kCp ? Class::contributory : Class::benign;
}

/** Table 6-5. */
bool doubles(uint8_t first, uint8_t second) {
  const Class before = classOf(first), next = classOf(second);
  return (before == Class::contributory && next == Class::contributory) ||
         (before == Class::pageFault && next != Class::benign);
}

bool exits(Cpu& cpu, const Fault& fault, bool hasError) {
  return fault.leaves ||
         (cpu.guest && vmx::exceptionLeaves(cpu, fault.vector, vmx::kHardwareException, hasError, fault.error));
}

}  // namespace

bool deliver(Cpu& cpu, uint8_t vector, Source source, bool hasError, uint32_t error) {
  if (!enterHandler(cpu, vector, source, hasError, error)) return false;
  cpu.vmx.vectoring = {};
  cpu.shadow = false;  // STI blocks up to an instruction or an event, whichever comes first
  return true;
}

void deliverFault(Cpu& cpu, Fault first) {
  for (;;) {
    Fault current = cpu.fault;
    cpu.fault.pending = false;
    const bool coded = cpu.protectedMode();
    // By its own bit an exception leaves before it becomes a double fault.
    if (exits(cpu, current, current.hasError && coded)) return vmx::makeExit(cpu);
    if (first.vector == kDf8 && first.pending) {
      cpu.shutdown = !cpu.guest;
      if (cpu.shutdown) return;
      vmx::leave(cpu, vmx::ExitReason::tripleFault);
      return vmx::makeExit(cpu);
    }
    if (first.pending && doubles(first.vector, current.vector)) {
      current = {true, kDf8, true, 0, false};
      if (exits(cpu, current, coded)) return vmx::makeExit(cpu);
    }
    const bool hasError = current.hasError && coded;
    cpu.vmx.activity = vmx::Activity::active;  // not before an exit of the exception itself (28.1)
    cpu.vmx.vectoring = {vmx::eventInformation(current.vector, vmx::kHardwareException, hasError), current.error, 0};
    // Faults return to their instruction with RF set, so that an instruction breakpoint does not hit again.
    const bool faultClass = current.vector != kDb && current.vector != kBp && current.vector != kOfTrap;
    const uint64_t before = flags(cpu);
    if (faultClass && coded) cpu.rflags |= kRf;
    if (deliver(cpu, current.vector, Source::exception, hasError, current.error)) return;
    // An exit on the way saves RF as the frame would have had it (Vol. 3C, 28.3.3).
    if (!cpu.taskSwitched && !cpu.fault.leaves) cpu.rflags = before;
    cpu.taskSwitched = false;
    if (cpu.closing || cpu.unknown) return;
    first = current;
  }
}

}  // namespace vtkit::emulator
