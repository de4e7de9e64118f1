// The high precision event timers of a PC (IA-PC HPET specification 1.0a, chapter 2).
#include "devices/hpet.h"

#include <algorithm>

namespace vtkit::devices {

namespace {

enum Offset : uint64_t {
  kCapabilities = 0x00,
  kConfiguration = 0x10,
  kStatus = 0x20,
  kCounter = 0xf0,
  kFirstTimer = 0x100,
  kTimerBytes = 0x20,
  kComparator = 0x08,
};

// Revision 1, the last timer's number, a counter of 64 bits, legacy replacement, Intel; the period in femtoseconds.
constexpr uint64_t kCapabilityBits = 0x01 | (Hpet::kTimers - 1) << 8 | 1 << 13 | 1 << 15 | uint64_t{0x8086} << 16 |
                                     Hpet::kNanosecondsPerTick * 1000000 << 32;

// General configuration
constexpr uint64_t kEnabled = 1, kLegacy = 2;
// Timer configuration
constexpr uint64_t kLevel = 1 << 1, kInterrupts = 1 << 2, kPeriodic = 1 << 3, kSetsValue = 1 << 6, kNarrow = 1 << 8;
constexpr uint64_t kRouteMask = 0x1f << 9;
constexpr unsigned kRouteShift = 9;
constexpr uint64_t kWritable = kLevel | kInterrupts | kPeriodic | kSetsValue | kNarrow | kRouteMask;
/** A timer can be periodic, has 64 bits, and reaches pins 20 to 23. */
constexpr uint64_t kPins = 0x00f00000;
/** Ticks that pass at least between two looks: a period of a few nanoseconds is nobody's. */
constexpr uint64_t kShortestGap = 100;
constexpr uint64_t kTimerCapabilities = 1 << 4 | 1 << 5 | kPins << 32;

}  // namespace

uint64_t Hpet::Timer::mask() const { return (config & kNarrow) != 0 ? 0xffffffff : ~uint64_t{0}; }

uint64_t Hpet::Timer::until(uint64_t count) const {
  const uint64_t distance = (comparator - count) & mask();
  return distance != 0 ? distance : mask() == ~uint64_t{0} ? mask() : mask() + 1;
}

Hpet::Hpet(Clock& clock, std::function<EdgeLine&(unsigned)> pin, GatedLine& irq0, GatedLine& irq8)
    : clock_(clock), pin_(std::move(pin)), irq0_(irq0), irq8_(irq8) {
  alarm_ = clock.alarm([this] { expired(); });
}

EdgeLine* Hpet::lineOf(unsigned number) {
  if ((config_ & kLegacy) != 0 && number == 0) return &irq0_.behind();
  if ((config_ & kLegacy) != 0 && number == 1) return &irq8_.behind();
  const auto route = static_cast<unsigned>((timers_[number].config & kRouteMask) >> kRouteShift);
  return (kPins >> route & 1) != 0 ? &pin_(route) : nullptr;
}

uint64_t Hpet::look() {
  const uint64_t now = std::max(clock_.nanoseconds() / kNanosecondsPerTick, counted_);
  const uint64_t passed = (config_ & kEnabled) != 0 ? now - counted_ : 0;
  const uint64_t before = count_;
  counted_ = now;
  count_ += passed;
  if (passed == 0) return count_;
  bool matched = false;
  for (unsigned i = 0; i < kTimers; i++) {
    Timer& timer = timers_[i];
    const uint64_t until = timer.until(before);
    if (until > passed) continue;
    matched = true;
    if ((timer.config & kPeriodic) != 0 && timer.period != 0) {
      const uint64_t periods = (passed - until) / timer.period + 1;
      timer.comparator = (timer.comparator + periods * timer.period) & timer.mask();
    }
    fire(i);
  }
  if (matched) plan();
  return count_;
}

void Hpet::fire(unsigned number) {
  const Timer& timer = timers_[number];
  EdgeLine* line = lineOf(number);
  if ((timer.config & kInterrupts) == 0 || line == nullptr) return;
  if ((timer.config & kLevel) == 0) return line->edge();
  status_ |= uint64_t{1} << number;
  line->set(true);
}

void Hpet::lower(unsigned number) {
  status_ &= ~(uint64_t{1} << number);
  if (EdgeLine* line = lineOf(number)) line->set(false);
}

void Hpet::plan() {
  uint64_t next = ~uint64_t{0};
  for (const Timer& timer : timers_) {
    if ((timer.config & kInterrupts) != 0) next = std::min(next, timer.until(count_));
  }
  // What no clock of nanoseconds reaches never comes.
  if ((config_ & kEnabled) == 0 || next > (~uint64_t{0} >> 8) - counted_) return alarm_->cancel();
  alarm_->at((counted_ + std::max(next, kShortestGap)) * kNanosecondsPerTick);
}

void Hpet::expired() {
  const std::lock_guard<std::mutex> lock(mutex_);
  look();
}

uint64_t Hpet::registerAt(uint64_t offset, uint64_t count) const {
  switch (offset) {
    case kCapabilities:
      return kCapabilityBits;
    case kConfiguration:
      return config_;
    case kStatus:
      return status_;
    case kCounter:
      return count;
    default:
      break;
  }
  const uint64_t number = (offset - kFirstTimer) / kTimerBytes;
  if (offset < kFirstTimer || number >= kTimers) return 0;
  const Timer& timer = timers_[number];
  if (offset % kTimerBytes == 0) return timer.config | kTimerCapabilities;
  return offset % kTimerBytes == kComparator ? timer.comparator & timer.mask() : 0;
}

void Hpet::writeTimer(unsigned number, uint64_t offset, uint64_t value, uint64_t written) {
  Timer& timer = timers_[number];
  if (offset == 0) {
    if ((status_ >> number & 1) != 0) lower(number);
    timer.config = value & kWritable;
    const unsigned route = static_cast<unsigned>((timer.config & kRouteMask) >> kRouteShift);
    if ((kPins >> route & 1) == 0) timer.config &= ~kRouteMask;  // what cannot be is not kept
    timer.comparator &= timer.mask();
  } else if (offset == kComparator) {
    // In periodic mode a write is the period, and the comparator only behind a write of VAL_SET.
    const bool periodic = (timer.config & kPeriodic) != 0;
    if (periodic) timer.period = ((timer.period & ~written) | (value & written)) & timer.mask();
    if (!periodic || (timer.config & kSetsValue) != 0) timer.comparator = value & timer.mask();
    timer.config &= ~kSetsValue;
  }
}

void Hpet::writeRegister(uint64_t offset, uint64_t value, uint64_t written) {
  if (offset == kConfiguration) {
    for (unsigned i = 0; i < kTimers; i++) {
      if ((status_ >> i & 1) != 0 && ((value ^ config_) & kLegacy) != 0) lower(i);
    }
    config_ = value & (kEnabled | kLegacy);
    irq0_.open((config_ & kLegacy) == 0);
    irq8_.open((config_ & kLegacy) == 0);
  } else if (offset == kStatus) {
    for (unsigned i = 0; i < kTimers; i++) {
      if ((value & written & status_) >> i & 1) lower(i);
    }
  } else if (offset == kCounter) {
    count_ = value;
  } else if (offset >= kFirstTimer && (offset - kFirstTimer) / kTimerBytes < kTimers) {
    writeTimer(static_cast<unsigned>((offset - kFirstTimer) / kTimerBytes), offset % kTimerBytes, value, written);
  }
  plan();
}

void Hpet::visit(state::Archive& archive) {
  const std::lock_guard<std::mutex> lock(mutex_);
  archive.section("HPET", 1);
  archive.bits(config_, kEnabled | kLegacy);
  archive.atMost(status_, uint64_t{(1 << kTimers) - 1});
  archive.value(count_);
  archive.moment(counted_);
  for (Timer& timer : timers_) {
    archive.bits(timer.config, kWritable);
    archive.value(timer.comparator);
    archive.value(timer.period);
  }
  devices::visit(archive, *alarm_);
  if (!archive.reads()) return;
  irq0_.open((config_ & kLegacy) == 0);
  irq8_.open((config_ & kLegacy) == 0);
}

bus::Answer Hpet::read(uint64_t offset, unsigned size, uint64_t& value) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const uint64_t count = look();
  value = 0;
  for (unsigned i = 0; i < size; i++) {
    const uint64_t at = offset + i;
    value |= (registerAt(at & ~uint64_t{7}, count) >> (at % 8 * 8) & 0xff) << (8 * i);
  }
  return bus::Answer::done;
}

bus::Answer Hpet::write(uint64_t offset, unsigned size, uint64_t value) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const uint64_t count = look();
  if ((size != 4 && size != 8) || offset % size != 0) return bus::Answer::done;
  const unsigned shift = static_cast<unsigned>(offset % 8 * 8);
  const uint64_t written = (size == 8 ? ~uint64_t{0} : uint64_t{0xffffffff}) << shift;
  const uint64_t at = offset & ~uint64_t{7};
  writeRegister(at, (registerAt(at, count) & ~written) | (value << shift & written), written);
  return bus::Answer::done;
}

}  // namespace vtkit::devices
