// A machine: memory, bus, devices, engine and vCPU threads, owned together and closed together.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "bus/outbox.h"
#include "machine/board.h"
#include "machine/engine.h"
#include "memory/guest-memory.h"
#include "os/mapping.h"
#include "vcpu/thread.h"

namespace vtkit::machine {

/** Memory shared with JavaScript: it outlives the machine for as long as JavaScript holds it. */
template <typename T>
std::shared_ptr<T> sharedPage() {
  auto mapping = std::make_shared<os::Mapping>(os::Mapping::anonymous(sizeof(T)));
  return {mapping, reinterpret_cast<T*>(mapping->data())};
}

class Machine {
 public:
  using Notify = std::function<void()>;
  using EngineFactory = std::function<std::unique_ptr<Engine>(Board&, memory::GuestMemory&)>;

  /** `notify` is called from any thread when JavaScript should look at the outbox or a vCPU. */
  Machine(const EngineFactory& createEngine, Notify notify);
  ~Machine();

  Board& board() { return board_; }
  bus::Outbox& outbox() { return outbox_; }
  memory::GuestMemory& memory() { return memory_; }
  Engine& engine() { return *engine_; }
  const std::shared_ptr<bus::Ring>& ring() const { return ring_; }
  bool isOpen() const { return engine_ != nullptr; }

  /** Backs a range with zeroed memory. @throws os::SystemError */
  memory::GuestMemory::Result addMemory(uint32_t slot, uint64_t guestPhysical, uint64_t bytes, bool readOnly,
                                        bool logDirty);
  memory::GuestMemory::Result removeMemory(uint32_t slot);
  /** From here on the guest sees memory only through windows. */
  void hideMemory();
  /**
   * Shows a range of the machine's memory at another guest-physical address as well. `number` is free among all slots.
   * False if the range does not lie in one slot. @throws os::SystemError
   */
  bool addWindow(uint32_t number, uint64_t guestPhysical, uint64_t from, uint64_t bytes, bool readOnly);
  void removeWindow(uint32_t number);
  /** The mapping behind a slot, to be held by whoever hands out views of it. */
  std::shared_ptr<os::Mapping> backing(uint32_t slot) const;

  /** Puts a device under the machine's ownership. */
  void keep(std::shared_ptr<void> device) { devices_.push_back(std::move(device)); }

  /** Creates the next vCPU. `waitsInHalt`: see vcpu::Thread. */
  uint32_t createVcpu(bool waitsInHalt);
  vcpu::Thread& vcpu(uint32_t index) { return *vcpus_.at(index).thread; }
  const std::shared_ptr<vcpu::Cell>& cell(uint32_t index) const { return vcpus_.at(index).cell; }
  uint32_t vcpus() const { return static_cast<uint32_t>(vcpus_.size()); }

  /** The controller's INTR changed: wakes the processor that it is wired to. Any thread. */
  void interruptChanged();

  /** Stops and joins every thread, then gives everything back. Idempotent. */
  void close();

 private:
  struct Backing {
    uint32_t slot;
    std::shared_ptr<os::Mapping> mapping;
  };
  struct Window {
    uint32_t number, backing;
  };
  struct Processor {
    std::shared_ptr<vcpu::Cell> cell;
    std::unique_ptr<vcpu::Thread> thread;
  };

  const Notify notify_;
  const std::shared_ptr<bus::Ring> ring_;
  bus::Outbox outbox_;
  Board board_;
  memory::GuestMemory memory_;
  std::vector<Backing> backings_;
  std::vector<Window> windows_;
  bool hidden_ = false;
  std::unique_ptr<Engine> engine_;
  std::vector<Processor> vcpus_;
  std::vector<std::shared_ptr<void>> devices_;
};

}  // namespace vtkit::machine
