// VIF and VIP, and software interrupts that stay in virtual-8086 mode.
#include "emulator/virtual-flag.h"

#include "emulator/frame.h"
#include "emulator/system.h"
#include "emulator/transfer.h"

namespace vtkit::emulator {

bool movesVirtualFlag(const Cpu& cpu) {
  if (cpu.iopl() == 3 || !cpu.protectedMode()) return false;
  return cpu.v86() ? (cpu.cr4 & kCr4Vme) != 0 : cpu.cpl == 3 && (cpu.cr4 & kCr4Pvi) != 0;
}

bool imagesVirtualFlag(const Cpu& cpu, unsigned operandBytes) {
  return cpu.v86() && operandBytes == 2 && movesVirtualFlag(cpu);
}

bool setVirtualFlag(Cpu& cpu, bool on) {
  if (on && (cpu.rflags & kVip) != 0) return gp(cpu);
  setFlags(cpu, kVif, on ? kVif : 0);
  return true;
}

uint64_t virtualImage(Cpu& cpu) {
  const uint64_t value = flags(cpu) | kIopl;
  return (value & kVif) != 0 ? value | kIf : value & ~kIf;
}

bool loadVirtualImage(Cpu& cpu, uint64_t image) {
  const bool enables = (image & kIf) != 0;
  if ((image & kTf) != 0 || (enables && (cpu.rflags & kVip) != 0)) return gp(cpu);
  setFlags(cpu, kArithmetic | kDf | kNt | kVif, (image & ~kVif) | (enables ? kVif : 0));
  return true;
}

Redirection redirectionOf(Cpu& cpu, uint8_t vector) {
  if ((cpu.cr4 & kCr4Vme) == 0) return Redirection::none;
  constexpr uint32_t kMapAt = 102, kBitmapBytes = 32;
  const vcpu::Segment& tr = cpu.seg[TR];
  uint16_t map;
  uint8_t bits;
  if (tr.limit < kMapAt + 1) return gp(cpu), Redirection::refused;
  if (!loadSystem<uint16_t>(cpu, tr.base + kMapAt, map)) return Redirection::refused;
  const uint32_t at = map - kBitmapBytes + vector / 8u;
  if (at > tr.limit) return gp(cpu), Redirection::refused;
  if (!loadSystem<uint8_t>(cpu, tr.base + at, bits)) return Redirection::refused;
  return (bits >> (vector & 7) & 1) != 0 ? Redirection::none : Redirection::table;
}

bool deliverThroughTable(Cpu& cpu, uint8_t vector) {
  const bool virtually = cpu.iopl() < 3;
  uint16_t rip, cs;
  if (!readLinear<uint16_t>(cpu, vector * 4u, rip, true) || !readLinear<uint16_t>(cpu, vector * 4u + 2, cs, true)) {
    return false;
  }
  Frame frame(cpu);
  const uint64_t image = virtually ? virtualImage(cpu) : flags(cpu);
  if (!frame.push(image, 2) || !frame.push(cpu.seg[CS].selector, 2) || !frame.push(cpu.rip(), 2)) return false;
  cpu.gpr[RSP] = frame.rsp();
  loadRealSegment(cpu, CS, cs);
  cpu.rip() = rip;
  cpu.rflags &= ~(kTf | kRf | (virtually ? kVif : kIf));
  return true;
}

}  // namespace vtkit::emulator
