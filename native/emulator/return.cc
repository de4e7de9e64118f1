// Far RET and IRET: to the same level, an outer one, another task, virtual-8086 mode (SDM Vol. 3A, 5.8.6; Vol. 2).
#include "emulator/frame.h"
#include "emulator/task.h"
#include "emulator/transfer.h"
#include "emulator/virtual-flag.h"
#include "emulator/vmx/controls.h"

namespace vtkit::emulator {

namespace {

/** Data segments that the outer level may not use become null; in 64-bit mode their bases go on to count. */
void dropInnerSegments(Cpu& cpu, unsigned cpl) {
  for (const unsigned seg : {ES, DS, FS, GS}) {
    vcpu::Segment& segment = cpu.seg[seg];
    const bool conformingCode = (segment.type & 0xc) == 0xc;
    if (segment.unusable == 0 && !conformingCode && segment.dpl < cpl) {
      const uint64_t base = segment.base;
      segment = {};
      segment.base = base;
      segment.unusable = 1;
    }
  }
}

/** What RET and IRET share: the code segment that is returned to. */
bool checkReturn(Cpu& cpu, uint16_t selector, Descriptor& code) {
  const uint32_t error = selector & ~3u;
  if (error == 0) return gp(cpu);
  if (!readDescriptor(cpu, selector, code)) return false;
  const unsigned rpl = selector & 3;
  if (!code.isCode() || rpl < cpu.cpl) return gp(cpu, error);
  if (code.conforming() ? code.dpl() > rpl : code.dpl() != rpl) return gp(cpu, error);
  if (!code.present()) return raise(cpu, kNp, error);
  return cpu.longMode() && code.l() && code.db() ? gp(cpu, error) : true;
}

/** The stack of an outer level; null is allowed when 64-bit code below ring 3 is returned to. */
bool checkOuterStack(Cpu& cpu, uint16_t selector, unsigned rpl, bool toLong, Descriptor& descriptor) {
  const uint32_t error = selector & ~3u;
  if (error == 0) return toLong && rpl != 3 && (selector & 3u) == rpl ? true : gp(cpu);
  if (!readDescriptor(cpu, selector, descriptor)) return false;
  const bool writable = descriptor.s() && !descriptor.isCode() && (descriptor.type() & 2) != 0;
  if ((selector & 3u) != rpl || !writable || descriptor.dpl() != rpl) return gp(cpu, error);
  return descriptor.present() ? true : raise(cpu, kSsFault, error);
}

bool openOuterStack(Cpu& cpu, uint16_t selector, unsigned rpl, Descriptor& descriptor, vcpu::Segment& segment) {
  segment = {};
  segment.selector = selector;
  segment.unusable = 1;
  segment.dpl = static_cast<uint8_t>(rpl);
  if ((selector & ~3u) == 0) return true;
  if (!setAccessed(cpu, selector, descriptor)) return false;
  segment = segmentOf(selector, descriptor, false);
  return true;
}

/**
 * The second half of RET and IRET: checks the code segment, and leaves for it. An outer level has its stack behind the
 * return address; with `popsStack` so has the same level. `discard` bytes of parameters go from both stacks.
 */
bool returnTo(Cpu& cpu, Frame& frame, uint16_t selector, uint64_t rip, unsigned operandBytes, unsigned discard,
              bool popsStack) {
  Descriptor code;
  if (!checkReturn(cpu, selector, code)) return false;
  const unsigned rpl = selector & 3;
  const unsigned oldCpl = cpu.cpl;
  if (rpl == oldCpl && !popsStack) {
    if (!checkTarget(cpu, code, rip) || !setAccessed(cpu, selector, code)) return false;
    cpu.gpr[RSP] = frame.rsp();
    loadCode(cpu, selector, code, rpl);
    cpu.rip() = rip;
    return true;
  }
  uint64_t rsp, ss;
  if (!frame.pop(rsp, operandBytes) || !frame.pop(ss, operandBytes)) return false;
  const auto stackSelector = static_cast<uint16_t>(ss);
  Descriptor descriptor;
  vcpu::Segment stack;
  // The stack comes before the instruction pointer (Vol. 2B, RET).
  if (!checkOuterStack(cpu, stackSelector, rpl, cpu.longMode() && code.l(), descriptor) ||
      !checkTarget(cpu, code, rip) || !openOuterStack(cpu, stackSelector, rpl, descriptor, stack) ||
      !setAccessed(cpu, selector, code)) {
    return false;
  }
  cpu.seg[SS] = stack;
  if (rpl > oldCpl) dropInnerSegments(cpu, rpl);
  loadCode(cpu, selector, code, rpl);
  cpu.gpr[RSP] = (cpu.gpr[RSP] & ~cpu.stackMask) | ((rsp + discard) & cpu.stackMask);
  cpu.rip() = rip;
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
  if (oldCpl == 0) mask |= kIopl | (operandBytes > 2 ? kVif | kVip : 0);
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

/** In VMX non-root operation, controls say which NMIs IRET lets in (SDM Vol. 3C, 26.3). */
void unmaskNmi(Cpu& cpu) {
  if (!cpu.guest || !vmx::pinBased(cpu, vmx::pin::kNmiExiting)) {
    cpu.vmx.unblockedNmi = cpu.nmiMasked;
    cpu.nmiMasked = false;
  } else if (vmx::pinBased(cpu, vmx::pin::kVirtualNmis)) {
    cpu.vmx.unblockedNmi = cpu.vmx.virtualNmiMasked;
    cpu.vmx.virtualNmiMasked = false;
  }
}

}  // namespace

bool interruptReturn(Cpu& cpu, unsigned operandBytes) {
  Frame frame(cpu);
  const bool virtually = imagesVirtualFlag(cpu, operandBytes);
  if (cpu.v86() && cpu.iopl() < 3 && !virtually) return gp(cpu);
  unmaskNmi(cpu);  // even if it faults (SDM Vol. 3A, 6.7.1)
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
    if (virtually && !loadVirtualImage(cpu, newFlags)) return false;
    cpu.gpr[RSP] = frame.rsp();
    loadRealSegment(cpu, CS, selector);
    cpu.rip() = rip;
    if (virtually) return true;
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
