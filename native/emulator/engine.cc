// The emulated processor behind the interfaces that machines use.
#include "emulator/engine.h"

#include <cerrno>
#include <cstring>

#include "emulator/system.h"
#include "os/error.h"

namespace vtkit::emulator {

using vcpu::Continuation;
using vcpu::ExitKind;

void Engine::takeDirtyLog(const memory::Slot& slot, uint64_t* bitmap) {
  const uint64_t words = (slot.bytes / memory::kPageSize + 63) / 64;
  for (uint64_t i = 0; i < words; i++) bitmap[i] = slot.dirty[i].exchange(0);
}

std::unique_ptr<vcpu::Processor> Engine::createProcessor(uint32_t, vcpu::Cell& cell) {
  return std::make_unique<Processor>(cell, board_, memory_);
}

void Engine::setIrqLine(uint32_t, bool) { throw os::SystemError(EOPNOTSUPP, "set an interrupt line"); }
void Engine::connectIrqfd(uint32_t, int, bool) { throw os::SystemError(EOPNOTSUPP, "connect an irqfd"); }
void Engine::connectIoeventfd(const Ioeventfd&, bool) { throw os::SystemError(EOPNOTSUPP, "connect an ioeventfd"); }

Processor::Processor(vcpu::Cell& cell, machine::Board& board, memory::GuestMemory& memory)
    : cell_(cell), board_(board), emulator_(memory, *this) {
  loadRegs();
}

ExitKind Processor::run(vcpu::Outside& outside) {
  outside_ = &outside;
  completing_ = false;
  emulator_.attention(kInterrupt);
  for (;;) {
    if (outside.stopRequested()) {
      loadRegs();
      return ExitKind::interrupted;
    }
    const Emulator::Stop stop = emulator_.run();
    loadRegs();
    cell_.instructions = emulator_.instructionsRetired();
    switch (stop) {
      case Emulator::Stop::attention:
        if (completing_) return ExitKind::completed;
        continue;
      case Emulator::Stop::halted:
        if (completing_) return ExitKind::completed;
        return ExitKind::halt;
      case Emulator::Stop::shutdown:
        return ExitKind::shutdown;
      case Emulator::Stop::closing:
        return ExitKind::interrupted;
      case Emulator::Stop::stepped:
        if (completing_) return ExitKind::completed;
        cell_.exit.reason = 1;  // #DB
        cell_.exit.detail[0] = cell_.regs.rip;
        cell_.exit.detail[1] = emulator_.cpu().dr6;
        cell_.exit.detail[2] = emulator_.cpu().dr7;
        return ExitKind::debug;
      case Emulator::Stop::unknownInstruction:
        cell_.exit.rip = cell_.regs.rip;
        cell_.exit.size = emulator_.unknownBytes(cell_.exit.data, 15, cell_.exit.address);
        return ExitKind::unknownInstruction;
    }
  }
}

void Processor::kick() noexcept { emulator_.attention(kStop | kInterrupt); }

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
  if (!board_.answer(cell_, exit)) {
    const Continuation next = outside_->deliver();
    if (next == Continuation::quit) return false;
    if (next == Continuation::complete) {
      completing_ = true;
      emulator_.attention(kStop);
    }
    uint64_t value = 0;
    std::memcpy(&value, exit.data, size);
    board_.trace(exit, kind, value);
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

int Processor::acknowledgeInterrupt() {
  return board_.interrupts() == nullptr ? -1 : board_.interrupts()->acknowledge();
}
bool Processor::interruptAsserted() { return board_.interrupts() != nullptr && board_.interrupts()->asserted(); }
bool Processor::interruptWaits() {
  return emulator_.cpu().queuedVector >= 0 || (emulator_.cpu().attention.load() & kNmi) != 0 || interruptAsserted();
}

void Processor::storeSregs() {
  if (const char* why = emulator_.setSregs(cell_.sregs)) throw os::SystemError(EINVAL, why);
}

uint32_t Processor::stateBytes(vcpu::StateKind kind) {
  switch (kind) {
    case vcpu::StateKind::fpu:
      return sizeof(vcpu::Fpu);
    case vcpu::StateKind::events:
      return sizeof(vcpu::Events);
    case vcpu::StateKind::mpState:
      return sizeof(uint32_t);
    case vcpu::StateKind::debugRegs:
      return sizeof(vcpu::DebugRegs);
    default:
      return 0;
  }
}

void Processor::getState(vcpu::StateKind kind, void* to) {
  const Cpu& cpu = emulator_.cpu();
  if (kind == vcpu::StateKind::fpu) {
    std::memcpy(to, &cpu.fpu, sizeof(cpu.fpu));
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
  } else {
    const uint32_t runnable = 0;  // KVM_MP_STATE_RUNNABLE
    std::memcpy(to, &runnable, sizeof(runnable));
  }
}

void Processor::setState(vcpu::StateKind kind, const void* from) {
  Cpu& cpu = emulator_.cpu();
  if (kind == vcpu::StateKind::fpu) {
    std::memcpy(&cpu.fpu, from, sizeof(cpu.fpu));
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
  } else {
    uint32_t state;
    std::memcpy(&state, from, sizeof(state));
    if (state != 0) throw os::SystemError(EINVAL, "set a state other than runnable");
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
  std::vector<CpuidRow>& rows = emulator_.cpuid();
  rows.clear();
  for (const vcpu::CpuidEntry& entry : entries) {
    rows.push_back({entry.function, entry.index, entry.flags, entry.eax, entry.ebx, entry.ecx, entry.edx});
  }
}

}  // namespace vtkit::emulator
