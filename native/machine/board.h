// What the processors of one machine are wired to: the bus, the interrupt controller, the tracer.
#pragma once

#include <chrono>
#include <cstdint>

#include "bus/bus.h"
#include "bus/message.h"
#include "bus/outbox.h"
#include "vcpu/cell.h"

namespace vtkit::machine {

class Board {
 public:
  explicit Board(bus::Outbox& outbox) : outbox_(outbox), start_(std::chrono::steady_clock::now()) {}

  bus::Bus& bus() { return bus_; }
  bus::Outbox& outbox() { return outbox_; }
  /** Null where nobody in user space interrupts: no controller, or the kernel's. */
  bus::InterruptSource* interrupts() const { return interrupts_; }
  void setInterrupts(bus::InterruptSource* source) { interrupts_ = source; }
  /** Who hears of served level-triggered interrupts, or null. */
  bus::EndListener* endListener() const { return endListener_; }
  void setEndListener(bus::EndListener* listener) { endListener_ = listener; }
  void setTracing(bool on) { tracing_ = on; }

  /**
   * Offers an I/O or MMIO exit to the devices, item by item, and counts it. True if they answered all of it.
   * `exit` holds kind, address, size, count, rip and, for writes, the data; reads fill the data in.
   */
  bool answer(vcpu::Cell& cell, vcpu::ExitRecord& exit);

  /** Records an event in the trace, if one is kept. */
  void trace(const vcpu::ExitRecord& exit, vcpu::ExitKind kind, uint64_t value);

  uint64_t nanoseconds() const {
    return static_cast<uint64_t>((std::chrono::steady_clock::now() - start_) / std::chrono::nanoseconds(1));
  }

 private:
  bus::Outbox& outbox_;
  bus::Bus bus_;
  bus::InterruptSource* interrupts_ = nullptr;
  bus::EndListener* endListener_ = nullptr;
  bool tracing_ = false;
  const std::chrono::steady_clock::time_point start_;
};

}  // namespace vtkit::machine
