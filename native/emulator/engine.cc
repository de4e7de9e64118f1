// The emulated processor behind the interfaces that machines use.
#include "emulator/engine.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "emulator/msrs.h"
#include "emulator/system.h"
#include "emulator/vmx/outside.h"
#include "os/error.h"

namespace vtkit::emulator {

namespace {
constexpr uint32_t kXsaveStateBytes = 4096;  // sizeof(kvm_xsave)
}  // namespace

using vcpu::Continuation;
using vcpu::ExitKind;

namespace {
// KVM_MP_STATE_*
constexpr uint32_t kMpRunnable = 0, kMpUninitialized = 1, kMpHalted = 3;
}  // namespace

void Engine::takeDirtyLog(const memory::Slot& slot, uint64_t* bitmap) {
  const uint64_t words = (slot.bytes / memory::kPageSize + 63) / 64;
  for (uint64_t i = 0; i < words; i++) bitmap[i] = slot.dirty[i].exchange(0);
}

std::unique_ptr<vcpu::Processor> Engine::createProcessor(uint32_t index, vcpu::Cell& cell) {
  return std::make_unique<Processor>(*this, index, cell);
}

bool Engine::route(const bus::InterruptMessage& message, const Processor* except) {
  Processor* chosen = nullptr;
  bool taken = false;
  for (Processor* processor : processors_) {
    LocalApic& apic = processor->emulator_.apic();
    if (processor == except || !apic.matches(message)) continue;
    if (message.mode != bus::DeliveryMode::lowestPriority) {
      if (apic.accept(message)) taken = true;
    } else if (chosen == nullptr || apic.priority() < chosen->emulator_.apic().priority()) {
      chosen = processor;
    }
  }
  if (chosen != nullptr) taken = chosen->emulator_.apic().accept(message);
  rounds_.wake();
  return taken;
}

void Engine::setIrqLine(uint32_t, bool) { throw os::SystemError(EOPNOTSUPP, "set an interrupt line"); }
void Engine::connectIrqfd(uint32_t, int, int, bool) { throw os::SystemError(EOPNOTSUPP, "connect an irqfd"); }
void Engine::setMsiRoute(uint32_t, uint64_t, uint32_t) { throw os::SystemError(EOPNOTSUPP, "route a message"); }
void Engine::attachVfio(int, bool) { throw os::SystemError(EOPNOTSUPP, "attach a VFIO device"); }

void Engine::signalMsi(uint64_t address, uint32_t data) {
  // SDM Vol. 3A, 11.11: bits 19:12 of the address are the destination, bit 2 its mode; with 32-bit ids, in the upper
  // half.
  bus::InterruptMessage message;
  message.destination = static_cast<uint32_t>(address >> 12 & 0xff) | (static_cast<uint32_t>(address >> 32) & ~0xffu);
  message.logical = (address & 4) != 0;
  message.mode = static_cast<bus::DeliveryMode>(data >> 8 & 7);
  message.vector = static_cast<uint8_t>(data);
  message.level = (data & 0x8000) != 0;
  deliver(message);
}
void Engine::connectIoeventfd(const Ioeventfd&, bool) { throw os::SystemError(EOPNOTSUPP, "connect an ioeventfd"); }

bool Engine::pause() {
  rounds_.pause();
  for (Processor* processor : processors_) processor->kick();
  return true;
}

bool Engine::pauseAt(uint64_t instructions) {
  pauseAt_ = instructions;
  return true;
}

bool Engine::traceInstructions(bool on) {
  for (Processor* processor : processors_) processor->emulator_.traceInstructions(on);
  return true;
}

uint64_t Engine::instructions() {
  uint64_t sum = 0;
  for (Processor* processor : processors_) sum += processor->emulator_.instructionsRetired();
  return sum;
}

bool Engine::visit(state::Archive& archive) {
  rounds_.visit(archive);
  for (Processor* processor : processors_) processor->visit(archive);
  return true;
}

Processor::Processor(Engine& engine, uint32_t index, vcpu::Cell& cell)
    : engine_(engine), index_(index), cell_(cell), emulator_(engine.memory_, *this, index, &engine.cpus_) {
  engine_.processors_.push_back(this);
  engine_.rounds_.expect();
  // The processors of one seed are not those of the next.
  emulator_.seedRandom(engine_.options_.seed * 0xd1342543de82ef95 + index);
  if (engine_.options_.keepsTranslations) emulator_.keepTranslations();
  // Firmware starts the first one; without an interrupt controller, whoever made the machine starts them all.
  if (index_ != 0 && engine_.board_.interrupts() != nullptr) emulator_.waitForStartup();
  loadRegs();
}

Processor::~Processor() {
  std::vector<Processor*>& all = engine_.processors_;
  all.erase(std::find(all.begin(), all.end(), this));
}

ExitKind Processor::run(vcpu::Outside& outside) {
  outside_ = &outside;
  completing_ = false;
  emulator_.attention(kInterrupt);
  engine_.rounds_.run(*this);
  return exit_;
}

Turn Processor::end(ExitKind kind) {
  loadRegs();
  exit_ = kind;
  return Turn::ended;
}

/** A VM entry that was asked for comes before what stops it, as it does where an interrupt waits. */
void Processor::leave() {
  if (!emulator_.enter()) {
    ended(Emulator::Stop::left);
    return;
  }
  vmx::interruptFromOutside(emulator_.cpu());
  end(ExitKind::interrupted);
}

/** A halted processor's turn is over at once. */
Turn Processor::sleep(uint64_t end, uint64_t& until) {
  const bool interruptible = emulator_.interruptible();
  if (interruptible) until = emulator_.nextEvent();
  if (until > end) emulator_.advanceTo(end);
  return interruptible ? Turn::idle : Turn::dead;
}

bool Processor::stopDead() {
  if (emulator_.cpu().waits || !halted_) return false;
  halted_ = false;
  end(ExitKind::halt);
  return true;
}

/** Whether its run is over; if not, the processor stops by itself where the machine is to pause. */
bool Processor::mustLeave() {
  const uint64_t all = engine_.instructions();
  if (all >= engine_.pauseAt_) engine_.rounds_.pause();
  if (outside_->stopRequested() || engine_.rounds_.paused()) return true;
  const uint64_t left = engine_.pauseAt_ - all;
  emulator_.setLimit(engine_.pauseAt_ == Emulator::kNever ? engine_.pauseAt_ : emulator_.instructionsRetired() + left);
  return false;
}

Turn Processor::turn(uint64_t start, const uint64_t& end, uint64_t& until) {
  emulator_.advanceTo(start);
  for (;;) {
    if (mustLeave()) {
      leave();
      return Turn::ended;
    }
    const bool due = emulator_.ticks() >= emulator_.nextEvent();
    if ((halted_ || emulator_.cpu().waits) && !due && !emulator_.wakes()) return sleep(end, until);
    if (halted_ && emulator_.ticks() >= emulator_.apic().nextEvent()) emulator_.apic().expire();
    if (halted_ && !emulator_.wakes()) continue;
    halted_ = false;
    const Emulator::Stop stop = emulator_.run(end);
    cell_.instructions = emulator_.instructionsRetired();
    switch (stop) {
      case Emulator::Stop::turn:
        emulator_.advanceTo(end);
        return Turn::busy;
      case Emulator::Stop::attention:
      case Emulator::Stop::waiting:
        if (completing_) return this->end(ExitKind::completed);
        continue;
      case Emulator::Stop::halted:
        if (completing_) return this->end(ExitKind::completed);
        if (!outside_->waitsInHalt()) return this->end(ExitKind::halt);
        halted_ = true;
        cell_.exitCounts[static_cast<uint32_t>(ExitKind::halt)]++;
        continue;
      default:
        return ended(stop);
    }
  }
}

Turn Processor::ended(Emulator::Stop stop) {
  loadRegs();
  switch (stop) {
    case Emulator::Stop::shutdown:
      return end(ExitKind::shutdown);
    case Emulator::Stop::left:
      cell_.exit.reason = emulator_.entryError();
      return end(ExitKind::vmExit);
    case Emulator::Stop::stepped:
      if (completing_) return end(ExitKind::completed);
      cell_.exit.reason = 1;  // #DB
      cell_.exit.detail[0] = cell_.regs.rip;
      cell_.exit.detail[1] = emulator_.cpu().dr6;
      cell_.exit.detail[2] = emulator_.cpu().dr7;
      return end(ExitKind::debug);
    case Emulator::Stop::unknownInstruction:
      cell_.exit.rip = cell_.regs.rip;
      cell_.exit.size = emulator_.unknownBytes(cell_.exit.data, 15, cell_.exit.address);
      return end(ExitKind::unknownInstruction);
    default:  // the platform gave up
      return end(ExitKind::interrupted);
  }
}

void Processor::kick() noexcept {
  emulator_.attention(kStop | kInterrupt);
  engine_.rounds_.wake();
}

void Processor::visit(state::Archive& archive) {
  emulator_.visit(archive);
  archive.value(halted_);
  if (!archive.reads()) return;
  cell_.instructions = emulator_.instructionsRetired();
  loadRegs();
}

void Processor::storeRegs() {
  emulator_.setRegs(cell_.regs);
  halted_ = false;  // who moves a halted processor's registers wants it to go on
}

bool Processor::access(ExitKind kind, uint64_t address, unsigned size, unsigned count, void* in, const void* out) {
  vcpu::ExitRecord& exit = cell_.exit;
  exit.kind = kind;
  exit.address = address;
  exit.size = size;
  exit.count = count;
  exit.reason = 0;
  exit.rip = emulator_.rip();
  const size_t bytes = size_t{size} * count;
  if (out != nullptr) std::memcpy(exit.data, out, bytes);
  if (!engine_.board_.answer(cell_, exit)) {
    const Continuation next = outside_->deliver();
    if (next == Continuation::quit) return false;
    if (next == Continuation::complete) {
      completing_ = true;
      emulator_.attention(kStop);
    }
    uint64_t value = 0;
    std::memcpy(&value, exit.data, size);
    engine_.board_.trace(exit, kind, value);
  }
  if (in != nullptr) std::memcpy(in, exit.data, bytes);
  return true;
}

bool Processor::portRead(uint16_t port, unsigned size, unsigned count, void* data) {
  return access(ExitKind::ioIn, port, size, count, data, nullptr);
}
bool Processor::portWrite(uint16_t port, unsigned size, unsigned count, const void* data) {
  return access(ExitKind::ioOut, port, size, count, nullptr, data);
}
bool Processor::mmioRead(uint64_t address, unsigned size, void* data) {
  return access(ExitKind::mmioRead, address, size, 1, data, nullptr);
}
bool Processor::mmioWrite(uint64_t address, unsigned size, const void* data) {
  return access(ExitKind::mmioWrite, address, size, 1, nullptr, data);
}

int Processor::acknowledgeInterrupt() { return controller() == nullptr ? -1 : controller()->acknowledge(); }
bool Processor::interruptAsserted() { return controller() != nullptr && controller()->asserted(); }

bool Processor::send(const bus::InterruptMessage& message, bool others) {
  engine_.route(message, others ? this : nullptr);
  return true;
}

void Processor::executed(const Executed& instruction) {
  uint64_t halves[2];
  static_assert(sizeof(halves) == sizeof(instruction.bytes));
  std::memcpy(halves, instruction.bytes, sizeof(halves));
  const uint32_t detail = index_ | instruction.length << 8 | instruction.bits << 16;
  engine_.board_.outbox().push(
      {bus::Record::executed, detail, instruction.rip, halves[0], halves[1], engine_.instructions()});
}

void Processor::endOfInterrupt(uint8_t vector) {
  if (engine_.board_.endListener() != nullptr) engine_.board_.endListener()->endOfInterrupt(vector);
}

void Processor::storeSregs() {
  if (const char* why = emulator_.setSregs(cell_.sregs)) throw os::SystemError(EINVAL, why);
}

uint32_t Processor::stateBytes(vcpu::StateKind kind) {
  switch (kind) {
    case vcpu::StateKind::fpu:
      return sizeof(vcpu::Fpu);
    case vcpu::StateKind::xsave:
      return kXsaveStateBytes;
    case vcpu::StateKind::xcrs:
      return sizeof(vcpu::Xcrs);
    case vcpu::StateKind::events:
      return sizeof(vcpu::Events);
    case vcpu::StateKind::mpState:
      return sizeof(uint32_t);
    case vcpu::StateKind::debugRegs:
      return sizeof(vcpu::DebugRegs);
    case vcpu::StateKind::vmcs:
      return vmx::kFieldCount * sizeof(vcpu::VmcsField);
    default:
      return 0;
  }
}

void Processor::getState(vcpu::StateKind kind, void* to) {
  const Cpu& cpu = emulator_.cpu();
  if (kind == vcpu::StateKind::fpu) {
    vcpu::Fpu fpu;
    emulator_.getFpu(fpu);
    std::memcpy(to, &fpu, sizeof(fpu));
  } else if (kind == vcpu::StateKind::xsave) {
    emulator_.getXsave(static_cast<uint8_t*>(to), kXsaveStateBytes);
  } else if (kind == vcpu::StateKind::xcrs) {
    vcpu::Xcrs xcrs = {};
    xcrs.count = 1;
    xcrs.registers[0].value = cpu.xcr0;
    std::memcpy(to, &xcrs, sizeof(xcrs));
  } else if (kind == vcpu::StateKind::events) {
    vcpu::Events events;
    emulator_.getEvents(events);
    std::memcpy(to, &events, sizeof(events));
  } else if (kind == vcpu::StateKind::debugRegs) {
    vcpu::DebugRegs registers = {};
    std::memcpy(registers.db, cpu.dr, sizeof(cpu.dr));
    registers.dr6 = cpu.dr6;
    registers.dr7 = cpu.dr7;
    std::memcpy(to, &registers, sizeof(registers));
  } else if (kind == vcpu::StateKind::vmcs) {
    vcpu::VmcsField fields[vmx::kFieldCount];
    vmx::getFields(cpu, fields);
    std::memcpy(to, fields, sizeof(fields));
  } else {
    const uint32_t state = cpu.waits ? kMpUninitialized : halted_ ? kMpHalted : kMpRunnable;
    std::memcpy(to, &state, sizeof(state));
  }
}

void Processor::setState(vcpu::StateKind kind, const void* from) {
  Cpu& cpu = emulator_.cpu();
  if (kind == vcpu::StateKind::fpu) {
    vcpu::Fpu fpu;
    std::memcpy(&fpu, from, sizeof(fpu));
    emulator_.setFpu(fpu);
  } else if (kind == vcpu::StateKind::xsave) {
    if (const char* why = emulator_.setXsave(static_cast<const uint8_t*>(from))) throw os::SystemError(EINVAL, why);
  } else if (kind == vcpu::StateKind::xcrs) {
    vcpu::Xcrs xcrs;
    std::memcpy(&xcrs, from, sizeof(xcrs));
    for (uint32_t i = 0; i < std::min<uint32_t>(xcrs.count, 16); i++) {
      if (xcrs.registers[i].number != 0) continue;
      if (const char* why = emulator_.setXcr0(xcrs.registers[i].value)) throw os::SystemError(EINVAL, why);
    }
  } else if (kind == vcpu::StateKind::events) {
    vcpu::Events events;
    std::memcpy(&events, from, sizeof(events));
    emulator_.setEvents(events);
  } else if (kind == vcpu::StateKind::debugRegs) {
    vcpu::DebugRegs registers;
    std::memcpy(&registers, from, sizeof(registers));
    std::memcpy(cpu.dr, registers.db, sizeof(cpu.dr));
    cpu.dr6 = registers.dr6;
    cpu.dr7 = registers.dr7;
    updateBreakpoints(cpu);
  } else if (kind == vcpu::StateKind::vmcs) {
    vcpu::VmcsField fields[vmx::kFieldCount];
    std::memcpy(fields, from, sizeof(fields));
    if (const char* why = vmx::setFields(cpu, fields)) throw os::SystemError(EINVAL, why);
    halted_ = false;
  } else {
    uint32_t state;
    std::memcpy(&state, from, sizeof(state));
    if (state != kMpRunnable && state != kMpUninitialized && state != kMpHalted) {
      throw os::SystemError(EINVAL, "set a state other than runnable, uninitialized and halted");
    }
    if (state == kMpUninitialized) emulator_.waitForStartup();
    cpu.waits = state == kMpUninitialized;
    halted_ = state == kMpHalted;
  }
}

uint32_t Processor::getMsrs(std::vector<vcpu::MsrEntry>& entries) {
  uint32_t taken = 0;
  for (vcpu::MsrEntry& entry : entries) {
    if (!readMsr(emulator_.cpu(), entry.index, entry.value)) break;
    taken++;
  }
  return taken;
}

uint32_t Processor::setMsrs(const std::vector<vcpu::MsrEntry>& entries) {
  uint32_t taken = 0;
  for (const vcpu::MsrEntry& entry : entries) {
    if (!writeMsr(emulator_.cpu(), entry.index, entry.value)) break;
    taken++;
  }
  return taken;
}

std::vector<vcpu::CpuidEntry> Processor::getCpuid() {
  std::vector<vcpu::CpuidEntry> entries;
  for (const CpuidRow& row : emulator_.cpuid()) {
    entries.push_back({row.leaf, row.subleaf, row.flags, row.eax, row.ebx, row.ecx, row.edx, {}});
  }
  return entries;
}

void Processor::setCpuid(const std::vector<vcpu::CpuidEntry>& entries) {
  std::vector<CpuidRow> rows;
  for (const vcpu::CpuidEntry& entry : entries) {
    rows.push_back({entry.function, entry.index, entry.flags, entry.eax, entry.ebx, entry.ecx, entry.edx});
  }
  emulator_.setCpuid(std::move(rows));
}

}  // namespace vtkit::emulator
