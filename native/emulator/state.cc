// State of an emulated processor in KVM's layouts.
#include "emulator/cpu-model.h"
#include "emulator/emulator.h"
#include "emulator/mmu.h"
#include "emulator/save-area.h"
#include "emulator/system.h"
#include "emulator/translation-cache.h"
#include "emulator/xsave.h"

namespace vtkit::emulator {

namespace {
// kvm_regs lists them so; the processor numbers them RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI.
constexpr unsigned kOrder[] = {RAX, RBX, RCX, RDX, RSI, RDI, RSP, RBP, 8, 9, 10, 11, 12, 13, 14, 15};
// RFLAGS bits that exist.
constexpr uint64_t kFlagBits = 0x3f7fd5;
}  // namespace

void Emulator::getRegs(vcpu::Regs& regs) {
  auto* out = reinterpret_cast<uint64_t*>(&regs);
  for (unsigned i = 0; i < 16; i++) out[i] = cpu_->gpr[kOrder[i]];
  regs.rip = cpu_->rip();
  regs.rflags = flags(*cpu_);
}

void Emulator::setRegs(const vcpu::Regs& regs) {
  const auto* in = reinterpret_cast<const uint64_t*>(&regs);
  for (unsigned i = 0; i < 16; i++) cpu_->gpr[kOrder[i]] = in[i];
  cpu_->rip() = regs.rip;
  cpu_->lazy.kind = LazyFlags::none;
  cpu_->rflags = (regs.rflags & kFlagBits) | 2;
  cpu_->shadow = false;
  updateMode(*cpu_);
}

void Emulator::getSregs(vcpu::Sregs& sregs) {
  const Cpu& cpu = *cpu_;
  sregs = {};
  sregs.cs = cpu.seg[CS];
  sregs.ds = cpu.seg[DS];
  sregs.es = cpu.seg[ES];
  sregs.fs = cpu.seg[FS];
  sregs.gs = cpu.seg[GS];
  sregs.ss = cpu.seg[SS];
  sregs.tr = cpu.seg[TR];
  sregs.ldt = cpu.seg[LDTR];
  sregs.gdt = cpu.gdt;
  sregs.idt = cpu.idt;
  sregs.cr0 = cpu.cr0;
  sregs.cr2 = cpu.cr2;
  sregs.cr3 = cpu.cr3;
  sregs.cr4 = cpu.cr4;
  sregs.cr8 = cpu.apic->cr8();
  sregs.efer = cpu.efer;
  sregs.apicBase = cpu.apic->base();
}

const char* Emulator::setSregs(const vcpu::Sregs& sregs) {
  constexpr uint64_t kCr0Bits = 0xe005003f, kEferBits = 0xd01;
  if ((sregs.cr0 & ~kCr0Bits) != 0) return "CR0 has bits that this processor does not have";
  if ((sregs.cr4 & ~cr4Bits(*cpu_)) != 0) return "CR4 has bits that this processor does not have";
  if ((sregs.efer & ~kEferBits) != 0) return "EFER has bits that this processor does not have";
  const bool paging = (sregs.cr0 & kCr0Pg) != 0;
  if (paging && (sregs.cr0 & kCr0Pe) == 0) return "CR0.PG needs CR0.PE";
  const bool lme = (sregs.efer & kEferLme) != 0, lma = (sregs.efer & kEferLma) != 0;
  if (lma != (lme && paging)) return "EFER.LMA must be EFER.LME and CR0.PG";
  if (lma && (sregs.cr4 & kCr4Pae) == 0) return "IA-32e mode needs CR4.PAE";
  if (lma && sregs.cs.l != 0 && sregs.cs.db != 0) return "CS has both L and D";
  if (sregs.cr8 > 15) return "CR8 is above 15";
  Cpu& cpu = *cpu_;
  cpu.seg[CS] = sregs.cs;
  cpu.seg[DS] = sregs.ds;
  cpu.seg[ES] = sregs.es;
  cpu.seg[FS] = sregs.fs;
  cpu.seg[GS] = sregs.gs;
  cpu.seg[SS] = sregs.ss;
  cpu.seg[TR] = sregs.tr;
  cpu.seg[LDTR] = sregs.ldt;
  cpu.gdt = sregs.gdt;
  cpu.idt = sregs.idt;
  cpu.cr0 = sregs.cr0 | kCr0Et;
  cpu.cr2 = sregs.cr2;
  cpu.cr3 = sregs.cr3;
  cpu.cr4 = sregs.cr4;
  cpu.apic->setCr8(static_cast<uint8_t>(sregs.cr8));
  cpu.efer = sregs.efer;
  cpu.apic->restoreBase(sregs.apicBase);
  cpu.cpl = sregs.ss.dpl & 3;
  if (usesPointers(cpu)) readPointers(cpu);
  if (cpu.kept != nullptr) cpu.kept->endAll();  // of a processor in another state nothing is left
  flushTlb(cpu);
  updateMode(cpu);
  return nullptr;
}

void Emulator::getFpu(vcpu::Fpu& fpu) {
  const Cpu& cpu = *cpu_;
  LegacyArea area = {};
  getX87(cpu.x87, area);
  fpu = {};
  std::memcpy(fpu.fpr, area.st, sizeof(fpu.fpr));
  fpu.fcw = area.control;
  fpu.fsw = area.status;
  fpu.ftwx = area.used;
  fpu.lastOpcode = area.opcode;
  fpu.lastIp = area.ip;
  fpu.lastDp = area.dp;
  for (unsigned i = 0; i < 16; i++) std::memcpy(fpu.xmm[i], cpu.vectors[i].u8, 16);
  fpu.mxcsr = cpu.mxcsr;
}

void Emulator::setFpu(const vcpu::Fpu& fpu) {
  Cpu& cpu = *cpu_;
  LegacyArea area = {};
  std::memcpy(area.st, fpu.fpr, sizeof(area.st));
  area.control = fpu.fcw;
  area.status = fpu.fsw;
  area.used = fpu.ftwx;
  area.opcode = fpu.lastOpcode;
  area.ip = fpu.lastIp;
  area.dp = fpu.lastDp;
  setX87(cpu.x87, area);
  for (unsigned i = 0; i < 16; i++) std::memcpy(cpu.vectors[i].u8, fpu.xmm[i], 16);
  cpu.mxcsr = fpu.mxcsr & kMxcsrKnown;
}

namespace {

struct XsaveArea {
  LegacyArea legacy;
  uint64_t components, compacted, reserved[6];
  uint8_t upper[16][16];
};
static_assert(offsetof(XsaveArea, upper) == kAvxAt && sizeof(XsaveArea) == kXsaveBytes);

}  // namespace

void Emulator::getXsave(uint8_t* to, unsigned bytes) {
  const Cpu& cpu = *cpu_;
  XsaveArea area = {};
  getX87(cpu.x87, area.legacy);
  area.legacy.mxcsr = cpu.mxcsr;
  area.legacy.mxcsrMask = kMxcsrKnown;
  area.components = kXcr0X87 | kXcr0Sse | kXcr0Avx;
  for (unsigned i = 0; i < 16; i++) {
    std::memcpy(area.legacy.xmm[i], cpu.vectors[i].u8, 16);
    std::memcpy(area.upper[i], cpu.vectors[i].u8 + 16, 16);
  }
  std::memset(to, 0, bytes);
  std::memcpy(to, &area, sizeof(area));
}

const char* Emulator::setXsave(const uint8_t* from) {
  Cpu& cpu = *cpu_;
  XsaveArea area;
  std::memcpy(&area, from, sizeof(area));
  if ((area.components & ~(kXcr0X87 | kXcr0Sse | kXcr0Avx)) != 0)
    return "XSTATE_BV has components that this processor does not have";
  if (area.compacted != 0) return "the XSAVE area is in the compacted form";
  if ((area.legacy.mxcsr & ~kMxcsrKnown) != 0) return "MXCSR has bits that this processor does not have";
  if ((area.components & kXcr0X87) != 0) {
    setX87(cpu.x87, area.legacy);
  } else {
    cpu.x87 = {};
    resetX87(cpu.x87);
  }
  if ((area.components & kXcr0Sse) == 0) std::memset(area.legacy.xmm, 0, sizeof(area.legacy.xmm));
  if ((area.components & kXcr0Avx) == 0) std::memset(area.upper, 0, sizeof(area.upper));
  cpu.mxcsr = area.legacy.mxcsr;
  for (unsigned i = 0; i < 16; i++) {
    std::memcpy(cpu.vectors[i].u8, area.legacy.xmm[i], 16);
    std::memcpy(cpu.vectors[i].u8 + 16, area.upper[i], 16);
  }
  return nullptr;
}

const char* Emulator::setXcr0(uint64_t value) {
  if (!mayBeXcr0(*cpu_, value)) return "XCR0 has bits that this processor does not have";
  cpu_->xcr0 = value;
  updateUsable(*cpu_);
  return nullptr;
}

void Emulator::setCpuid(std::vector<CpuidRow> rows) {
  cpuid_ = std::move(rows);
  // What there is decides what bytes mean.
  cpu_->features = announced(cpuid_);
  cpu_->addressable = physicalMask(cpuid_);
  blocks_.clear(*cpu_);
}

void Emulator::getEvents(vcpu::Events& events) {
  events = {};
  events.interrupt.shadow = cpu_->shadow ? 2 : 0;
  events.nmi.masked = cpu_->nmiMasked;
  events.nmi.pending = cpu_->nmis.load() != 0;
}

void Emulator::setEvents(const vcpu::Events& events) {
  cpu_->shadow = events.interrupt.shadow != 0;
  cpu_->nmiMasked = events.nmi.masked != 0;
  cpu_->nmis = 0;
  if (events.nmi.pending != 0) nonMaskable();
}

}  // namespace vtkit::emulator
