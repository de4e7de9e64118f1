// The PC's 8254 timer, with the parts of port 0x61 that belong to it.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>

#include "bus/device.h"
#include "devices/clock.h"
#include "devices/edge-line.h"

namespace vtkit::devices {

/**
 * Intel 8254: three counters at 1.193182 MHz, modes 0 to 5, binary and BCD, latch and read-back.
 *
 * Counts are a function of the clock in whole numbers: they do not drift. Counter 0's line gets the rising edges of OUT
 * and falls only when mode 0 takes OUT low, so that a processor that looks late finds its request. A control word makes
 * no edge of its own. Periods that passed before anybody could look give one edge, not a burst. The line is set under
 * this object's lock.
 *
 * Accesses wider than a byte are byte accesses at consecutive ports, lowest first; port 0x43 and what lies behind the
 * last port read all ones.
 */
class Pit final {
 public:
  static constexpr uint64_t kHertz = 1193182;

  /** `irq0` is counter 0's OUT; it outlives the timer. */
  Pit(Clock& clock, EdgeLine& irq0);

  /** Ports 0x40 to 0x43, and 0x61. */
  bus::Device& counters() { return counterPorts_; }
  bus::Device& control() { return controlPort_; }

  /** The alarm to be set for counter 0, in place of one in real time. */
  void setAlarm(std::unique_ptr<Alarm> alarm) { alarm_ = std::move(alarm); }
  /** Counter 0's moment has come. */
  void expired();
  void visit(state::Archive& archive);

 private:
  static constexpr uint64_t kNever = ~uint64_t{0};
  enum class Access : uint8_t { latch = 0, low = 1, high = 2, both = 3 };

  /** One counter. Moments are ticks; who asks for a state at a tick has advanced the counter to it. */
  struct Counter {
    uint8_t mode = 0;
    Access access = Access::both;
    bool bcd = false, gate = true;

    uint32_t initial = 0;       // the count register, 0 while nothing was written
    bool awaitsLoad = true;     // what the status byte calls null count
    uint64_t loadsAt = kNever;  // when the counting element takes the count register over

    bool loaded = false;        // the counting element below means something
    uint32_t count = 0;         // what it was loaded with
    uint64_t start = 0;         // since when it counts, had it never been stopped
    uint64_t stopped = kNever;  // since when it stands

    bool writeHigh = false, readHigh = false;  // the other half comes next
    uint8_t lowByte = 0;
    bool countLatched = false, statusLatched = false;
    uint16_t latchedCount = 0;
    uint8_t latchedStatus = 0;

    bool periodic() const { return mode == 2 || mode == 3; }
    bool triggered() const { return mode == 1 || mode == 5; }  // only a rising gate starts them
    uint64_t elapsed(uint64_t tick) const { return (tick < stopped ? tick : stopped) - start; }
    void advance(uint64_t tick);
    void load();
    bool output(uint64_t tick) const;
    uint16_t value(uint64_t tick) const;
    /** The first tick after this one at which OUT rises. */
    uint64_t nextRise(uint64_t tick) const;

    void program(uint8_t control);
    void writeByte(uint8_t byte, uint64_t tick);
    void writeCount(uint32_t written, uint64_t tick);
    void setGate(bool level, uint64_t tick);
    uint8_t readByte(uint64_t tick);
    void latchCount(uint64_t tick);
    void latchStatus(uint64_t tick);
    void visit(state::Archive& archive);
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

  /** The tick that it is now, with every counter advanced to it and counter 0's edge given if it was due. */
  uint64_t now();
  void writeControl(uint8_t value, uint64_t tick);
  /** Asks for the alarm at counter 0's next edge. */
  void plan(uint64_t tick);

  Clock& clock_;
  EdgeLine& irq0_;
  std::mutex mutex_;
  Counter counters_[3];
  uint64_t nextEdge_ = kNever;
  uint8_t control_ = 0;  // bits 0 to 3 of port 0x61
  CounterPorts counterPorts_;
  ControlPort controlPort_;
  std::unique_ptr<Alarm> alarm_;  // last: its thread uses everything above
};

}  // namespace vtkit::devices
