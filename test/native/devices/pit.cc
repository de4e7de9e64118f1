// The timer, against the 8254 data sheet, with time passed by hand.
#include "devices/pit.h"

#include "test/native/devices/fixtures.h"

using namespace vtkit;
using namespace vtkit::test;
using devices::Alarm;
using devices::Clock;
using devices::Pit;

namespace {

constexpr uint64_t kSecond = 1000000000;

struct FakeClock final : Clock {
  uint64_t nanoseconds() override { return time; }
  uint64_t time = 0;
};

struct FakeAlarm final : Alarm {
  void at(uint64_t nanoseconds) override {
    armed = true;
    deadline = nanoseconds;
  }
  void cancel() override { armed = false; }
  uint64_t due() override { return armed ? deadline : kNever; }
  bool armed = false;
  uint64_t deadline = 0;
};

struct Timer {
  FakeClock clock;
  FakeLine irq0;
  Pit pit{clock, irq0};
  FakeAlarm* alarm = nullptr;
  uint64_t ticks = 0;

  Timer() {
    auto fake = std::make_unique<FakeAlarm>();
    alarm = fake.get();
    pit.setAlarm(std::move(fake));
  }
  /** Lets clock pulses pass, and the alarm ring in time. */
  void pass(uint64_t count) {
    ticks += count;
    const uint64_t target = nanosecondsAt(ticks);
    while (alarm->armed && alarm->deadline <= target) {
      clock.time = alarm->deadline;
      alarm->armed = false;
      pit.expired();
    }
    clock.time = target;
  }
  /** The same, while the host is too late to ring. */
  void passUnheard(uint64_t count) {
    ticks += count;
    clock.time = nanosecondsAt(ticks);
  }
  static uint64_t nanosecondsAt(uint64_t ticks) {
    return static_cast<uint64_t>((static_cast<__uint128_t>(ticks) * kSecond + Pit::kHertz - 1) / Pit::kHertz);
  }

  void control(int word) { pit.counters().write(3, 1, static_cast<uint64_t>(word)); }
  void byte(int counter, int value) {
    pit.counters().write(static_cast<uint64_t>(counter), 1, static_cast<uint64_t>(value));
  }
  void count(int counter, int value) {
    byte(counter, value & 0xff);
    byte(counter, value >> 8);
  }
  /** Programs a counter for low and high byte, and lets the pulse pass that loads it. */
  void start(int counter, int mode, int value) {
    control(counter << 6 | 0x30 | mode << 1);
    count(counter, value);
    pass(1);
  }
  uint64_t readByte(int counter) { return readFrom(pit.counters(), static_cast<uint64_t>(counter), 1); }
  uint64_t readCount(int counter) {
    const uint64_t low = readByte(counter);
    return low | readByte(counter) << 8;
  }
  uint64_t status(int counter) {
    control(0xe0 | 2 << counter);
    return readByte(counter);
  }
  bool out(int counter) { return (status(counter) & 0x80) != 0; }
  void gate2(bool level) { pit.control().write(0, 1, level); }
};

}  // namespace

TEST("mode 0 takes OUT low and raises it N + 1 pulses after the count was written, for good") {
  Timer timer;
  timer.control(0x30);
  CHECK_EQUAL(timer.out(0), false);
  timer.count(0, 4);
  timer.pass(4);
  CHECK_EQUAL(timer.out(0), false);
  CHECK_EQUAL(timer.irq0.rises, 0);
  timer.pass(1);
  CHECK_EQUAL(timer.out(0), true);
  CHECK_EQUAL(timer.irq0.rises, 1);
  timer.pass(200000);
  CHECK_EQUAL(timer.out(0), true);
  CHECK_EQUAL(timer.irq0.rises, 1);
  CHECK_EQUAL(timer.alarm->armed, false);
}

TEST("mode 0 goes on counting down from the top after it ended") {
  Timer timer;
  timer.start(0, 0, 4);
  timer.pass(3);
  CHECK_EQUAL(timer.readCount(0), 1);
  timer.pass(3);
  CHECK_EQUAL(timer.readCount(0), 0xfffe);
}

TEST("mode 0 stops at the first byte of a new count and starts again at the second") {
  Timer timer;
  timer.start(0, 0, 100);
  timer.pass(40);
  timer.byte(0, 8);
  timer.pass(500);
  CHECK_EQUAL(timer.irq0.rises, 0);
  timer.byte(0, 0);
  timer.pass(8);
  CHECK_EQUAL(timer.out(0), false);
  timer.pass(1);
  CHECK_EQUAL(timer.out(0), true);
  CHECK_EQUAL(timer.irq0.rises, 1);
}

TEST("mode 0 withdraws its request when a new count is written") {
  Timer timer;
  timer.start(0, 0, 4);
  timer.pass(4);
  CHECK_EQUAL(timer.irq0.level, true);
  timer.count(0, 4);
  CHECK_EQUAL(timer.irq0.level, false);
  CHECK_EQUAL(timer.out(0), false);
}

TEST("mode 0 stands while the gate is low") {
  Timer timer;
  timer.start(2, 0, 10);
  timer.pass(100);
  CHECK_EQUAL(timer.readCount(2), 10);
  timer.gate2(true);
  timer.pass(4);
  timer.gate2(false);
  timer.pass(100);
  CHECK_EQUAL(timer.readCount(2), 6);
  timer.gate2(true);
  timer.pass(5);
  CHECK_EQUAL(timer.out(2), false);
  timer.pass(1);
  CHECK_EQUAL(timer.out(2), true);
}

TEST("mode 1 gives a pulse of N for each rising gate, begun anew by the next") {
  Timer timer;
  timer.start(2, 1, 5);
  timer.pass(100);
  CHECK_EQUAL(timer.out(2), true);
  timer.gate2(true);
  timer.pass(1);
  CHECK_EQUAL(timer.out(2), false);
  timer.pass(3);
  timer.gate2(false);
  timer.gate2(true);
  timer.pass(5);
  CHECK_EQUAL(timer.out(2), false);
  timer.pass(1);
  CHECK_EQUAL(timer.out(2), true);
}

TEST("mode 2 is low for the last pulse of each period") {
  Timer timer;
  timer.start(0, 2, 3);
  for (int period = 0; period < 3; period++) {
    for (const auto& [count, level] : {std::pair{3, true}, {2, true}, {1, false}}) {
      CHECK_EQUAL(timer.readCount(0), count);
      CHECK_EQUAL(timer.out(0), level);
      timer.pass(1);
    }
    CHECK_EQUAL(timer.irq0.rises, period + 1);
  }
}

TEST("mode 2 takes a new count at the end of the period") {
  Timer timer;
  timer.start(0, 2, 10);
  timer.pass(3);
  timer.count(0, 4);
  CHECK_EQUAL(timer.readCount(0), 7);
  CHECK_EQUAL(timer.status(0) & 0x40, 0x40);
  timer.pass(7);
  CHECK_EQUAL(timer.irq0.rises, 1);
  CHECK_EQUAL(timer.readCount(0), 4);
  CHECK_EQUAL(timer.status(0) & 0x40, 0);
  timer.pass(4);
  CHECK_EQUAL(timer.irq0.rises, 2);
}

TEST("mode 2 holds OUT high while the gate is low, and begins a period when it rises") {
  Timer timer;
  timer.gate2(true);
  timer.start(2, 2, 4);
  timer.pass(3);
  CHECK_EQUAL(timer.out(2), false);
  timer.gate2(false);
  CHECK_EQUAL(timer.out(2), true);
  timer.gate2(true);
  timer.pass(1);
  CHECK_EQUAL(timer.readCount(2), 4);
}

TEST("mode 3 halves an even count: high, then low, each counted down by twos") {
  Timer timer;
  timer.start(0, 3, 4);
  for (int period = 0; period < 2; period++) {
    for (const auto& [count, level] : {std::pair{4, true}, {2, true}, {4, false}, {2, false}}) {
      CHECK_EQUAL(timer.readCount(0), count);
      CHECK_EQUAL(timer.out(0), level);
      timer.pass(1);
    }
    CHECK_EQUAL(timer.irq0.rises, period + 1);
  }
}

TEST("mode 3 is high for one pulse more than low with an odd count") {
  Timer timer;
  timer.start(0, 3, 5);
  for (const auto& [count, level] : {std::pair{4, true}, {2, true}, {0, true}, {4, false}, {2, false}, {4, true}}) {
    CHECK_EQUAL(timer.readCount(0), count);
    CHECK_EQUAL(timer.out(0), level);
    timer.pass(1);
  }
}

TEST("mode 3 takes a new count at the end of the half period") {
  Timer timer;
  timer.start(0, 3, 8);
  timer.pass(2);
  timer.count(0, 4);
  for (const auto& [count, level] :
       {std::pair{4, true}, {2, true}, {4, false}, {2, false}, {4, true}, {2, true}, {4, false}}) {
    CHECK_EQUAL(timer.readCount(0), count);
    CHECK_EQUAL(timer.out(0), level);
    timer.pass(1);
  }
  CHECK_EQUAL(timer.irq0.rises, 1);
}

TEST("mode 4 strobes low for one pulse, N + 1 pulses after the write, once") {
  Timer timer;
  timer.start(0, 4, 3);
  CHECK_EQUAL(timer.out(0), true);
  timer.pass(3);
  CHECK_EQUAL(timer.out(0), false);
  CHECK_EQUAL(timer.irq0.rises, 0);
  timer.pass(1);
  CHECK_EQUAL(timer.out(0), true);
  CHECK_EQUAL(timer.irq0.rises, 1);
  timer.pass(200000);
  CHECK_EQUAL(timer.irq0.rises, 1);
}

TEST("mode 5 strobes after a rising gate") {
  Timer timer;
  timer.start(2, 5, 3);
  timer.pass(50);
  timer.gate2(true);
  timer.pass(3);
  CHECK_EQUAL(timer.out(2), true);
  timer.pass(1);
  CHECK_EQUAL(timer.out(2), false);
  timer.pass(1);
  CHECK_EQUAL(timer.out(2), true);
}

TEST("counts in decimal when asked to") {
  Timer timer;
  timer.control(0x35);
  timer.count(0, 0x1000);
  timer.pass(2);
  CHECK_EQUAL(timer.readCount(0), 0x0999);
  timer.control(0x35);
  timer.count(0, 0);  // ten thousand
  timer.pass(2);
  CHECK_EQUAL(timer.readCount(0), 0x9999);
}

TEST("takes a count of zero as 65536") {
  Timer timer;
  timer.start(0, 2, 0);
  CHECK_EQUAL(timer.readCount(0), 0);
  timer.pass(65535);
  CHECK_EQUAL(timer.readCount(0), 1);
  CHECK_EQUAL(timer.irq0.rises, 0);
  timer.pass(1);
  CHECK_EQUAL(timer.irq0.rises, 1);
}

TEST("reads and writes only the half that the control word chose") {
  Timer timer;
  timer.control(0x14);
  timer.byte(0, 0x80);
  timer.pass(1);
  CHECK_EQUAL(timer.readByte(0), 0x80);
  CHECK_EQUAL(timer.readByte(0), 0x80);
  timer.control(0x24);
  timer.byte(0, 0x12);
  timer.pass(1);
  CHECK_EQUAL(timer.readByte(0), 0x12);
}

TEST("holds a latched count until it is read, against later latches") {
  Timer timer;
  timer.start(0, 2, 0x1234);
  timer.control(0x00);
  timer.pass(5);
  timer.control(0x00);
  CHECK_EQUAL(timer.readByte(0), 0x34);
  timer.pass(5);
  CHECK_EQUAL(timer.readByte(0), 0x12);
  CHECK_EQUAL(timer.readCount(0), 0x1234 - 10);
}

TEST("latches status and counts of several counters by one read-back, status read first") {
  Timer timer;
  timer.start(0, 2, 1000);
  timer.start(1, 3, 500);
  timer.pass(9);
  timer.control(0xc6);  // count and status of counters 0 and 1
  timer.pass(50);
  CHECK_EQUAL(timer.readByte(0), 0x80 | 0x30 | 2 << 1);
  CHECK_EQUAL(timer.readCount(0), 990);
  CHECK_EQUAL(timer.readByte(1), 0x80 | 0x30 | 3 << 1);
  CHECK_EQUAL(timer.readCount(1), 482);
}

TEST("shows the null count from the control word until the count is loaded") {
  Timer timer;
  timer.control(0x34);
  CHECK_EQUAL(timer.status(0) & 0x40, 0x40);
  timer.count(0, 100);
  CHECK_EQUAL(timer.status(0) & 0x40, 0x40);
  timer.pass(1);
  CHECK_EQUAL(timer.status(0) & 0x40, 0);
}

TEST("gives exactly as many edges in a day as periods fit") {
  Timer timer;
  timer.start(0, 2, 65536);
  timer.pass(86400 * Pit::kHertz);
  CHECK_EQUAL(timer.irq0.rises, 86400 * Pit::kHertz / 65536);
  CHECK_EQUAL(timer.readCount(0), 65536 - 86400 * Pit::kHertz % 65536);
}

TEST("gives one edge for all periods that were missed, and the next on time") {
  Timer timer;
  timer.start(0, 2, 1000);
  timer.passUnheard(7300);
  timer.pit.expired();
  CHECK_EQUAL(timer.irq0.rises, 1);
  CHECK_EQUAL(timer.alarm->deadline, Timer::nanosecondsAt(1 + 8000));
  timer.pass(700);
  CHECK_EQUAL(timer.irq0.rises, 2);
}

TEST("gives a due edge at the guest's next access when the alarm is late") {
  Timer timer;
  timer.start(0, 0, 10);
  timer.passUnheard(10);
  CHECK_EQUAL(timer.readCount(0), 0);
  CHECK_EQUAL(timer.irq0.rises, 1);
  timer.pit.expired();
  CHECK_EQUAL(timer.irq0.rises, 1);
}

TEST("shows the speaker's gate and data, OUT2 and the refresh toggle in port 0x61") {
  Timer timer;
  bus::Device& port = timer.pit.control();
  port.write(0, 1, 0xff);
  CHECK_EQUAL(readFrom(port, 0, 1) & 0x0f, 0x0f);
  port.write(0, 1, 0x01);
  timer.start(2, 0, 20);
  CHECK_EQUAL(readFrom(port, 0, 1) & 0x23, 0x01);
  timer.pass(20);
  CHECK_EQUAL(readFrom(port, 0, 1) & 0x23, 0x21);
  const uint64_t before = readFrom(port, 0, 1) & 0x10;
  timer.pass(18);  // 15 microseconds
  CHECK_EQUAL(readFrom(port, 0, 1) & 0x10, before ^ 0x10);
  CHECK_EQUAL(readFrom(port, 0, 4), 0xffff'ff00u | (readFrom(port, 0, 1) & 0xff));
}

TEST("reads all ones from the control word's port and takes wide accesses as bytes") {
  Timer timer;
  CHECK_EQUAL(readFrom(timer.pit.counters(), 3, 1), 0xff);
  timer.control(0x14);
  timer.control(0x54);
  timer.pit.counters().write(0, 2, 0x0908);
  timer.pass(1);
  CHECK_EQUAL(readFrom(timer.pit.counters(), 0, 2), 0x0908);
}
