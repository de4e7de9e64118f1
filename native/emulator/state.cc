// State of an emulated processor in KVM's layouts.
#include "emulator/emulator.h"
#include "emulator/mmu.h"
#include "emulator/system.h"

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
  flushTlb(cpu);
  updateMode(cpu);
  return nullptr;
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
