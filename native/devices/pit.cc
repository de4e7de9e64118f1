// The PC's 8254 timer (Intel 8254 data sheet).
#include "devices/pit.h"

#include <algorithm>

namespace vtkit::devices {

namespace {

constexpr uint64_t kNanosecondsPerSecond = 1000000000;
constexpr uint64_t kTicksPerRefresh = 18;  // what a PC's counter 1 is set to: a row of DRAM every 15 microseconds

uint16_t toBcd(uint32_t value) {
  return static_cast<uint16_t>(value % 10 | value / 10 % 10 << 4 | value / 100 % 10 << 8 | value / 1000 % 10 << 12);
}

uint32_t fromBcd(uint32_t value) {
  return (value & 15) + 10 * (value >> 4 & 15) + 100 * (value >> 8 & 15) + 1000 * (value >> 12 & 15);
}

/** Exact over centuries: whole seconds and the rest apart. */
uint64_t ticksOf(uint64_t nanoseconds) {
  return nanoseconds / kNanosecondsPerSecond * Pit::kHertz +
         nanoseconds % kNanosecondsPerSecond * Pit::kHertz / kNanosecondsPerSecond;
}

/** The first nanosecond of a tick. */
uint64_t nanosecondsOf(uint64_t ticks) {
  return ticks / Pit::kHertz * kNanosecondsPerSecond +
         (ticks % Pit::kHertz * kNanosecondsPerSecond + Pit::kHertz - 1) / Pit::kHertz;
}

/** How long mode 3 holds OUT high. */
uint32_t highHalf(uint32_t count) { return (count + 1) / 2; }

}  // namespace

void Pit::Counter::advance(uint64_t tick) {
  if (loadsAt <= tick) load();
}

void Pit::Counter::load() {
  const bool endsHighHalf = mode == 3 && loaded && elapsed(loadsAt) % count == highHalf(count);
  count = periodic() ? std::max(initial, 2u) : initial;  // 1 is illegal in the periodic modes
  start = endsHighHalf ? loadsAt - highHalf(count) : loadsAt;
  stopped = gate || triggered() ? kNever : loadsAt;
  loaded = true;
  awaitsLoad = false;
  loadsAt = kNever;
}

bool Pit::Counter::output(uint64_t tick) const {
  if (!loaded) return mode != 0;
  const uint64_t past = elapsed(tick);
  switch (mode) {
    case 0:
      return past >= count && loadsAt == kNever && !writeHigh;
    case 1:
      return past >= count;
    case 2:
      return !gate || past % count != count - 1;
    case 3:
      return !gate || past % count < highHalf(count);
    default:
      return past != count;  // 4 and 5: one tick low
  }
}

uint16_t Pit::Counter::value(uint64_t tick) const {
  if (!loaded) return 0;
  const uint32_t modulus = bcd ? 10000 : 0x10000;
  const uint64_t past = elapsed(tick);
  uint64_t left;
  if (mode == 2) {
    left = count - past % count;
  } else if (mode == 3) {  // counts each half down by twos
    const uint64_t phase = past % count;
    left = (count & ~1u) - 2 * (phase < highHalf(count) ? phase : phase - highHalf(count));
  } else {
    left = count % modulus + modulus - past % modulus;
  }
  const auto plain = static_cast<uint32_t>(left % modulus);
  return bcd ? toBcd(plain) : static_cast<uint16_t>(plain);
}

uint64_t Pit::Counter::nextRise(uint64_t tick) const {
  uint64_t rise = kNever;
  if (loaded && stopped == kNever) {
    if (periodic()) {
      rise = start + (elapsed(tick) / count + 1) * count;
    } else if (elapsed(tick) < count + uint64_t{mode >= 4}) {
      rise = start + count + (mode >= 4);
    }
  }
  if (loadsAt == kNever || (mode != 0 && rise <= loadsAt)) return rise;
  Counter after = *this;
  after.load();
  return after.stopped != kNever ? kNever : after.nextRise(loadsAt);
}

void Pit::Counter::program(uint8_t control) {
  const bool level = gate;
  *this = Counter();
  gate = level;
  access = static_cast<Access>(control >> 4 & 3);
  mode = control >> 1 & 7;
  if (mode > 5) mode = static_cast<uint8_t>(mode - 4);  // the high bit is ignored there
  bcd = (control & 1) != 0;
}

void Pit::Counter::writeByte(uint8_t byte, uint64_t tick) {
  if (access == Access::low) return writeCount(byte, tick);
  if (access == Access::high) return writeCount(static_cast<uint32_t>(byte) << 8, tick);
  writeHigh = !writeHigh;
  if (!writeHigh) return writeCount(static_cast<uint32_t>(byte) << 8 | lowByte, tick);
  lowByte = byte;
  if (mode == 0) stopped = std::min(stopped, tick);  // half a new count ends the old one
}

void Pit::Counter::writeCount(uint32_t written, uint64_t tick) {
  const uint32_t plain = bcd ? fromBcd(written) : written;
  initial = plain != 0 ? plain : (bcd ? 10000 : 0x10000);
  awaitsLoad = true;
  if (triggered()) return;
  if (!periodic() || !loaded) {
    loadsAt = tick + 1;
  } else if (gate) {  // the current period, in mode 3 half period, ends first
    const uint64_t phase = elapsed(tick) % count;
    const bool high = mode == 3 && phase < highHalf(count);
    loadsAt = tick + (high ? highHalf(count) : count) - phase;
  }
}

void Pit::Counter::setGate(bool level, uint64_t tick) {
  if (level == gate) return;
  gate = level;
  if (triggered() || periodic()) {
    if (level && initial != 0) {
      if (periodic()) loaded = false;
      loadsAt = tick + 1;
    } else if (periodic() && loaded) {
      stopped = tick;
      loadsAt = kNever;
    }
  } else if (!level) {
    stopped = std::min(stopped, tick);
  } else if (stopped != kNever && !(mode == 0 && writeHigh)) {
    start += tick - stopped;
    stopped = kNever;
  }
}

uint8_t Pit::Counter::readByte(uint64_t tick) {
  if (statusLatched) {
    statusLatched = false;
    return latchedStatus;
  }
  const uint16_t shown = countLatched ? latchedCount : value(tick);
  const bool high = access == Access::high || (access == Access::both && readHigh);
  if (access == Access::both) readHigh = !readHigh;
  if (!readHigh) countLatched = false;
  return static_cast<uint8_t>(high ? shown >> 8 : shown);
}

void Pit::Counter::latchCount(uint64_t tick) {
  if (countLatched) return;
  countLatched = true;
  latchedCount = value(tick);
}

void Pit::Counter::latchStatus(uint64_t tick) {
  if (statusLatched) return;
  statusLatched = true;
  latchedStatus = static_cast<uint8_t>((output(tick) ? 0x80 : 0) | (awaitsLoad ? 0x40 : 0) |
                                       static_cast<uint8_t>(access) << 4 | mode << 1 | (bcd ? 1 : 0));
}

Pit::Pit(Clock& clock, EdgeLine& irq0) : clock_(clock), irq0_(irq0) {
  counterPorts_.pit_ = controlPort_.pit_ = this;
  counters_[2].gate = false;
  alarm_ = clock.alarm([this] { expired(); });
}

uint64_t Pit::now() {
  const uint64_t tick = ticksOf(clock_.nanoseconds());
  for (Counter& counter : counters_) counter.advance(tick);
  if (nextEdge_ <= tick) {
    irq0_.edge();
    plan(tick);
  }
  return tick;
}

void Pit::plan(uint64_t tick) {
  nextEdge_ = counters_[0].nextRise(tick);
  if (nextEdge_ == kNever) return alarm_->cancel();
  alarm_->at(nanosecondsOf(nextEdge_));
}

void Pit::expired() {
  const std::lock_guard<std::mutex> lock(mutex_);
  now();
}

void Pit::writeControl(uint8_t value, uint64_t tick) {
  const unsigned select = value >> 6;
  if (select == 3) {  // read-back
    for (unsigned i = 0; i < 3; i++) {
      if ((value & 2u << i) == 0) continue;
      if ((value & 0x10) == 0) counters_[i].latchStatus(tick);
      if ((value & 0x20) == 0) counters_[i].latchCount(tick);
    }
    return;
  }
  Counter& counter = counters_[select];
  if (static_cast<Access>(value >> 4 & 3) == Access::latch) return counter.latchCount(tick);
  counter.program(value);
  if (select != 0) return;
  if (counter.mode == 0) irq0_.set(false);
  plan(tick);
}

void Pit::Counter::visit(state::Archive& archive) {
  archive.atMost(mode, uint8_t{5});
  archive.within(access, Access::latch, Access::both);
  for (bool* field : {&bcd, &gate, &awaitsLoad, &loaded, &writeHigh, &readHigh, &countLatched, &statusLatched}) {
    archive.value(*field);
  }
  archive.atMost(initial, uint32_t{0x10000});
  archive.dueMoment(loadsAt);
  archive.atMost(count, uint32_t{0x10000});
  archive.moment(start);
  archive.dueMoment(stopped);
  archive.value(lowByte);
  archive.value(latchedCount);
  archive.value(latchedStatus);
  archive.check(!loaded || !periodic() || count >= 2, "a periodic counter of the 8254 has no period");
}

void Pit::visit(state::Archive& archive) {
  const std::lock_guard<std::mutex> lock(mutex_);
  archive.section("PIT ", 1);
  for (Counter& counter : counters_) {
    Counter read = counter;
    read.visit(archive);
    if (archive.reads() && !archive.failed()) counter = read;
  }
  archive.dueMoment(nextEdge_);
  archive.bits(control_, uint8_t{0x0f});
  devices::visit(archive, *alarm_);
}

bus::Answer Pit::CounterPorts::read(uint64_t offset, unsigned size, uint64_t& value) {
  const std::lock_guard<std::mutex> lock(pit_->mutex_);
  const uint64_t tick = pit_->now();
  value = ~uint64_t{0};
  for (unsigned i = 0; i < size && offset + i < 3; i++) {
    const uint8_t byte = pit_->counters_[offset + i].readByte(tick);
    value = (value & ~(uint64_t{0xff} << (8 * i))) | uint64_t{byte} << (8 * i);
  }
  return bus::Answer::done;
}

bus::Answer Pit::CounterPorts::write(uint64_t offset, unsigned size, uint64_t value) {
  const std::lock_guard<std::mutex> lock(pit_->mutex_);
  const uint64_t tick = pit_->now();
  for (unsigned i = 0; i < size && offset + i < 4; i++) {
    const auto byte = static_cast<uint8_t>(value >> (8 * i));
    if (offset + i == 3) {
      pit_->writeControl(byte, tick);
      continue;
    }
    Counter& counter = pit_->counters_[offset + i];
    counter.writeByte(byte, tick);
    if (offset + i != 0) continue;
    if (counter.mode == 0) pit_->irq0_.set(false);
    pit_->plan(tick);
  }
  return bus::Answer::done;
}

bus::Answer Pit::ControlPort::read(uint64_t offset, unsigned, uint64_t& value) {
  const std::lock_guard<std::mutex> lock(pit_->mutex_);
  const uint64_t tick = pit_->now();
  value = ~uint64_t{0};
  if (offset != 0) return bus::Answer::done;
  const uint64_t refresh = tick / kTicksPerRefresh & 1;
  const uint64_t out2 = pit_->counters_[2].output(tick) ? 1 : 0;
  value = ~uint64_t{0xff} | out2 << 5 | refresh << 4 | pit_->control_;
  return bus::Answer::done;
}

bus::Answer Pit::ControlPort::write(uint64_t offset, unsigned, uint64_t value) {
  const std::lock_guard<std::mutex> lock(pit_->mutex_);
  if (offset != 0) return bus::Answer::done;
  pit_->counters_[2].setGate((value & 1) != 0, pit_->now());
  pit_->control_ = value & 0x0f;
  return bus::Answer::done;
}

}  // namespace vtkit::devices
