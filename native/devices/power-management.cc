// The fixed ACPI hardware of a PC (ACPI 6.5, 4.8.3).
#include "devices/power-management.h"

#include <algorithm>

namespace vtkit::devices {

namespace {

constexpr uint64_t kNanosecondsPerSecond = 1000000000;

// PM1 status and enable
constexpr uint16_t kTimer = 1 << 0, kGlobalLock = 1 << 5, kPowerButton = 1 << 8, kClock = 1 << 10, kWake = 1 << 15;
constexpr uint16_t kEvents = kTimer | kGlobalLock | kPowerButton | kClock;
// PM1 control
constexpr uint16_t kSciEnable = 1 << 0, kSleepEnable = 1 << 13;

enum Offset : uint64_t { kStatus = 0, kEnable = 2, kControl = 4, kTimerValue = 8 };

/** The timer's event is a change of its highest bit. */
constexpr uint64_t kHalf = uint64_t{1} << 31;

uint64_t ticksOf(uint64_t nanoseconds) {
  return nanoseconds / kNanosecondsPerSecond * PowerManagement::kHertz +
         nanoseconds % kNanosecondsPerSecond * PowerManagement::kHertz / kNanosecondsPerSecond;
}

/** The first nanosecond of a tick. */
uint64_t nanosecondsOf(uint64_t ticks) {
  return ticks / PowerManagement::kHertz * kNanosecondsPerSecond +
         (ticks % PowerManagement::kHertz * kNanosecondsPerSecond + PowerManagement::kHertz - 1) /
             PowerManagement::kHertz;
}

}  // namespace

PowerManagement::PowerManagement(Clock& clock, bus::Line& sci) : clock_(clock), sci_(sci) {
  alarm_ = clock.alarm([this] { expired(); });
}

void PowerManagement::look() {
  const uint64_t ticks = std::max(ticksOf(clock_.nanoseconds()), looked_);
  const bool turned = looked_ / kHalf != ticks / kHalf;
  looked_ = ticks;
  if (!turned) return;
  status_ |= kTimer;
  drive();
}

void PowerManagement::drive() {
  sci_.set((status_ & enable_ & kEvents) != 0);
  if ((enable_ & ~status_ & kTimer) == 0) return alarm_->cancel();
  alarm_->at(nanosecondsOf((looked_ / kHalf + 1) * kHalf));
}

void PowerManagement::clockAlarm() {
  const std::lock_guard<std::mutex> lock(mutex_);
  status_ |= kClock;
  drive();
}

uint64_t PowerManagement::wakeMoment(uint64_t now, uint64_t alarm) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if ((status_ & enable_ & kClock) != 0) return now;
  return (enable_ & kClock) != 0 ? alarm : ~uint64_t{0};
}

void PowerManagement::woke() {
  const std::lock_guard<std::mutex> lock(mutex_);
  status_ |= kWake;
}

void PowerManagement::expired() {
  const std::lock_guard<std::mutex> lock(mutex_);
  look();
}

void PowerManagement::visit(state::Archive& archive) {
  const std::lock_guard<std::mutex> lock(mutex_);
  archive.section("PM  ", 1);
  archive.value(status_);
  archive.bits(enable_, kEvents);
  archive.moment(looked_);
  devices::visit(archive, *alarm_);
}

bus::Answer PowerManagement::read(uint64_t offset, unsigned size, uint64_t& value) {
  const std::lock_guard<std::mutex> lock(mutex_);
  look();
  const uint64_t words[2] = {status_ | uint64_t{enable_} << 16 | uint64_t{kSciEnable} << 32, looked_ & 0xffffffff};
  value = ~uint64_t{0};
  for (unsigned i = 0; i < size && offset + i < kPorts; i++) {
    const uint64_t at = offset + i;
    const uint64_t byte = words[at / kTimerValue] >> (at % kTimerValue * 8) & 0xff;
    value = (value & ~(uint64_t{0xff} << (8 * i))) | byte << (8 * i);
  }
  return bus::Answer::done;
}

bus::Answer PowerManagement::write(uint64_t offset, unsigned size, uint64_t value) {
  const std::lock_guard<std::mutex> lock(mutex_);
  look();
  for (unsigned i = 0; i < size; i++) {
    const auto byte = static_cast<uint16_t>(value >> (8 * i) & 0xff);
    const uint64_t at = offset + i;
    const unsigned shift = at % 2 * 8;
    const auto placed = static_cast<uint16_t>(byte << shift);
    if (at / 2 * 2 == kStatus) status_ = static_cast<uint16_t>(status_ & ~placed);  // written ones clear
    if (at / 2 * 2 == kEnable) enable_ = static_cast<uint16_t>(((enable_ & ~(0xff << shift)) | placed) & kEvents);
    if (at / 2 * 2 == kControl && (placed & kSleepEnable) != 0) return bus::Answer::exit;
  }
  drive();
  return bus::Answer::done;
}

}  // namespace vtkit::devices
