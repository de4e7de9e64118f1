// Far control transfer: JMP, CALL, RET and IRET between segments and privilege levels (SDM Vol. 3A, 5.8; Vol. 2A).
#include "emulator/transfer.h"
#include "emulator/frame.h"
#include "emulator/system.h"
#include "emulator/task.h"

namespace vtkit::emulator {

bool checkTarget(Cpu& cpu, const Descriptor& code, uint64_t offset) {
  if (cpu.longMode() && code.l()) return canonical(cpu, offset) ? true : gp(cpu);
  return offset <= code.limit() ? true : gp(cpu);
}

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

namespace {

enum SystemType : unsigned { kCallGate16 = 4, kCallGate32 = 12 };

bool realMode(const Cpu& cpu) { return !cpu.protectedMode() || cpu.v86(); }

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

/** A jump or call to a TSS or a task gate switches tasks. */
bool isTask(const Cpu& cpu, const Descriptor& descriptor) {
  const unsigned type = descriptor.type();
  return !cpu.longMode() && !descriptor.s() && (type == 1 || type == 3 || type == 9 || type == 11 || type == 5);
}

bool farTask(Cpu& cpu, uint16_t selector, const Descriptor& descriptor, TaskSource source) {
  const uint32_t error = selector & ~3u;
  if (descriptor.dpl() < cpu.cpl || descriptor.dpl() < (selector & 3u)) return gp(cpu, error);
  if (descriptor.type() != 5) return switchTask(cpu, selector, source);
  return descriptor.present() ? switchThroughGate(cpu, descriptor, source) : raise(cpu, kNp, error);
}

/** Reads a call gate and its code segment, with the checks that JMP and CALL share. */
bool openGate(Cpu& cpu, uint16_t selector, const Descriptor& descriptor, Gate& gate) {
  const uint32_t error = selector & ~3u;
  const unsigned type = descriptor.type();
  const bool isGate = type == kCallGate32 || (type == kCallGate16 && !cpu.longMode());
  if (!isGate) {
    return gp(cpu, error);
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
  if (isTask(cpu, descriptor)) return farTask(cpu, selector, descriptor, TaskSource::jump);
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
  if (isTask(cpu, descriptor)) return farTask(cpu, selector, descriptor, TaskSource::call);
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

namespace {

/**
 * The second half of RET and IRET: checks the code segment, and leaves for it. An outer level has its stack behind the
 * return address; with `popsStack` so has the same level. `discard` bytes of parameters go from both stacks.
 */
bool returnTo(Cpu& cpu, Frame& frame, uint16_t selector, uint64_t rip, unsigned operandBytes, unsigned discard,
              bool popsStack) {
  Descriptor code;
  if (!checkReturn(cpu, selector, rip, code)) return false;
  const unsigned rpl = selector & 3;
  const unsigned oldCpl = cpu.cpl;
  if (rpl == oldCpl && !popsStack) {
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
  if (rpl > oldCpl) dropInnerSegments(cpu);
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
  return returnTo(cpu, frame, selector, rip, operandBytes, discard, false);
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
  cpu.nmiMasked = false;  // even if it faults (SDM Vol. 3A, 6.7.1)
  uint64_t rip, cs, newFlags;
  if (cpu.protectedMode() && !cpu.v86() && (cpu.rflags & kNt) != 0) {
    if (cpu.longMode()) return gp(cpu);
    uint16_t link;
    if (!loadSystem<uint16_t>(cpu, cpu.seg[TR].base, link)) return false;
    return switchTask(cpu, link, TaskSource::iret);
  }
  if (!frame.pop(rip, operandBytes) || !frame.pop(cs, operandBytes) || !frame.pop(newFlags, operandBytes)) return false;
  const auto selector = static_cast<uint16_t>(cs);
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
  // 64-bit mode pops SS:RSP whatever the privilege.
  const unsigned oldCpl = cpu.cpl;
  if (!returnTo(cpu, frame, selector, rip, operandBytes, 0, cpu.code64())) return false;
  restoreFlags(cpu, newFlags, operandBytes, oldCpl);
  return true;
}

}  // namespace vtkit::emulator
