// One machine of either engine, below its devices: memory slots and processors.
#pragma once

#include <cstdint>
#include <memory>

#include "bus/message.h"
#include "devices/clock.h"
#include "machine/board.h"
#include "memory/guest-memory.h"
#include "vcpu/processor.h"

namespace vtkit::emulator {
class Inbox;
}

namespace vtkit::machine {

/** Failures are os::SystemError. What an engine lacks answers EOPNOTSUPP. */
class Engine {
 public:
  virtual ~Engine() = default;

  virtual void addMemory(const memory::Slot& slot) = 0;
  virtual void removeMemory(const memory::Slot& slot) = 0;
  /** Copies one bit a page that a processor wrote since the last call, and clears them. */
  virtual void takeDirtyLog(const memory::Slot& slot, uint64_t* bitmap) = 0;

  virtual std::unique_ptr<vcpu::Processor> createProcessor(uint32_t index, vcpu::Cell& cell) = 0;

  /** Where an I/O APIC of the board sends its interrupts, or null if processors here have no local APIC for it. */
  virtual bus::MessageSink* messages() { return nullptr; }

  /** The clock of the processors' own time, or null where they run in real time. */
  virtual std::shared_ptr<devices::Clock> virtualClock() { return nullptr; }

  /** Stops all processors at once, as one that runs on them can be gone on with. False where each stops by itself. */
  virtual bool pause() { return false; }
  /** Pauses by itself once so many instructions are retired in all. False where nobody counts them. */
  virtual bool pauseAt(uint64_t instructions) {
    (void)instructions;
    return false;
  }
  /** Leaves each instruction in the outbox. False where that cannot be seen. */
  virtual bool traceInstructions(bool on) {
    (void)on;
    return false;
  }
  /** Retired by all processors. */
  virtual uint64_t instructions() { return 0; }
  /** Where input waits until a moment that can be repeated, or null: it is taken at once. */
  virtual emulator::Inbox* inbox() { return nullptr; }
  /** Input was posted. */
  virtual void wake() {}

  /** What processors keep beside KVM's structures, and time. False where there is no such state. */
  virtual bool visit(state::Archive& archive) {
    (void)archive;
    return false;
  }

  /** Whether the machine was created with the engine's own interrupt controller. */
  virtual bool hasIrqLines() const { return false; }
  virtual void setIrqLine(uint32_t gsi, bool level) = 0;
  /** `resample`, or -1: signalled when the guest ends a level-triggered interrupt. */
  virtual void connectIrqfd(uint32_t gsi, int eventfd, int resample, bool connect) = 0;
  /** What an interrupt number stands for from now on: a message that a device writes (PCI 3.0, 6.8.1). */
  virtual void setMsiRoute(uint32_t gsi, uint64_t address, uint32_t data) = 0;
  virtual void signalMsi(uint64_t address, uint32_t data) = 0;
  /** Tells the engine of a VFIO group or device that works for this machine. */
  virtual void attachVfio(int fd, bool attach) = 0;
  struct Ioeventfd {
    bool port;
    uint64_t address;
    uint32_t bytes;
    bool matches;  // only writes of `value` count
    uint64_t value;
    int eventfd;
  };
  virtual void connectIoeventfd(const Ioeventfd& connection, bool connect) = 0;
};

}  // namespace vtkit::machine
