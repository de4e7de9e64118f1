// The PC's 8254 timer (Intel 8254 data sheet).
#include "devices/pit.h"

namespace vtkit::devices {

namespace {

constexpr uint64_t kNanosecondsPerSecond = 1000000000;

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

uint64_t nanosecondsOf(uint64_t ticks) {
  return ticks / Pit::kHertz * kNanosecondsPerSecond +
         (ticks % Pit::kHertz * kNanosecondsPerSecond + Pit::kHertz - 1) / Pit::kHertz;
}

}  // namespace

Pit::Pit(Clock& clock, bus::Line& irq0) : clock_(clock), irq0_(irq0) {
  counterPorts_.pit_ = controlPort_.pit_ = this;
  counters_[2].gate = false;
  alarm_ = std::make_unique<ThreadAlarm>(clock, [this] { expired(); });
}

uint64_t Pit::tick() const { return ticksOf(clock_.nanoseconds()); }

bool Pit::Counter::output(uint64_t tick) const {
  const uint64_t elapsed = tick - start;
  switch (mode) {
    case 0:
      return loaded && elapsed >= reload;
    case 1:
      return !armed || elapsed >= reload;
    case 2:
      return !loaded || !gate || elapsed % reload != reload - 1;
    case 3:
      return !loaded || !gate || elapsed % reload < (reload + 1) / 2;
    default:
      return !loaded || elapsed != reload;  // 4 and 5: one tick low
  }
}

uint16_t Pit::Counter::count(uint64_t tick) const {
  const uint32_t modulus = bcd ? 10000 : 0x10000;
  const uint64_t elapsed = tick - start;
  uint64_t value;
  if (!loaded) {
    value = 0;
  } else if (mode == 2) {
    value = reload - elapsed % reload;
  } else if (mode == 3) {
    value = (reload - elapsed * 2 % reload) & ~uint64_t{1};
  } else {
    value = (reload + modulus - elapsed % modulus) % modulus;
  }
  const auto plain = static_cast<uint32_t>(value % modulus);
  return bcd ? toBcd(plain) : static_cast<uint16_t>(plain);
}

uint8_t Pit::readCounter(Counter& counter) {
  if (counter.statusLatched) {
    counter.statusLatched = false;
    return counter.latchedStatus;
  }
  const uint16_t value = counter.countLatched ? counter.latchedCount : counter.count(tick());
  const bool high = counter.access == Access::high || (counter.access == Access::both && counter.readHigh);
  if (counter.access == Access::both) counter.readHigh = !counter.readHigh;
  if (counter.access != Access::both || !counter.readHigh) counter.countLatched = false;
  return static_cast<uint8_t>(high ? value >> 8 : value);
}

void Pit::writeCounter(Counter& counter, uint8_t value) {
  uint32_t initial;
  if (counter.access == Access::both && !counter.writeHigh) {
    counter.lowByte = value;
    counter.writeHigh = true;
    return;
  }
  if (counter.access == Access::both) {
    initial = static_cast<uint32_t>(value << 8 | counter.lowByte);
    counter.writeHigh = false;
  } else {
    initial = counter.access == Access::high ? static_cast<uint32_t>(value << 8) : value;
  }
  const uint32_t plain = counter.bcd ? fromBcd(initial) : initial;
  counter.reload = plain != 0 ? plain : (counter.bcd ? 10000 : 0x10000);
  if (counter.mode == 2 && counter.reload == 1) counter.reload = 2;  // 1 is illegal in mode 2
  counter.loaded = true;
  counter.start = tick();
  if (&counter == &counters_[0]) schedule();
}

void Pit::writeCommand(uint8_t value) {
  const unsigned select = value >> 6;
  if (select == 3) {  // read-back
    for (unsigned i = 0; i < 3; i++) {
      if ((value & 2u << i) == 0) continue;
      Counter& counter = counters_[i];
      if ((value & 0x10) == 0 && !counter.statusLatched) latchStatus(counter);
      if ((value & 0x20) == 0 && !counter.countLatched) {
        counter.countLatched = true;
        counter.latchedCount = counter.count(tick());
      }
    }
    return;
  }
  Counter& counter = counters_[select];
  const auto access = static_cast<Access>(value >> 4 & 3);
  if (access == Access::latch) {
    if (!counter.countLatched) {
      counter.countLatched = true;
      counter.latchedCount = counter.count(tick());
    }
    return;
  }
  const bool gate = counter.gate;
  counter = Counter();
  counter.gate = gate;
  counter.access = access;
  counter.mode = static_cast<uint8_t>(value >> 1 & 7);
  if (counter.mode > 5) counter.mode = static_cast<uint8_t>(counter.mode - 4);  // the high bit is ignored there
  counter.bcd = (value & 1) != 0;
  if (select == 0) {
    alarm_->cancel();
    irq0_.set(counter.mode != 0);
  }
}

void Pit::latchStatus(Counter& counter) {
  counter.statusLatched = true;
  counter.latchedStatus =
      static_cast<uint8_t>((counter.output(tick()) ? 0x80 : 0) | (counter.loaded ? 0 : 0x40) |
                           static_cast<uint8_t>(counter.access) << 4 | counter.mode << 1 | (counter.bcd ? 1 : 0));
}

void Pit::setGate(Counter& counter, bool gate) {
  if (gate && !counter.gate) {
    counter.start = tick();
    counter.armed = true;
  }
  counter.gate = gate;
}

void Pit::schedule() {
  const Counter& counter = counters_[0];
  if (counter.mode == 1 || counter.mode == 5) return;  // they wait for a gate that a PC does not drive
  irq0_.set(counter.periodic());
  nextEdge_ = counter.start + counter.reload;
  alarm_->at(nanosecondsOf(nextEdge_));
}

void Pit::expired() {
  const std::lock_guard<std::mutex> lock(mutex_);
  const Counter& counter = counters_[0];
  const uint64_t now = tick();
  if (!counter.loaded || now < nextEdge_) return;  // reprogrammed meanwhile
  irq0_.set(false);
  irq0_.set(true);
  if (!counter.periodic()) return;
  nextEdge_ += ((now - nextEdge_) / counter.reload + 1) * counter.reload;
  alarm_->at(nanosecondsOf(nextEdge_));
}

bus::Answer Pit::CounterPorts::read(uint64_t offset, unsigned size, uint64_t& value) {
  const std::lock_guard<std::mutex> lock(pit_->mutex_);
  value = ~uint64_t{0};
  for (unsigned i = 0; i < size && offset + i < 3; i++) {
    const uint8_t byte = pit_->readCounter(pit_->counters_[offset + i]);
    value = (value & ~(uint64_t{0xff} << (8 * i))) | uint64_t{byte} << (8 * i);
  }
  return bus::Answer::done;
}

bus::Answer Pit::CounterPorts::write(uint64_t offset, unsigned size, uint64_t value) {
  const std::lock_guard<std::mutex> lock(pit_->mutex_);
  for (unsigned i = 0; i < size && offset + i < 4; i++) {
    const auto byte = static_cast<uint8_t>(value >> (8 * i));
    if (offset + i == 3) {
      pit_->writeCommand(byte);
    } else {
      pit_->writeCounter(pit_->counters_[offset + i], byte);
    }
  }
  return bus::Answer::done;
}

bus::Answer Pit::ControlPort::read(uint64_t, unsigned, uint64_t& value) {
  const std::lock_guard<std::mutex> lock(pit_->mutex_);
  const Counter& counter = pit_->counters_[2];
  pit_->refresh_ ^= 0x10;
  value = ~uint64_t{0xff} | (counter.gate ? 1u : 0u) | (pit_->speaker_ ? 2u : 0u) | pit_->refresh_ |
          (counter.output(pit_->tick()) ? 0x20u : 0u);
  return bus::Answer::done;
}

bus::Answer Pit::ControlPort::write(uint64_t, unsigned, uint64_t value) {
  const std::lock_guard<std::mutex> lock(pit_->mutex_);
  pit_->setGate(pit_->counters_[2], (value & 1) != 0);
  pit_->speaker_ = (value & 2) != 0;
  return bus::Answer::done;
}

}  // namespace vtkit::devices
