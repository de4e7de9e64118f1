// The fixed ACPI hardware of a PC: events that wake it, the register that puts it to sleep, the timer.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>

#include "bus/device.h"
#include "devices/clock.h"

namespace vtkit::devices {

/**
 * PM1 status and enable at 0 and 2, PM1 control at 4, the timer of 32 bits at 8 (ACPI 6.5, 4.8.3).
 *
 * Events are the timer's and the clock's; the power button and the global lock can be enabled, and never come. A write
 * that sets SLP_EN leaves the device: what becomes of the machine is decided outside. SCI is level-triggered and set
 * under this object's lock.
 */
class PowerManagement final : public bus::Device {
 public:
  static constexpr uint64_t kPorts = 12;
  static constexpr uint64_t kHertz = 3579545;

  PowerManagement(Clock& clock, bus::Line& sci);

  bus::Answer read(uint64_t offset, unsigned size, uint64_t& value) override;
  bus::Answer write(uint64_t offset, unsigned size, uint64_t value) override;

  /** The clock's alarm has come. Any thread. */
  void clockAlarm();
  /** When a machine that sleeps now wakes up: at once, at the clock's `alarm`, or never (all ones). */
  uint64_t wakeMoment(uint64_t now, uint64_t alarm);
  /** The machine wakes up. */
  void woke();
  /** The timer may have turned over. */
  void expired();
  void visit(state::Archive& archive);

 private:
  void look();
  void drive();

  Clock& clock_;
  bus::Line& sci_;
  std::mutex mutex_;
  uint16_t status_ = 0, enable_ = 0;
  uint64_t looked_ = 0;           // in the timer's ticks
  std::unique_ptr<Alarm> alarm_;  // last: its thread uses everything above
};

}  // namespace vtkit::devices
