// A machine: what it owns, and the order in which it lets go.
#include "machine/machine.h"

#include <algorithm>

namespace vtkit::machine {

Machine::Machine(const EngineFactory& createEngine, Notify notify)
    : notify_(std::move(notify)),
      ring_(sharedPage<bus::Ring>()),
      outbox_(*ring_, notify_),
      board_(outbox_),
      engine_(createEngine(board_, memory_)) {}

Machine::~Machine() { close(); }

memory::GuestMemory::Result Machine::addMemory(uint32_t slot, uint64_t guestPhysical, uint64_t bytes, bool readOnly,
                                               bool logDirty) {
  auto mapping = std::make_shared<os::Mapping>(os::Mapping::anonymous(bytes));
  const auto result = memory_.addSlot(slot, guestPhysical, bytes, mapping->data(), readOnly, logDirty);
  if (result != memory::GuestMemory::Result::ok) return result;
  try {
    engine_->addMemory(*memory_.find(guestPhysical));
  } catch (const os::SystemError&) {
    memory_.removeSlot(slot);
    throw;
  }
  backings_.push_back({slot, std::move(mapping)});
  return result;
}

memory::GuestMemory::Result Machine::removeMemory(uint32_t slot) {
  for (const memory::Slot& candidate : memory_.slots()) {
    if (candidate.number != slot) continue;
    engine_->removeMemory(candidate);
    const auto result = memory_.removeSlot(slot);
    backings_.erase(std::find_if(backings_.begin(), backings_.end(),
                                 [slot](const Backing& backing) { return backing.slot == slot; }));
    return result;
  }
  return memory::GuestMemory::Result::noSlot;
}

std::shared_ptr<os::Mapping> Machine::backing(uint32_t slot) const {
  for (const Backing& candidate : backings_) {
    if (candidate.slot == slot) return candidate.mapping;
  }
  return nullptr;
}

uint32_t Machine::createVcpu(bool waitsInHalt) {
  auto cell = sharedPage<vcpu::Cell>();
  auto processor = engine_->createProcessor(vcpus(), *cell);
  auto thread = std::make_unique<vcpu::Thread>(*cell, std::move(processor), waitsInHalt, notify_);
  vcpus_.push_back({std::move(cell), std::move(thread)});
  return vcpus() - 1;
}

void Machine::interruptChanged() {
  if (!vcpus_.empty()) vcpus_.front().thread->interruptChanged();
}

void Machine::close() {
  outbox_.abandon();  // a vCPU that waits for room in the ring would never end
  for (Processor& processor : vcpus_) processor.thread->requestQuit();
  for (Processor& processor : vcpus_) processor.thread->quit();
  board_.setInterrupts(nullptr);
  board_.setEndListener(nullptr);
  board_.bus().clear();
  devices_.clear();  // joins their timers, which still call interruptChanged()
  vcpus_.clear();
  engine_.reset();
  while (!memory_.slots().empty()) memory_.removeSlot(memory_.slots().front().number);
  backings_.clear();
}

}  // namespace vtkit::machine
