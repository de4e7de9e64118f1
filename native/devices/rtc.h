// The PC's real-time clock and the memory that its battery keeps.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>

#include "bus/device.h"
#include "devices/clock.h"

namespace vtkit::devices {

/**
 * Motorola MC146818A at ports 0x70 and 0x71, with 128 bytes of memory and the century in byte 0x32.
 *
 * Time is a function of the clock, flags are found when somebody looks, and the alarm is set only for an interrupt that
 * is enabled and not yet asked for: a clock that nobody listens to costs nothing. The time can be set; daylight saving
 * and the square wave do nothing.
 *
 * An access wider than a byte is that many byte accesses at consecutive ports; what lies behind 0x71 reads all ones.
 */
class Rtc final : public bus::Device {
 public:
  static constexpr uint64_t kPorts = 2;
  static constexpr unsigned kBytes = 128;
  static constexpr uint64_t kNever = ~uint64_t{0};
  using Contents = std::array<uint8_t, kBytes>;

  /** `contents` is what the battery kept, time excepted; `unixSeconds` is the time when the clock began. */
  Rtc(Clock& clock, bus::Line& irq8, const Contents& contents, int64_t unixSeconds);

  bus::Answer read(uint64_t offset, unsigned size, uint64_t& value) override;
  bus::Answer write(uint64_t offset, unsigned size, uint64_t value) override;

  /** The moment of the next alarm whose interrupt is enabled, or kNever. */
  uint64_t nextAlarm();
  /** Called when an alarm asks for its interrupt: the chipset wakes the machine by it. Under this object's lock. */
  void onAlarm(std::function<void()> called) { alarmed_ = std::move(called); }
  /** The alarm's moment has come. */
  void expired();
  void visit(state::Archive& archive);

 private:
  uint8_t readRegister(uint64_t now);
  void writeRegister(uint8_t value, uint64_t now);

  /** Whether the divider counts, and whether the time stands still. */
  bool divides() const;
  bool stands() const;
  uint64_t phase(uint64_t now) const { return (now - origin_) % kSecond; }
  int64_t seconds(uint64_t now) const { return base_ + static_cast<int64_t>((now - origin_) / kSecond); }
  /** Writes the time into the registers, as their format is now. */
  void show(int64_t seconds);
  /** Takes the time from the registers. */
  int64_t shown() const;
  uint8_t encode(unsigned value) const;
  unsigned decode(uint8_t value) const;
  uint8_t encodeHour(unsigned hour) const;
  unsigned decodeHour(uint8_t value) const;

  /** The moment that it is now, with the flags that rose since the last look. */
  uint64_t look();
  void drive();
  /** Asks for the alarm at the next event that interrupts. */
  void plan(uint64_t now);
  uint64_t nextUpdate(uint64_t now) const;
  uint64_t nextPeriod(uint64_t now) const;
  /** The first second after this one that the alarm's registers match, or -1. */
  int64_t nextMatch(int64_t after) const;

  static constexpr uint64_t kSecond = 1000000000;

  Clock& clock_;
  bus::Line& irq8_;
  std::mutex mutex_;
  Contents registers_;
  uint8_t index_ = 0;
  uint64_t origin_ = 0;  // a moment at which a second began
  int64_t base_;         // the time then, in seconds since 1970
  uint64_t looked_ = 0;
  std::function<void()> alarmed_;
  std::unique_ptr<Alarm> alarm_;  // last: its thread uses everything above
};

}  // namespace vtkit::devices
