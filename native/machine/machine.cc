// A machine: what it owns, and the order in which it lets go.
#include "machine/machine.h"

#include <algorithm>
#include <cerrno>

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
    if (!hidden_) engine_->addMemory(*memory_.find(guestPhysical));
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
    for (const Window& window : windows_) {
      if (window.backing == slot) throw os::SystemError(EBUSY, "remove memory that windows show");
    }
    if (!hidden_) engine_->removeMemory(candidate);
    const auto result = memory_.removeSlot(slot);
    backings_.erase(std::find_if(backings_.begin(), backings_.end(),
                                 [slot](const Backing& backing) { return backing.slot == slot; }));
    return result;
  }
  return memory::GuestMemory::Result::noSlot;
}

void Machine::hideMemory() {
  if (hidden_) return;
  for (const memory::Slot& slot : memory_.slots()) engine_->removeMemory(slot);
  hidden_ = true;
}

bool Machine::addWindow(uint32_t number, uint64_t guestPhysical, uint64_t from, uint64_t bytes, bool readOnly) {
  memory::Slot window = {};
  window.number = number;
  window.guestPhysical = guestPhysical;
  window.bytes = bytes;
  window.host = memory_.at(from, bytes);
  window.readOnly = readOnly;
  if (window.host == nullptr) return false;
  engine_->addMemory(window);
  windows_.push_back({number, memory_.find(from)->number});
  return true;
}

void Machine::removeWindow(uint32_t number) {
  memory::Slot window = {};
  window.number = number;
  engine_->removeMemory(window);
  windows_.erase(
      std::remove_if(windows_.begin(), windows_.end(), [number](const Window& each) { return each.number == number; }),
      windows_.end());
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
