// The PC's real-time clock (Motorola MC146818A data sheet).
#include "devices/rtc.h"

#include <algorithm>

namespace vtkit::devices {

namespace {

enum Register : uint8_t {
  kSeconds = 0,
  kSecondsAlarm = 1,
  kMinutes = 2,
  kMinutesAlarm = 3,
  kHours = 4,
  kHoursAlarm = 5,
  kWeekday = 6,
  kDay = 7,
  kMonth = 8,
  kYear = 9,
  kA = 10,
  kB = 11,
  kC = 12,
  kD = 13,
  kCentury = 50,
};

// Register A
constexpr uint8_t kUpdateInProgress = 0x80, kDividerReset = 0x60, kRateMask = 0x0f;
// Register B
constexpr uint8_t kSet = 0x80, kBinary = 0x04, kTwentyFourHours = 0x02;
// Register C; enabled by the same bits of register B
constexpr uint8_t kInterrupt = 0x80, kPeriodic = 0x40, kAlarm = 0x20, kUpdate = 0x10;
// Register D
constexpr uint8_t kBatteryGood = 0x80;

/** An alarm register with both of its upper bits set matches any value. */
constexpr uint8_t kAny = 0xc0;
/** UIP rises this long before an update. */
constexpr uint64_t kNotice = 244000;
/** Hours after noon, in the format of twelve. */
constexpr uint8_t kAfternoon = 0x80;

constexpr int64_t kDaySeconds = 86400;

bool isTime(uint8_t number) {
  return number == kCentury ||
         (number <= kYear && number != kSecondsAlarm && number != kMinutesAlarm && number != kHoursAlarm);
}

/** Days since 1970 of a date of the Gregorian calendar; fields out of their ranges carry over. */
int64_t daysOf(int64_t year, int64_t month, int64_t day) {
  year += (month - 1) / 12 - (month < 1 ? 1 : 0);
  month = ((month - 1) % 12 + 12) % 12 + 1;
  if (month <= 2) year--;
  const int64_t era = (year >= 0 ? year : year - 399) / 400;
  const int64_t yearOfEra = year - era * 400;
  const int64_t dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  return era * 146097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719468;
}

struct Date {
  int64_t year;
  unsigned month, day;
};

Date dateOf(int64_t days) {
  days += 719468;
  const int64_t era = (days >= 0 ? days : days - 146096) / 146097;
  const int64_t dayOfEra = days - era * 146097;
  const int64_t yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146096) / 365;
  const int64_t dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100);
  const auto shifted = static_cast<unsigned>((5 * dayOfYear + 2) / 153);
  const unsigned month = shifted < 10 ? shifted + 3 : shifted - 9;
  const auto day = static_cast<unsigned>(dayOfYear - (153 * shifted + 2) / 5 + 1);
  return {yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day};
}

/** The remainder that is never negative. */
int64_t modulo(int64_t value, int64_t by) { return (value % by + by) % by; }

/** Ticks of the 32,768 Hz that the divider makes between two periodic interrupts, or 0. */
uint64_t periodTicks(uint8_t a) {
  const unsigned rate = a & kRateMask;
  if (rate == 0) return 0;
  return uint64_t{1} << (rate <= 2 ? rate + 6 : rate - 1);
}

/** 10^9 / 32,768 nanoseconds are 1,953,125 / 64. */
constexpr uint64_t kTickNumerator = 1953125, kTickDenominator = 64;

}  // namespace

Rtc::Rtc(Clock& clock, bus::Line& irq8, const Contents& contents, int64_t unixSeconds)
    : clock_(clock), irq8_(irq8), registers_(contents), base_(unixSeconds) {
  registers_[kC] = 0;
  registers_[kD] = kBatteryGood;
  show(base_);
  alarm_ = clock.alarm([this] { expired(); });
}

bool Rtc::divides() const { return (registers_[kA] & kDividerReset) != kDividerReset; }

bool Rtc::stands() const { return (registers_[kB] & kSet) != 0 || !divides(); }

uint8_t Rtc::encode(unsigned value) const {
  return static_cast<uint8_t>((registers_[kB] & kBinary) != 0 ? value : value / 10 * 16 + value % 10);
}

unsigned Rtc::decode(uint8_t value) const {
  return (registers_[kB] & kBinary) != 0 ? value : (value >> 4) * 10u + (value & 15);
}

uint8_t Rtc::encodeHour(unsigned hour) const {
  if ((registers_[kB] & kTwentyFourHours) != 0) return encode(hour);
  return static_cast<uint8_t>(encode(hour % 12 == 0 ? 12 : hour % 12) | (hour >= 12 ? kAfternoon : 0));
}

unsigned Rtc::decodeHour(uint8_t value) const {
  if ((registers_[kB] & kTwentyFourHours) != 0) return decode(value);
  return decode(value & 0x7f) % 12 + ((value & kAfternoon) != 0 ? 12 : 0);
}

void Rtc::show(int64_t seconds) {
  const int64_t days = (seconds - modulo(seconds, kDaySeconds)) / kDaySeconds;
  const auto ofDay = static_cast<unsigned>(modulo(seconds, kDaySeconds));
  const Date date = dateOf(days);
  registers_[kSeconds] = encode(ofDay % 60);
  registers_[kMinutes] = encode(ofDay / 60 % 60);
  registers_[kHours] = encodeHour(ofDay / 3600);
  registers_[kWeekday] = static_cast<uint8_t>(modulo(days + 4, 7) + 1);  // 1970 began on a Thursday; Sunday is 1
  registers_[kDay] = encode(date.day);
  registers_[kMonth] = encode(date.month);
  registers_[kYear] = encode(static_cast<unsigned>(modulo(date.year, 100)));
  registers_[kCentury] = encode(static_cast<unsigned>(modulo(date.year / 100, 100)));
}

int64_t Rtc::shown() const {
  const int64_t year = decode(registers_[kCentury]) * 100 + decode(registers_[kYear]);
  const int64_t days = daysOf(year, decode(registers_[kMonth]), decode(registers_[kDay]));
  return days * kDaySeconds + decodeHour(registers_[kHours]) * 3600 + decode(registers_[kMinutes]) * 60 +
         decode(registers_[kSeconds]);
}

uint64_t Rtc::nextUpdate(uint64_t now) const { return now - phase(now) + kSecond; }

uint64_t Rtc::nextPeriod(uint64_t now) const {
  const uint64_t length = periodTicks(registers_[kA]);
  if (length == 0) return kNever;
  // Periods divide a second: counting from the last one keeps the numbers small.
  const uint64_t ticks = phase(now) * kTickDenominator / kTickNumerator;
  const uint64_t next = (ticks / length + 1) * length;
  return now - phase(now) + (next * kTickNumerator + kTickDenominator - 1) / kTickDenominator;
}

int64_t Rtc::nextMatch(int64_t after) const {
  const auto matches = [](uint8_t wanted, uint8_t value) { return wanted >= kAny || wanted == value; };
  const int64_t start = after + 1;
  int64_t at = start;
  while (at <= start + kDaySeconds) {  // steps from hour to hour, minute to minute, second to second
    const auto ofDay = static_cast<unsigned>(modulo(at, kDaySeconds));
    if (!matches(registers_[kHoursAlarm], encodeHour(ofDay / 3600))) {
      at += 3600 - ofDay % 3600;
    } else if (!matches(registers_[kMinutesAlarm], encode(ofDay / 60 % 60))) {
      at += 60 - ofDay % 60;
    } else if (!matches(registers_[kSecondsAlarm], encode(ofDay % 60))) {
      at++;
    } else {
      return at;
    }
  }
  return -1;
}

uint64_t Rtc::look() {
  const uint64_t now = std::max(clock_.nanoseconds(), looked_);
  const int64_t before = seconds(looked_), current = seconds(now);
  uint8_t rose = 0;
  if (current != before && !stands()) {
    const int64_t match = nextMatch(before);
    rose |= kUpdate;
    if (match >= 0 && match <= current) rose |= kAlarm;
    show(current);
  }
  if (divides() && nextPeriod(looked_) <= now) rose |= kPeriodic;
  looked_ = now;
  if (rose == 0) return now;
  registers_[kC] |= rose;
  drive();
  if ((rose & registers_[kB] & kAlarm) != 0 && alarmed_) alarmed_();
  plan(now);
  return now;
}

void Rtc::drive() {
  const bool asks = (registers_[kC] & registers_[kB] & (kPeriodic | kAlarm | kUpdate)) != 0;
  registers_[kC] = static_cast<uint8_t>((registers_[kC] & ~kInterrupt) | (asks ? kInterrupt : 0));
  irq8_.set(asks);
}

void Rtc::plan(uint64_t now) {
  // What has risen already says nothing more until somebody reads register C.
  const uint8_t waits = static_cast<uint8_t>(registers_[kB] & ~registers_[kC]);
  uint64_t next = kNever;
  if ((waits & kPeriodic) != 0 && divides()) next = nextPeriod(now);
  if ((waits & kUpdate) != 0 && !stands()) next = std::min(next, nextUpdate(now));
  if ((registers_[kB] & kAlarm) != 0 && !stands()) {
    const int64_t match = nextMatch(seconds(now));
    if (match >= 0) next = std::min(next, origin_ + static_cast<uint64_t>(match - base_) * kSecond);
  }
  if (next == kNever) return alarm_->cancel();
  alarm_->at(next);
}

uint64_t Rtc::nextAlarm() {
  const std::lock_guard<std::mutex> lock(mutex_);
  const uint64_t now = look();
  if ((registers_[kB] & kAlarm) == 0 || stands()) return kNever;
  const int64_t match = nextMatch(seconds(now));
  return match < 0 ? kNever : origin_ + static_cast<uint64_t>(match - base_) * kSecond;
}

void Rtc::expired() {
  const std::lock_guard<std::mutex> lock(mutex_);
  look();
}

uint8_t Rtc::readRegister(uint64_t now) {
  const uint8_t value = registers_[index_];
  if (index_ == kA && !stands() && kSecond - phase(now) <= kNotice) return value | kUpdateInProgress;
  if (index_ != kC) return value;
  registers_[kC] = 0;
  drive();
  plan(now);
  return value;
}

void Rtc::writeRegister(uint8_t value, uint64_t now) {
  if (index_ == kC || index_ == kD) return;
  const bool stood = stands();
  const bool divided = divides();
  if (index_ == kA) value = static_cast<uint8_t>(value & ~kUpdateInProgress);
  if (index_ == kB && (value & kSet) != 0) value = static_cast<uint8_t>(value & ~kUpdate);
  registers_[index_] = value;
  const bool starts = stood && !stands();
  if (starts || (isTime(index_) && !stood)) {
    // A divider that comes out of its reset makes the first update half a second later.
    const uint64_t passed = starts && !divided ? kSecond / 2 : phase(now);
    base_ = shown();
    origin_ = now - std::min(passed, now);
  }
  drive();
  plan(now);
}

void Rtc::visit(state::Archive& archive) {
  constexpr int64_t kFarthest = int64_t{1} << 41;  // seconds: more than the registers can say
  const std::lock_guard<std::mutex> lock(mutex_);
  archive.section("RTC ", 1);
  for (uint8_t& byte : registers_) archive.value(byte);
  archive.atMost(index_, uint8_t{kBytes - 1});
  archive.within(base_, -kFarthest, kFarthest);
  archive.moment(looked_);
  archive.atMost(origin_, looked_);
  devices::visit(archive, *alarm_);
}

bus::Answer Rtc::read(uint64_t offset, unsigned size, uint64_t& value) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const uint64_t now = look();
  value = ~uint64_t{0};  // port 0x70 cannot be read
  for (unsigned i = 0; i < size; i++) {
    if (offset + i != 1) continue;
    value = (value & ~(uint64_t{0xff} << (8 * i))) | uint64_t{readRegister(now)} << (8 * i);
  }
  return bus::Answer::done;
}

bus::Answer Rtc::write(uint64_t offset, unsigned size, uint64_t value) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const uint64_t now = look();
  for (unsigned i = 0; i < size; i++) {
    const auto byte = static_cast<uint8_t>(value >> (8 * i));
    if (offset + i == 0) index_ = byte % kBytes;
    if (offset + i == 1) writeRegister(byte, now);
  }
  return bus::Answer::done;
}

}  // namespace vtkit::devices
