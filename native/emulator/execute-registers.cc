// Control, debug and model-specific registers, the time stamp counter, CPUID (SDM Vol. 3A, 2.8; Vol. 2).
#include "emulator/breakpoints.h"
#include "emulator/cpu-model.h"
#include "emulator/execute-system.h"
#include "emulator/families.h"
#include "emulator/msrs.h"
#include "emulator/system.h"
#include "emulator/vmx/controls.h"
#include "emulator/vmx/virtual-apic.h"

namespace vtkit::emulator {

namespace {

bool clts(Cpu& cpu, const MicroOp&) {
  if (!privileged(cpu)) return false;
  if (cpu.guest && (vmx::field(cpu, vmx::Field::cr0GuestHostMask) & kCr0Ts) != 0) return true;
  cpu.cr0 &= ~kCr0Ts;
  updateUsable(cpu);
  return true;
}

bool cacheOperation(Cpu& cpu, const MicroOp&) { return privileged(cpu); }

/** Moves of control registers serialise; a task priority in a shadow is but memory. */
void serialize(Cpu& cpu, const MicroOp& op) {
  if (op.regIndex != 8 || !vmx::shadowsTpr(cpu)) spend(cpu, kSerialTicks);
}

bool movFromCr(Cpu& cpu, const MicroOp& op) {
  uint64_t value;
  switch (op.regIndex) {
    case 0:
      value = cpu.guest ? vmx::guestCr0(cpu) : cpu.cr0;
      break;
    case 2:
      value = cpu.cr2;
      break;
    case 3:
      value = cpu.cr3;
      break;
    case 4:
      value = cpu.guest ? vmx::guestCr4(cpu) : cpu.cr4;
      break;
    case 8:
      value = vmx::shadowsTpr(cpu) ? vmx::readShadow(cpu) : cpu.apic->cr8();
      break;
    default:
      return raise(cpu, kUd);
  }
  if (!privileged(cpu)) return false;
  serialize(cpu, op);
  cpu.gpr[op.rmIndex] = cpu.code64() ? value : value & 0xffffffff;
  return true;
}

bool movToCr(Cpu& cpu, const MicroOp& op) {
  const uint64_t value = cpu.code64() ? cpu.gpr[op.rmIndex] : cpu.gpr[op.rmIndex] & 0xffffffff;
  if (op.regIndex != 0 && op.regIndex != 2 && op.regIndex != 3 && op.regIndex != 4 && op.regIndex != 8)
    return raise(cpu, kUd);
  if (!privileged(cpu)) return false;
  serialize(cpu, op);
  switch (op.regIndex) {
    case 0:
      return setCr0(cpu, cpu.guest ? vmx::keepMasked(cpu, value, cpu.cr0, vmx::Field::cr0GuestHostMask) : value);
    case 2:
      cpu.cr2 = value;
      return true;
    case 3:
      return setCr3(cpu, value);
    case 4:
      return setCr4(cpu, cpu.guest ? vmx::keepMasked(cpu, value, cpu.cr4, vmx::Field::cr4GuestHostMask) : value);
    default:
      if (value > 15) return gp(cpu);
      if (vmx::shadowsTpr(cpu)) {
        vmx::writeShadow(cpu, value);
        return true;
      }
      cpu.apic->setCr8(static_cast<uint8_t>(value));
      return true;
  }
}

/** DR4 and DR5 are DR6 and DR7 unless CR4.DE forbids it. */
bool debugIndex(Cpu& cpu, const MicroOp& op, unsigned& index) {
  index = op.regIndex;
  if (index > 7 || ((index == 4 || index == 5) && (cpu.cr4 & kCr4De) != 0)) return raise(cpu, kUd);
  if (index == 4 || index == 5) index += 2;
  if (!privileged(cpu)) return false;
  spend(cpu, kSerialTicks);
  if ((cpu.dr7 & kDr7Detect) == 0) return true;
  cpu.dr7 &= ~kDr7Detect;
  return raiseDebug(cpu, kDr6Access);
}

bool movFromDr(Cpu& cpu, const MicroOp& op) {
  unsigned index;
  if (!debugIndex(cpu, op, index)) return false;
  const uint64_t value = index < 4 ? cpu.dr[index] : index == 6 ? cpu.dr6 : cpu.dr7;
  cpu.gpr[op.rmIndex] = cpu.code64() ? value : value & 0xffffffff;
  return true;
}

bool movToDr(Cpu& cpu, const MicroOp& op) {
  unsigned index;
  if (!debugIndex(cpu, op, index)) return false;
  const uint64_t value = cpu.code64() ? cpu.gpr[op.rmIndex] : cpu.gpr[op.rmIndex] & 0xffffffff;
  if (index < 4) {
    cpu.dr[index] = value;
    return true;
  }
  if (value >> 32 != 0) return gp(cpu);
  if (index == 6) {
    cpu.dr6 = (value & 0xe00f) | 0xffff0ff0;
  } else if (const uint64_t dr7 = (value & 0xffff23ff) | 0x400; dr7 != cpu.dr7) {
    cpu.dr7 = dr7;
    updateBreakpoints(cpu);
  }
  return true;
}

bool rdmsr(Cpu& cpu, const MicroOp&) {
  if (!privileged(cpu)) return false;
  spend(cpu, kSerialTicks);
  uint64_t value;
  if (!readMsr(cpu, static_cast<uint32_t>(cpu.gpr[RCX]), value)) return gp(cpu);
  writeGpr<uint32_t>(cpu, RAX, static_cast<uint32_t>(value));
  writeGpr<uint32_t>(cpu, RDX, static_cast<uint32_t>(value >> 32));
  return true;
}

bool wrmsr(Cpu& cpu, const MicroOp&) {
  if (!privileged(cpu)) return false;
  spend(cpu, kSerialTicks);
  const uint64_t value = (cpu.gpr[RDX] & 0xffffffff) << 32 | (cpu.gpr[RAX] & 0xffffffff);
  return writeMsr(cpu, static_cast<uint32_t>(cpu.gpr[RCX]), value) ? true : gp(cpu);
}

bool readTsc(Cpu& cpu) {
  if ((cpu.cr4 & kCr4Tsd) != 0 && cpu.cpl != 0) return gp(cpu);
  const uint64_t own = ticksOf(cpu) + cpu.tscOffset, tsc = cpu.guest ? vmx::guestTsc(cpu, own) : own;
  writeGpr<uint32_t>(cpu, RAX, static_cast<uint32_t>(tsc));
  writeGpr<uint32_t>(cpu, RDX, static_cast<uint32_t>(tsc >> 32));
  return true;
}

}  // namespace

bool readTscAndAux(Cpu& cpu) {
  if (!readTsc(cpu)) return false;
  writeGpr<uint32_t>(cpu, RCX, static_cast<uint32_t>(cpu.tscAux));
  return true;
}

namespace {

bool rdtsc(Cpu& cpu, const MicroOp&) { return readTsc(cpu); }
/** None are announced, but a processor of this family has two (Vol. 3B, 20.6.8): they count nothing. */
bool rdpmc(Cpu& cpu, const MicroOp&) {
  constexpr uint32_t kCounters = 2;
  if (cpu.cpl != 0 && (cpu.cr4 & kCr4Pce) == 0) return gp(cpu);
  if ((cpu.gpr[RCX] & 0xffffffff) >= kCounters) return gp(cpu);
  writeGpr<uint32_t>(cpu, RAX, 0);
  writeGpr<uint32_t>(cpu, RDX, 0);
  return true;
}

bool cpuid(Cpu& cpu, const MicroOp&) {
  spend(cpu, kSerialTicks);
  const auto leaf = static_cast<uint32_t>(cpu.gpr[RAX]), subleaf = static_cast<uint32_t>(cpu.gpr[RCX]);
  const CpuidRow row = executeCpuid(cpu, leaf, subleaf);
  writeGpr<uint32_t>(cpu, RAX, row.eax);
  writeGpr<uint32_t>(cpu, RBX, row.ebx);
  writeGpr<uint32_t>(cpu, RCX, row.ecx);
  writeGpr<uint32_t>(cpu, RDX, row.edx);
  return true;
}

}  // namespace

const Handlers kClts = kPlain<clts>, kInvd = kPlain<cacheOperation>, kMovFromCr = kPlain<movFromCr>,
               kMovToCr = kPlain<movToCr>, kMovFromDr = kPlain<movFromDr>, kMovToDr = kPlain<movToDr>,
               kRdmsr = kPlain<rdmsr>, kWrmsr = kPlain<wrmsr>, kRdtsc = kPlain<rdtsc>, kRdpmc = kPlain<rdpmc>,
               kCpuid = kPlain<cpuid>;

}  // namespace vtkit::emulator
