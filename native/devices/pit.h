// The PC's 8254 timer, with the parts of port 0x61 that belong to it.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>

#include "bus/device.h"
#include "devices/clock.h"

namespace vtkit::devices {

/**
 * Intel 8254: three counters at 1.193182 MHz, modes 0 to 5, binary and BCD, latch and read-back.
 *
 * Counts follow the clock exactly; only counter 0 is wired to an interrupt. When the host is late, the periods that
 * were missed give one interrupt, not a burst.
 */
class Pit final {
 public:
  static constexpr uint64_t kHertz = 1193182;

  /** `irq0` is counter 0's OUT; it outlives the timer. */
  Pit(Clock& clock, bus::Line& irq0);

  /** Ports 0x40 to 0x43, and 0x61. */
  bus::Device& counters() { return counterPorts_; }
  bus::Device& control() { return controlPort_; }

  /** The alarm to be set for counter 0; a test may put its own. */
  void setAlarm(std::unique_ptr<Alarm> alarm) { alarm_ = std::move(alarm); }
  /** Counter 0's moment has come. */
  void expired();

 private:
  enum class Access : uint8_t { latch = 0, low = 1, high = 2, both = 3 };
  struct Counter {
    uint32_t reload = 0x10000;
    uint64_t start = 0;  // tick at which the count was loaded, or the gate rose
    uint8_t mode = 0;
    Access access = Access::both;
    bool bcd = false, gate = true, loaded = false, armed = false;
    bool writeHigh = false, readHigh = false;
    uint8_t lowByte = 0;
    bool countLatched = false, statusLatched = false;
    uint16_t latchedCount = 0;
    uint8_t latchedStatus = 0;

    bool periodic() const { return mode == 2 || mode == 3; }
    bool output(uint64_t tick) const;
    uint16_t count(uint64_t tick) const;
  };
  class CounterPorts final : public bus::Device {
   public:
    bus::Answer read(uint64_t offset, unsigned size, uint64_t& value) override;
    bus::Answer write(uint64_t offset, unsigned size, uint64_t value) override;
    Pit* pit_ = nullptr;
  };
  class ControlPort final : public bus::Device {
   public:
    bus::Answer read(uint64_t offset, unsigned size, uint64_t& value) override;
    bus::Answer write(uint64_t offset, unsigned size, uint64_t value) override;
    Pit* pit_ = nullptr;
  };

  uint64_t tick() const;
  uint8_t readCounter(Counter& counter);
  void writeCounter(Counter& counter, uint8_t value);
  void writeCommand(uint8_t value);
  void latchStatus(Counter& counter);
  void setGate(Counter& counter, bool gate);
  /** Plans counter 0's next edge. */
  void schedule();

  Clock& clock_;
  bus::Line& irq0_;
  std::mutex mutex_;
  Counter counters_[3];
  uint64_t nextEdge_ = 0;  // tick of counter 0's next rising OUT
  bool speaker_ = false;
  uint8_t refresh_ = 0;  // toggles with every read, as DRAM refresh does with time
  CounterPorts counterPorts_;
  ControlPort controlPort_;
  std::unique_ptr<Alarm> alarm_;  // last: its thread uses everything above
};

}  // namespace vtkit::devices
