// How a processor starts: RESET, INIT and startup messages (SDM Vol. 3A, 10.1 and 9.4).
#include <algorithm>

#include "emulator/breakpoints.h"
#include "emulator/cpu-model.h"
#include "emulator/emulator.h"
#include "emulator/mmu.h"
#include "emulator/msrs.h"
#include "emulator/save-area.h"
#include "emulator/vmx/transitions.h"

namespace vtkit::emulator {

namespace {

// Cpu::initSignals: what came since the last look.
constexpr uint32_t kInitSignal = 1, kStartupSignal = 2, kStartupVectorShift = 8;

constexpr uint32_t kSignature = 0x306c3;  // family 6, model 3CH, stepping 3

}  // namespace

Emulator::Emulator(memory::GuestMemory& memory, Platform& platform, uint32_t id, std::vector<Cpu*>* all)
    : cpu_(new Cpu()), apic_(*this, id), all_(all != nullptr ? all : &alone_), cpuid_(defaultCpuid()) {
  cpu_->memory = &memory;
  cpu_->platform = &platform;
  cpu_->blocks = &blocks_;
  cpu_->apic = &apic_;
  cpu_->all = all_;
  cpu_->cpuid = &cpuid_;
  all_->push_back(cpu_.get());
  for (uint64_t& word : cpu_->filled) word = ~uint64_t{0};  // the first flush clears every entry
  resetMsrs(*cpu_);
  // INIT changes none of these either. Control words are as every hypervisor starts, though RESET masks no exception.
  resetX87(cpu_->x87);
  cpu_->mxcsr = kMxcsrReset;
  cpu_->xcr0 = kXcr0X87;
  cpu_->features = announced(cpuid_);
  cpu_->addressable = physicalMask(cpuid_);
  seedRandom(id);
  reset();
}

Emulator::~Emulator() { all_->erase(std::find(all_->begin(), all_->end(), cpu_.get())); }

/** What RESET and INIT have in common (SDM Vol. 3A, table 10-1). */
void Emulator::reset() {
  Cpu& cpu = *cpu_;
  for (uint64_t& value : cpu.gpr) value = 0;
  cpu.lazy.kind = LazyFlags::none;
  cpu.rflags = 2;
  cpu.rip() = 0xfff0;
  cpu.gpr[RDX] = kSignature;
  for (unsigned seg = ES; seg <= GS; seg++) {
    cpu.seg[seg] = {};
    cpu.seg[seg].limit = 0xffff;
    cpu.seg[seg].present = cpu.seg[seg].s = 1;
    cpu.seg[seg].type = 3;
  }
  cpu.seg[CS].selector = 0xf000;
  cpu.seg[CS].base = 0xffff0000;
  cpu.seg[CS].type = 0xb;
  for (const unsigned seg : {LDTR, TR}) {
    cpu.seg[seg] = {};
    cpu.seg[seg].limit = 0xffff;
    cpu.seg[seg].present = 1;
    cpu.seg[seg].type = seg == TR ? 0xb : 2;
  }
  cpu.gdt = cpu.idt = {};
  cpu.gdt.limit = cpu.idt.limit = 0xffff;
  cpu.cr0 = 0x60000010;
  cpu.cr2 = cpu.cr3 = cpu.cr4 = cpu.efer = 0;
  for (uint64_t& address : cpu.dr) address = 0;
  cpu.dr6 = 0xffff0ff0;
  cpu.dr7 = 0x400;
  cpu.queuedVector = -1;
  cpu.fault = {};
  cpu.shadow = cpu.shadowNext = cpu.trapBlocked = cpu.nmiMasked = cpu.halted = cpu.pauses = false;
  cpu.dataHits = 0;
  updateBreakpoints(cpu);
  if (cpu.kept != nullptr) cpu.kept->endAll();
  flushTlb(cpu);
  updateMode(cpu);
}

void Emulator::keepTranslations() {
  kept_ = std::make_unique<TranslationCache>();
  cpu_->kept = kept_.get();
  flushTlb(*cpu_);  // what it has is not among them
}

void Emulator::waitForStartup() {
  reset();
  apic_.powerOn();
  cpu_->nmis = 0;
  cpu_->initSignals.store(0);
  cpu_->vmx.on = cpu_->guest = false;
  cpu_->waits = true;
}

// An NMI that comes while one waits is lost; but the one that waits would have been taken at once, had this processor
// not been waiting for its turn.
void Emulator::nonMaskable() {
  const uint8_t most = cpu_->nmiMasked ? 1 : 2;
  if (cpu_->nmis.load() < most) cpu_->nmis++;
  attention(kNmi);
}

void Emulator::init() {
  // A startup message that came before is over; but a guest that waits for one takes it first (SDM Vol. 3C, 26.2).
  const uint32_t before = waitsInGuest() ? cpu_->initSignals.load() : 0;
  cpu_->initSignals.store(before | kInitSignal);
  attention(kInit);
}

void Emulator::startup(uint8_t vector) {
  const uint32_t signals = cpu_->initSignals.load();
  cpu_->initSignals.store((signals & kInitSignal) | kStartupSignal | uint32_t{vector} << kStartupVectorShift);
  attention(kInit);
}

bool Emulator::waitsInGuest() const { return cpu_->guest && cpu_->vmx.activity == vmx::Activity::waitForSipi; }

bool Emulator::signalWakes() const {
  const Cpu& cpu = *cpu_;
  const uint32_t signals = cpu.initSignals.load();
  const bool waits = cpu.waits || waitsInGuest(), blocked = cpu.vmx.on && (!cpu.guest || waits);
  return (!blocked && (signals & kInitSignal) != 0) || (waits && (signals & kStartupSignal) != 0);
}

/** In VMX operation INIT waits or leaves, and startup messages are for who waits for one (SDM Vol. 3C, 24.8, 26.2). */
bool Emulator::takeVmxInit() {
  Cpu& cpu = *cpu_;
  const uint32_t signals = cpu.initSignals.load();
  if (!cpu.guest) {
    cpu.initSignals.fetch_and(kInitSignal);
    return true;
  }
  if (vmx::trapIsDue(cpu.vmx)) return true;  // goes first (27.7.7); the signal stays
  const bool waits = waitsInGuest();
  cpu.initSignals.fetch_and(waits ? kInitSignal : 0);  // which is blocked meanwhile
  if (waits && (signals & kStartupSignal) != 0) {
    vmx::leave(cpu, vmx::ExitReason::startupIpi, signals >> kStartupVectorShift & 0xff);
    vmx::makeExit(cpu);
  } else if (!waits && (signals & kInitSignal) != 0) {
    vmx::leave(cpu, vmx::ExitReason::initSignal);
    vmx::makeExit(cpu);
  }
  return true;
}

bool Emulator::takeInit() {
  Cpu& cpu = *cpu_;
  cpu.attention.fetch_and(~uint32_t{kInit});
  if (cpu.vmx.on && takeVmxInit()) return false;
  const uint32_t signals = cpu.initSignals.exchange(0);
  if ((signals & kInitSignal) != 0) {
    reset();
    apic_.reset();
    cpu.nmis = 0;
    cpu.waits = (apic_.base() & kApicBsp) == 0;
  }
  if ((signals & kStartupSignal) == 0 || !cpu.waits) return cpu.waits;
  const uint32_t vector = signals >> kStartupVectorShift & 0xff;
  cpu.seg[CS].selector = static_cast<uint16_t>(vector << 8);
  cpu.seg[CS].base = vector << 12;
  cpu.rip() = 0;
  cpu.waits = false;
  updateMode(cpu);
  return false;
}

}  // namespace vtkit::emulator
