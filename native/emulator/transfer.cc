// Far control transfer: JMP and CALL between segments and privilege levels (SDM Vol. 3A, 5.8; Vol. 2A).
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
  if (!isGate || descriptor.upperType() != 0) return gp(cpu, error);
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

}  // namespace vtkit::emulator
