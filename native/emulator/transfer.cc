// Far control transfer: JMP, CALL, RET and IRET between segments and privilege levels (SDM Vol. 3A, 5.8; Vol. 2A).
#include "emulator/frame.h"
#include "emulator/system.h"

namespace vtkit::emulator {

namespace {

enum SystemType : unsigned { kCallGate16 = 4, kCallGate32 = 12 };

bool realMode(const Cpu& cpu) { return !cpu.protectedMode() || cpu.v86(); }

/** Hardware task switches are not known yet: the instruction is reported, never skipped. */
bool taskSwitch(Cpu& cpu) {
  cpu.unknown = true;
  return false;
}

/** The new RIP lies in the segment that is entered. */
bool checkTarget(Cpu& cpu, const Descriptor& code, uint64_t offset) {
  if (cpu.longMode() && code.l()) return canonical(offset) ? true : gp(cpu);
  return offset <= code.limit() ? true : gp(cpu);
}

/** A code segment as the target of a direct transfer, with `cpl` the privilege afterwards. */
bool checkCode(Cpu& cpu, uint16_t selector, const Descriptor& code, bool ignoreRpl, unsigned& cpl) {
  const uint32_t error = selector & ~3u;
  if (!code.isCode()) return gp(cpu, error);
  if (code.conforming()) {
    if (code.dpl() > cpu.cpl) return gp(cpu, error);
  } else if ((!ignoreRpl && (selector & 3) > cpu.cpl) || code.dpl() != cpu.cpl) {
    return gp(cpu, error);
  }
  if (!code.present()) return raise(cpu, kNp, error);
  if (cpu.longMode() && code.l() && code.db()) return gp(cpu, error);
  cpl = cpu.cpl;
  return true;
}

struct Gate {
  uint16_t selector = 0;
  uint64_t offset = 0;
  unsigned parameters = 0;
  unsigned bytes = 0;  // of one stack item
  Descriptor code;
};

/** Reads a call gate and its code segment, with the checks that JMP and CALL share. */
bool openGate(Cpu& cpu, uint16_t selector, const Descriptor& descriptor, Gate& gate) {
  const uint32_t error = selector & ~3u;
  const unsigned type = descriptor.type();
  const bool isGate = type == kCallGate32 || (type == kCallGate16 && !cpu.longMode());
  if (!isGate) {
    if (cpu.longMode() || (type != 1 && type != 9 && type != 5)) return gp(cpu, error);
    return taskSwitch(cpu);
  }
  if (descriptor.dpl() < cpu.cpl || descriptor.dpl() < (selector & 3u)) return gp(cpu, error);
  if (!descriptor.present()) return raise(cpu, kNp, error);
  gate.selector = static_cast<uint16_t>(descriptor.raw >> 16);
  gate.offset = (descriptor.raw & 0xffff) | (type == kCallGate32 ? descriptor.raw >> 32 & 0xffff0000 : 0) |
                (cpu.longMode() ? descriptor.high << 32 : 0);
  gate.parameters = cpu.longMode() ? 0 : descriptor.raw >> 32 & 31;
  gate.bytes = cpu.longMode() ? 8 : type == kCallGate32 ? 4 : 2;
  if ((gate.selector & ~3) == 0) return gp(cpu);
  if (!readDescriptor(cpu, gate.selector, gate.code)) return false;
  const uint32_t target = gate.selector & ~3u;
  if (!gate.code.isCode() || gate.code.dpl() > cpu.cpl) return gp(cpu, target);
  if (cpu.longMode() && (!gate.code.l() || gate.code.db())) return gp(cpu, target);
  if (!gate.code.present()) return raise(cpu, kNp, target);
  return true;
}

/** The stack segment of an inner level, with the checks of #TS. In 64-bit mode it is null. */
bool innerStack(Cpu& cpu, unsigned level, uint16_t selector, vcpu::Segment& segment) {
  if (cpu.longMode()) {
    segment = {};
    segment.selector = static_cast<uint16_t>(level);
    segment.unusable = 1;
    segment.dpl = static_cast<uint8_t>(level);
    return true;
  }
  const uint32_t error = selector & ~3u;
  if (error == 0) return raise(cpu, kTs, 0);
  Descriptor descriptor;
  if (!readDescriptor(cpu, selector, descriptor, kTs)) return false;
  const bool writable = descriptor.s() && !descriptor.isCode() && (descriptor.type() & 2) != 0;
  if ((selector & 3u) != level || descriptor.dpl() != level || !writable) return raise(cpu, kTs, error);
  if (!descriptor.present()) return raise(cpu, kSsFault, error);
  if (!setAccessed(cpu, selector, descriptor)) return false;
  segment = segmentOf(selector, descriptor, false);
  return true;
}

}  // namespace

bool farJump(Cpu& cpu, uint16_t selector, uint64_t offset, unsigned operandBytes) {
  if (operandBytes == 2) offset &= 0xffff;
  if (realMode(cpu)) {
    if (offset > cpu.seg[CS].limit) return gp(cpu);
    loadRealSegment(cpu, CS, selector);
    cpu.rip() = offset;
    return true;
  }
  if ((selector & ~3) == 0) return gp(cpu);
  Descriptor descriptor;
  if (!readDescriptor(cpu, selector, descriptor)) return false;
  unsigned cpl;
  if (descriptor.s()) {
    if (!checkCode(cpu, selector, descriptor, false, cpl) || !checkTarget(cpu, descriptor, offset) ||
        !setAccessed(cpu, selector, descriptor)) {
      return false;
    }
    loadCode(cpu, selector, descriptor, cpl);
    cpu.rip() = offset;
    return true;
  }
  Gate gate;
  if (!openGate(cpu, selector, descriptor, gate)) return false;
  if (!checkCode(cpu, gate.selector, gate.code, true, cpl) || !checkTarget(cpu, gate.code, gate.offset) ||
      !setAccessed(cpu, gate.selector, gate.code)) {
    return false;
  }
  loadCode(cpu, gate.selector, gate.code, cpl);
  cpu.rip() = gate.offset;
  return true;
}

bool farCall(Cpu& cpu, uint16_t selector, uint64_t offset, unsigned operandBytes) {
  if (operandBytes == 2) offset &= 0xffff;
  Frame frame(cpu);
  const uint64_t oldCs = cpu.seg[CS].selector, oldRip = cpu.rip();
  if (realMode(cpu)) {
    if (offset > cpu.seg[CS].limit) return gp(cpu);
    if (!frame.push(oldCs, operandBytes) || !frame.push(oldRip, operandBytes)) return false;
    cpu.gpr[RSP] = frame.rsp();
    loadRealSegment(cpu, CS, selector);
    cpu.rip() = offset;
    return true;
  }
  if ((selector & ~3) == 0) return gp(cpu);
  Descriptor descriptor;
  if (!readDescriptor(cpu, selector, descriptor)) return false;
  unsigned cpl;
  if (descriptor.s()) {
    if (!checkCode(cpu, selector, descriptor, false, cpl) || !checkTarget(cpu, descriptor, offset) ||
        !frame.push(oldCs, operandBytes) || !frame.push(oldRip, operandBytes) ||
        !setAccessed(cpu, selector, descriptor)) {
      return false;
    }
    cpu.gpr[RSP] = frame.rsp();
    loadCode(cpu, selector, descriptor, cpl);
    cpu.rip() = offset;
    return true;
  }
  Gate gate;
  if (!openGate(cpu, selector, descriptor, gate)) return false;
  if (!checkTarget(cpu, gate.code, gate.offset)) return false;
  const bool inner = !gate.code.conforming() && gate.code.dpl() < cpu.cpl;
  if (!inner) {
    if (!frame.push(oldCs, gate.bytes) || !frame.push(oldRip, gate.bytes) ||
        !setAccessed(cpu, gate.selector, gate.code)) {
      return false;
    }
    cpu.gpr[RSP] = frame.rsp();
    loadCode(cpu, gate.selector, gate.code, cpu.cpl);
    cpu.rip() = gate.offset;
    return true;
  }
  const unsigned level = gate.code.dpl();
  uint16_t ss;
  uint64_t rsp;
  vcpu::Segment stack;
  if (!stackOfLevel(cpu, level, ss, rsp) || !innerStack(cpu, level, ss, stack)) return false;
  Frame inside(cpu, stack, rsp, cpu.longMode(), false);
  if (!inside.push(cpu.seg[SS].selector, gate.bytes) || !inside.push(cpu.gpr[RSP], gate.bytes)) return false;
  uint64_t parameters[32];
  Frame outside(cpu);
  for (unsigned i = 0; i < gate.parameters; i++) {
    if (!outside.pop(parameters[i], gate.bytes)) return false;
  }
  for (unsigned i = gate.parameters; i > 0; i--) {
    if (!inside.push(parameters[i - 1], gate.bytes)) return false;
  }
  if (!inside.push(oldCs, gate.bytes) || !inside.push(oldRip, gate.bytes) ||
      !setAccessed(cpu, gate.selector, gate.code)) {
    return false;
  }
  cpu.seg[SS] = stack;
  loadCode(cpu, gate.selector, gate.code, level);
  cpu.gpr[RSP] = inside.rsp();
  cpu.rip() = gate.offset;
  return true;
}

namespace {

/** Data segments that the outer level may not use become null. */
void dropInnerSegments(Cpu& cpu) {
  for (const unsigned seg : {ES, DS, FS, GS}) {
    vcpu::Segment& segment = cpu.seg[seg];
    const bool conformingCode = (segment.type & 0xc) == 0xc;
    if (segment.unusable == 0 && !conformingCode && segment.dpl < cpu.cpl) {
      segment = {};
      segment.unusable = 1;
    }
  }
}

/** What RET and IRET share: the code segment that is returned to. */
bool checkReturn(Cpu& cpu, uint16_t selector, uint64_t offset, Descriptor& code) {
  const uint32_t error = selector & ~3u;
  if (error == 0) return gp(cpu);
  if (!readDescriptor(cpu, selector, code)) return false;
  const unsigned rpl = selector & 3;
  if (!code.isCode() || rpl < cpu.cpl) return gp(cpu, error);
  if (code.conforming() ? code.dpl() > rpl : code.dpl() != rpl) return gp(cpu, error);
  if (!code.present()) return raise(cpu, kNp, error);
  if (cpu.longMode() && code.l() && code.db()) return gp(cpu, error);
  return checkTarget(cpu, code, offset);
}

/** The stack of an outer level; null is allowed when 64-bit code below ring 3 is returned to. */
bool checkOuterStack(Cpu& cpu, uint16_t selector, unsigned rpl, bool toLong, vcpu::Segment& segment) {
  const uint32_t error = selector & ~3u;
  if (error == 0) {
    if (!toLong || rpl == 3 || (selector & 3u) != rpl) return gp(cpu);
    segment = {};
    segment.selector = selector;
    segment.unusable = 1;
    segment.dpl = static_cast<uint8_t>(rpl);
    return true;
  }
  Descriptor descriptor;
  if (!readDescriptor(cpu, selector, descriptor)) return false;
  const bool writable = descriptor.s() && !descriptor.isCode() && (descriptor.type() & 2) != 0;
  if ((selector & 3u) != rpl || !writable || descriptor.dpl() != rpl) return gp(cpu, error);
  if (!descriptor.present()) return raise(cpu, kSsFault, error);
  if (!setAccessed(cpu, selector, descriptor)) return false;
  segment = segmentOf(selector, descriptor, false);
  return true;
}

}  // namespace

bool farReturn(Cpu& cpu, unsigned operandBytes, unsigned discard) {
  Frame frame(cpu);
  uint64_t rip, cs;
  if (!frame.pop(rip, operandBytes) || !frame.pop(cs, operandBytes)) return false;
  const auto selector = static_cast<uint16_t>(cs);
  frame.skip(discard);
  if (realMode(cpu)) {
    if (rip > cpu.seg[CS].limit) return gp(cpu);
    cpu.gpr[RSP] = frame.rsp();
    loadRealSegment(cpu, CS, selector);
    cpu.rip() = rip;
    return true;
  }
  Descriptor code;
  if (!checkReturn(cpu, selector, rip, code)) return false;
  const unsigned rpl = selector & 3;
  if (rpl == cpu.cpl) {
    if (!setAccessed(cpu, selector, code)) return false;
    cpu.gpr[RSP] = frame.rsp();
    loadCode(cpu, selector, code, rpl);
    cpu.rip() = rip;
    return true;
  }
  uint64_t rsp, ss;
  vcpu::Segment stack;
  if (!frame.pop(rsp, operandBytes) || !frame.pop(ss, operandBytes) ||
      !checkOuterStack(cpu, static_cast<uint16_t>(ss), rpl, cpu.longMode() && code.l(), stack) ||
      !setAccessed(cpu, selector, code)) {
    return false;
  }
  cpu.seg[SS] = stack;
  loadCode(cpu, selector, code, rpl);
  cpu.gpr[RSP] = (cpu.gpr[RSP] & ~cpu.stackMask) | ((rsp + discard) & cpu.stackMask);
  cpu.rip() = rip;
  dropInnerSegments(cpu);
  return true;
}

namespace {

/** The flags that IRET restores: IOPL only in ring 0, IF only where IOPL allows. */
void restoreFlags(Cpu& cpu, uint64_t value, unsigned operandBytes, unsigned oldCpl) {
  uint64_t mask = kArithmetic | kTf | kDf | kNt;
  if (operandBytes > 2) mask |= kRf | kAc | kId;
  if (oldCpl == 0) mask |= kIopl;
  if (oldCpl <= cpu.iopl()) mask |= kIf;
  setFlags(cpu, mask, value);
}

bool returnToV86(Cpu& cpu, Frame& frame, uint64_t rip, uint16_t cs, uint64_t eflags) {
  uint64_t values[6];  // ESP, SS, ES, DS, FS, GS
  for (uint64_t& value : values) {
    if (!frame.pop(value, 4)) return false;
  }
  setFlags(cpu, kArithmetic | kTf | kIf | kDf | kIopl | kNt | kRf | kVm | kAc | kVif | kVip | kId, eflags);
  const uint16_t selectors[] = {static_cast<uint16_t>(values[2]), cs,
                                static_cast<uint16_t>(values[1]), static_cast<uint16_t>(values[3]),
                                static_cast<uint16_t>(values[4]), static_cast<uint16_t>(values[5])};
  for (unsigned seg = ES; seg <= GS; seg++) loadRealSegment(cpu, seg, selectors[seg]);
  cpu.gpr[RSP] = values[0];
  cpu.rip() = rip & 0xffff;
  return true;
}

}  // namespace

bool interruptReturn(Cpu& cpu, unsigned operandBytes) {
  Frame frame(cpu);
  if (cpu.v86() && cpu.iopl() < 3) return gp(cpu);
  uint64_t rip, cs, newFlags;
  if (cpu.protectedMode() && !cpu.v86() && (cpu.rflags & kNt) != 0) {
    return cpu.longMode() ? gp(cpu) : taskSwitch(cpu);
  }
  if (!frame.pop(rip, operandBytes) || !frame.pop(cs, operandBytes) || !frame.pop(newFlags, operandBytes)) return false;
  const auto selector = static_cast<uint16_t>(cs);
  cpu.nmiMasked = false;
  if (realMode(cpu)) {
    if (rip > cpu.seg[CS].limit) return gp(cpu);
    const bool v86 = cpu.v86();
    cpu.gpr[RSP] = frame.rsp();
    loadRealSegment(cpu, CS, selector);
    cpu.rip() = rip;
    uint64_t mask = kArithmetic | kTf | kIf | kDf | kNt | (v86 ? 0 : kIopl);
    if (operandBytes > 2) mask |= kRf | kAc | kId;
    setFlags(cpu, mask, newFlags);
    return true;
  }
  if ((newFlags & kVm) != 0 && cpu.cpl == 0 && operandBytes == 4 && !cpu.longMode()) {
    return returnToV86(cpu, frame, rip, selector, newFlags);
  }
  Descriptor code;
  if (!checkReturn(cpu, selector, rip, code)) return false;
  const unsigned rpl = selector & 3;
  const unsigned oldCpl = cpu.cpl;
  // 64-bit mode pops SS:RSP whatever the privilege.
  if (rpl == cpu.cpl && !cpu.code64()) {
    if (!setAccessed(cpu, selector, code)) return false;
    cpu.gpr[RSP] = frame.rsp();
    loadCode(cpu, selector, code, rpl);
    cpu.rip() = rip;
    restoreFlags(cpu, newFlags, operandBytes, oldCpl);
    return true;
  }
  uint64_t rsp, ss;
  vcpu::Segment stack;
  if (!frame.pop(rsp, operandBytes) || !frame.pop(ss, operandBytes) ||
      !checkOuterStack(cpu, static_cast<uint16_t>(ss), rpl, cpu.longMode() && code.l(), stack) ||
      !setAccessed(cpu, selector, code)) {
    return false;
  }
  cpu.seg[SS] = stack;
  loadCode(cpu, selector, code, rpl);
  cpu.gpr[RSP] = (cpu.gpr[RSP] & ~cpu.stackMask) | (rsp & cpu.stackMask);
  cpu.rip() = rip;
  restoreFlags(cpu, newFlags, operandBytes, oldCpl);
  if (rpl > oldCpl) dropInnerSegments(cpu);
  return true;
}

// Interrupts and exceptions (SDM Vol. 3A, chapter 6)
// --------------------------------------------------------------------

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
  if (type == 5) return taskSwitch(cpu);
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

}  // namespace

bool deliver(Cpu& cpu, uint8_t vector, Source source, bool hasError, uint32_t error) {
  if (!cpu.protectedMode()) return deliverReal(cpu, vector);
  const uint32_t ext = source == Source::software ? 0 : 1;
  InterruptGate gate;
  if (!readGate(cpu, vector, source, ext, gate)) return false;
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
  return true;
}

namespace {

enum class Class { benign, contributory, pageFault };
Class classOf(uint8_t vector) {
  if (vector == kPfFault) return Class::pageFault;
  return vector == kDe || (vector >= kTs && vector <= kGp) ? Class::contributory : Class::benign;
}

}  // namespace

void deliverFault(Cpu& cpu) {
  Fault current = cpu.fault;
  for (;;) {
    cpu.fault.pending = false;
    // Faults return to their instruction with RF set, so that an instruction breakpoint does not hit again.
    const bool faultClass = current.vector != kDb && current.vector != kBp && current.vector != kOfTrap;
    const uint64_t before = flags(cpu);
    if (faultClass && cpu.protectedMode()) cpu.rflags |= kRf;
    if (deliver(cpu, current.vector, Source::exception, current.hasError && cpu.protectedMode(), current.error)) return;
    cpu.rflags = before;
    if (cpu.closing || cpu.unknown) return;
    const Fault second = cpu.fault;
    if (current.vector == kDf8) {
      cpu.fault.pending = false;
      cpu.shutdown = true;
      return;
    }
    const Class first = classOf(current.vector), next = classOf(second.vector);
    const bool doubles = (first == Class::contributory && next == Class::contributory) ||
                         (first == Class::pageFault && next != Class::benign);
    current = doubles ? Fault{true, kDf8, true, 0} : second;
  }
}

}  // namespace vtkit::emulator
