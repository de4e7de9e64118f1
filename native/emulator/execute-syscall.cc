// Fast system calls: SYSCALL, SYSRET, SYSENTER, SYSEXIT (SDM Vol. 3A, 5.8.7 and 5.8.8).
#include "emulator/cpu-model.h"
#include "emulator/execute-system.h"
#include "emulator/families.h"
#include "emulator/system.h"

namespace vtkit::emulator {

namespace {

/** The flat segments that SYSCALL and SYSENTER load without looking at any descriptor. */
vcpu::Segment flatSegment(uint16_t selector, bool code, unsigned dpl, bool wide) {
  vcpu::Segment segment = {};
  segment.limit = 0xffffffff;
  segment.selector = selector;
  segment.type = code ? 0xb : 3;
  segment.present = segment.s = segment.g = 1;
  segment.dpl = static_cast<uint8_t>(dpl);
  segment.l = code && wide;
  segment.db = !(code && wide);
  return segment;
}

void enterFlat(Cpu& cpu, uint16_t cs, uint16_t ss, unsigned cpl, bool wide) {
  cpu.seg[CS] = flatSegment(static_cast<uint16_t>((cs & ~3) | cpl), true, cpl, wide);
  cpu.seg[SS] = flatSegment(static_cast<uint16_t>((ss & ~3) | cpl), false, cpl, wide);
  cpu.cpl = static_cast<uint8_t>(cpl);
  updateMode(cpu);
}

/** AMD64 has SYSCALL and SYSRET in compatibility mode too, Intel 64 only in 64-bit mode. */
bool mayCallFast(const Cpu& cpu) {
  if ((cpu.efer & kEferSce) == 0) return false;
  return cpu.code64() || (cpu.longMode() && isAmd(cpu));
}

bool syscall(Cpu& cpu, const MicroOp&) {
  if (!mayCallFast(cpu)) return raise(cpu, kUd);
  cpu.gpr[RCX] = cpu.rip();
  cpu.gpr[11] = flags(cpu) & ~kRf;
  const auto selector = static_cast<uint16_t>(cpu.star >> 32);
  cpu.rip() = cpu.code64() ? cpu.lstar : cpu.cstar;
  cpu.rflags &= ~(cpu.sfmask | kRf);
  cpu.rflags |= 2;
  enterFlat(cpu, selector & 0xfffc, static_cast<uint16_t>((selector & 0xfffc) + 8), 0, true);
  cpu.stepTaken = (cpu.rflags & kTf) == 0;  // TF traps behind it only if the mask left it
  return true;
}

bool sysret(Cpu& cpu, const MicroOp& op) {
  if (!mayCallFast(cpu)) return raise(cpu, kUd);
  if (!privileged(cpu)) return false;
  const bool wide = op.operandBytes == 8;
  if (wide && !canonical(cpu, cpu.gpr[RCX])) return gp(cpu);
  const auto selector = static_cast<uint16_t>(cpu.star >> 48);
  cpu.rip() = wide ? cpu.gpr[RCX] : cpu.gpr[RCX] & 0xffffffff;
  flags(cpu);
  cpu.rflags = (cpu.gpr[11] & 0x3c7fd7) | 2;
  enterFlat(cpu, static_cast<uint16_t>(selector + (wide ? 16 : 0)), static_cast<uint16_t>(selector + 8), 3, wide);
  cpu.stepNow = (cpu.rflags & kTf) != 0;  // unlike IRET, it traps at once
  return true;
}

bool sysenter(Cpu& cpu, const MicroOp&) {
  if (!cpu.protectedMode() || (cpu.sysenterCs & 0xfffc) == 0) return gp(cpu);
  const bool wide = cpu.longMode();
  flags(cpu);
  cpu.rflags &= ~(kVm | kIf | kRf);
  const auto selector = static_cast<uint16_t>(cpu.sysenterCs & 0xfffc);
  enterFlat(cpu, selector, static_cast<uint16_t>(selector + 8), 0, wide);
  cpu.gpr[RSP] = wide ? cpu.sysenterEsp : cpu.sysenterEsp & 0xffffffff;
  cpu.rip() = wide ? cpu.sysenterEip : cpu.sysenterEip & 0xffffffff;
  return true;
}

bool sysexit(Cpu& cpu, const MicroOp& op) {
  if (!cpu.protectedMode() || cpu.cpl != 0 || (cpu.sysenterCs & 0xfffc) == 0) return gp(cpu);
  const bool wide = op.operandBytes == 8;
  if (wide && (!canonical(cpu, cpu.gpr[RCX]) || !canonical(cpu, cpu.gpr[RDX]))) return gp(cpu);
  const uint64_t mask = wide ? ~uint64_t{0} : 0xffffffff;
  const auto selector = static_cast<uint16_t>((cpu.sysenterCs & 0xfffc) + (wide ? 32 : 16));
  cpu.gpr[RSP] = cpu.gpr[RCX] & mask;
  cpu.rip() = cpu.gpr[RDX] & mask;
  enterFlat(cpu, selector, static_cast<uint16_t>(selector + 8), 3, wide);
  return true;
}

}  // namespace

const Handlers kSyscall = kPlainEnding<syscall>, kSysret = kPlainEnding<sysret>, kSysenter = kPlainEnding<sysenter>,
               kSysexit = kPlainEnding<sysexit>;

}  // namespace vtkit::emulator
