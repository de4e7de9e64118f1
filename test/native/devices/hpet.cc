// The timers of high precision, at moments that the tests choose.
#include "devices/hpet.h"

#include "test/native/devices/fixtures.h"
#include "test/native/devices/hand-clock.h"

using namespace vtkit;
using namespace vtkit::test;

namespace {

constexpr uint64_t kMillisecond = 1000000, kTicks = 100000;  // a millisecond in ticks

struct Pc {
  uint64_t get(uint64_t offset) { return readFrom(hpet, offset, 8); }
  void set(uint64_t offset, uint64_t value) { hpet.write(offset, 8, value); }

  HandClock clock;
  FakeLine irq0, irq8, pins[24];
  devices::GatedLine gate0{irq0}, gate8{irq8};
  devices::Hpet hpet{clock, [this](unsigned number) -> devices::EdgeLine& { return pins[number]; }, gate0, gate8};
};

constexpr uint64_t kEnable = 1, kLegacy = 2, kLevel = 2, kInterrupts = 4, kPeriodic = 8, kSetsValue = 64, kNarrow = 256;
constexpr uint64_t timer(unsigned number) { return 0x100 + 0x20 * number; }
constexpr uint64_t comparator(unsigned number) { return timer(number) + 8; }

}  // namespace

TEST("the counter runs at 100 MHz while it is enabled, and can be set") {
  Pc pc;
  CHECK_EQUAL(pc.get(0), 0x989680'8086a201u);
  pc.clock.goTo(5 * kMillisecond);
  CHECK_EQUAL(pc.get(0xf0), 0u);
  pc.set(0x10, kEnable);
  pc.clock.goTo(6 * kMillisecond);
  CHECK_EQUAL(pc.get(0xf0), kTicks);
  CHECK_EQUAL(readFrom(pc.hpet, 0xf2, 2), kTicks >> 16);
  pc.set(0x10, 0);
  pc.clock.goTo(7 * kMillisecond);
  CHECK_EQUAL(pc.get(0xf0), kTicks);
  pc.set(0xf0, 0x1'0000'0000);
  pc.set(0x10, kEnable);
  pc.clock.goTo(8 * kMillisecond);
  CHECK_EQUAL(pc.get(0xf0), 0x1'0000'0000 + kTicks);
}

TEST("a timer takes the place of the 8254, once or periodically") {
  Pc pc;
  pc.gate0.edge();
  CHECK_EQUAL(pc.irq0.rises, 1);
  pc.set(0x10, kEnable | kLegacy);
  pc.gate0.edge();
  CHECK_EQUAL(pc.irq0.rises, 1);
  pc.set(timer(0), kInterrupts);
  pc.set(comparator(0), kTicks);
  pc.clock.goTo(10 * kMillisecond);
  CHECK_EQUAL(pc.irq0.rises, 2);
  pc.set(timer(0), kInterrupts | kPeriodic | kSetsValue);
  pc.set(comparator(0), 11 * kTicks);
  pc.set(comparator(0), 2 * kTicks);
  pc.clock.goTo(20 * kMillisecond);
  CHECK_EQUAL(pc.irq0.rises, 2 + 5);  // at 11, 13 to 19
  CHECK_EQUAL(pc.get(comparator(0)), 21 * kTicks);
  pc.set(timer(1), kInterrupts);
  pc.set(comparator(1), 20 * kTicks + 1);
  pc.clock.goTo(20 * kMillisecond + 1000);  // the next look is a microsecond away at least
  CHECK_EQUAL(pc.irq8.rises, 1);
  pc.set(0x10, kEnable);
  pc.gate8.edge();
  CHECK_EQUAL(pc.irq8.rises, 2);
}

TEST("a level stays until its status is cleared, at the pin that was chosen") {
  Pc pc;
  pc.set(0x10, kEnable);
  pc.set(timer(2), kInterrupts | kLevel | 22 << 9);
  CHECK_EQUAL(pc.get(timer(2)) >> 9 & 31, 22u);
  pc.set(comparator(2), 5);
  pc.clock.goTo(kMillisecond);
  CHECK_EQUAL(pc.pins[22].level, true);
  CHECK_EQUAL(pc.get(0x20), 4u);
  pc.set(0x20, 3);
  CHECK_EQUAL(pc.pins[22].level, true);
  pc.set(0x20, 4);
  CHECK_EQUAL(pc.pins[22].level, false);
  pc.set(timer(2), kInterrupts | 5 << 9);  // a pin that it does not reach
  CHECK_EQUAL(pc.get(timer(2)) >> 9 & 31, 0u);
}

TEST("a timer of 32 bits matches again when the counter's low half comes round") {
  Pc pc;
  pc.set(timer(0), kInterrupts | kNarrow | 20 << 9);
  pc.hpet.write(comparator(0), 4, 100);
  pc.set(0x10, kEnable);
  pc.clock.goTo(kMillisecond);
  CHECK_EQUAL(pc.pins[20].rises, 1);
  pc.clock.goTo((uint64_t{1} << 32) * 10 + kMillisecond);
  CHECK_EQUAL(pc.pins[20].rises, 2);
}

TEST("the timers stand a million random accesses at random moments") {
  std::mt19937_64 random(6);
  Pc pc;
  for (int i = 0; i < 1000000; i++) {
    if (i % 16 == 0) pc.clock.goTo(pc.clock.now + random() % kMillisecond);
    if (i % 64 == 0) {  // and a sane setting now and then, but no period so short that the test never ends
      pc.set(timer(0) + 0x20 * (random() % 3), kInterrupts | kPeriodic | kSetsValue | (20 + random() % 4) << 9);
      pc.set(comparator(static_cast<unsigned>(random() % 3)), pc.get(0xf0) + 1000 + random() % kTicks);
      pc.set(0x10, random() & 3);
    }
    accessAnyhow(random, pc.hpet, 0x180);
    pc.hpet.expired();
  }
  CHECK_EQUAL(pc.get(0), 0x989680'8086a201u);
}
