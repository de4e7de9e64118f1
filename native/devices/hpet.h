// The high precision event timers of a PC.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>

#include "bus/device.h"
#include "devices/clock.h"
#include "devices/gated-line.h"

namespace vtkit::devices {

/**
 * IA-PC HPET 1.0a: a counter of 64 bits at 100 MHz and three timers, each periodic or not, to pins of the I/O APIC or
 * in place of the 8254 and the clock.
 *
 * The counter is a function of the clock, and matches are found when somebody looks; the alarm is set for those that
 * interrupt. Periods that passed before anybody could look give one interrupt. Registers are read in any size and
 * written in four or eight bytes; other writes do nothing, as the specification leaves open.
 */
class Hpet final : public bus::Device {
 public:
  static constexpr uint64_t kBytes = 0x400;
  static constexpr uint64_t kNanosecondsPerTick = 10;
  static constexpr unsigned kTimers = 3;

  /** `pin` gives a line of the I/O APIC; the gates are those of the 8254 and of the clock. */
  Hpet(Clock& clock, std::function<EdgeLine&(unsigned)> pin, GatedLine& irq0, GatedLine& irq8);

  bus::Answer read(uint64_t offset, unsigned size, uint64_t& value) override;
  bus::Answer write(uint64_t offset, unsigned size, uint64_t value) override;

  /** A timer's moment has come. */
  void expired();
  void visit(state::Archive& archive);

 private:
  struct Timer {
    uint64_t config = 0, comparator = ~uint64_t{0}, period = 0;
    uint64_t mask() const;
    /** Ticks from a count to the next match, or all ones: never. */
    uint64_t until(uint64_t count) const;
  };

  /** The count that it is now, with the matches since the last look. */
  uint64_t look();
  void fire(unsigned number);
  void lower(unsigned number);
  void plan();
  /** Null: the timer has no route. */
  EdgeLine* lineOf(unsigned number);
  uint64_t registerAt(uint64_t offset, uint64_t count) const;
  void writeRegister(uint64_t offset, uint64_t value, uint64_t written);
  void writeTimer(unsigned number, uint64_t offset, uint64_t value, uint64_t written);

  Clock& clock_;
  const std::function<EdgeLine&(unsigned)> pin_;
  GatedLine& irq0_;
  GatedLine& irq8_;
  std::mutex mutex_;
  uint64_t config_ = 0, status_ = 0;
  uint64_t count_ = 0, counted_ = 0;  // the count at the last look, and that moment in ticks of the clock
  Timer timers_[kTimers];
  std::unique_ptr<Alarm> alarm_;  // last: its thread uses everything above
};

}  // namespace vtkit::devices
