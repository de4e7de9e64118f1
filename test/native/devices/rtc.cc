// The clock and the power management of the PC, at moments that the tests choose.
#include "devices/rtc.h"

#include "devices/power-management.h"
#include "test/native/devices/fixtures.h"
#include "test/native/devices/hand-clock.h"

using namespace vtkit;
using namespace vtkit::test;

namespace {

constexpr uint64_t kMillisecond = 1000000, kSecond = 1000 * kMillisecond;
constexpr int64_t kFebruary2000 = 951782399;  // 2000-02-28 23:59:59, a Monday

struct Pc {
  static devices::Rtc::Contents battery() {
    devices::Rtc::Contents contents = {};
    contents[0x0a] = 0x26;
    contents[0x0b] = 0x02;
    return contents;
  }
  uint8_t get(uint8_t number) {
    rtc.write(0, 1, number);
    return static_cast<uint8_t>(readFrom(rtc, 1, 1));
  }
  void set(uint8_t number, uint8_t value) {
    rtc.write(0, 1, number);
    rtc.write(1, 1, value);
  }
  /** Year, month, day, hour, minute, second as they stand in the registers. */
  uint64_t time() {
    uint64_t all = get(50);
    for (const uint8_t number : {9, 8, 7, 4, 2, 0}) all = all << 8 | get(number);
    return all;
  }

  HandClock clock;
  FakeLine irq8, sci;
  devices::PowerManagement power{clock, sci};
  devices::Rtc rtc{clock, irq8, battery(), kFebruary2000};
};

}  // namespace

TEST("the clock counts through a leap day, in BCD and in binary, to 24 and to 12") {
  Pc pc;
  CHECK_EQUAL(pc.time(), 0x20000228235959u);
  CHECK_EQUAL(pc.get(6), 2u);
  pc.clock.goTo(kSecond);
  CHECK_EQUAL(pc.time(), 0x20000229000000u);
  CHECK_EQUAL(pc.get(6), 3u);
  pc.clock.goTo(86401 * kSecond);
  CHECK_EQUAL(pc.time(), 0x20000301000000u);
  pc.set(0x0b, 0x04);  // binary, and hours to 12
  pc.clock.goTo((86401 + 13 * 3600) * kSecond);
  CHECK_EQUAL(pc.get(4), 0x81u);  // one in the afternoon
  pc.clock.goTo((86401 + 24 * 3600 + 59) * kSecond);
  CHECK_EQUAL(pc.get(4), 12u);
  CHECK_EQUAL(pc.get(0), 59u);
}

TEST("the time stands while it is set, and goes on from what was written") {
  Pc pc;
  pc.set(0x0b, 0x82);
  pc.clock.goTo(10 * kSecond);
  CHECK_EQUAL(pc.time(), 0x20000228235959u);
  const uint8_t written[][2] = {{50, 0x19}, {9, 0x99}, {8, 0x12}, {7, 0x31}, {4, 0x23}, {2, 0x59}, {0, 0x58}};
  for (const auto& pair : written) pc.set(pair[0], pair[1]);
  pc.set(0x0b, 0x02);
  CHECK_EQUAL(pc.time(), 0x19991231235958u);
  pc.clock.goTo(12 * kSecond);
  CHECK_EQUAL(pc.time(), 0x20000101000000u);
}

TEST("a divider that was reset makes the first update half a second later") {
  Pc pc;
  pc.clock.goTo(100 * kMillisecond);
  pc.set(0x0a, 0x76);
  pc.clock.goTo(5 * kSecond);
  CHECK_EQUAL(pc.get(0), 0x59u);
  pc.set(0x0a, 0x26);
  pc.clock.goTo(5 * kSecond + 499 * kMillisecond);
  CHECK_EQUAL(pc.get(0), 0x59u);
  pc.clock.goTo(5 * kSecond + 500 * kMillisecond);
  CHECK_EQUAL(pc.get(0), 0x00u);
}

TEST("UIP announces an update for 244 microseconds") {
  Pc pc;
  pc.clock.goTo(kSecond - 244001);
  CHECK_EQUAL(pc.get(0x0a), 0x26u);
  pc.clock.goTo(kSecond - 244000);
  CHECK_EQUAL(pc.get(0x0a), 0xa6u);
  pc.clock.goTo(kSecond);
  CHECK_EQUAL(pc.get(0x0a), 0x26u);
}

TEST("the periodic interrupt comes at its rate, once until register C is read") {
  Pc pc;
  pc.set(0x0b, 0x42);  // 1,024 Hz
  for (int i = 1; i <= 1024; i++) {
    pc.clock.goTo(kSecond * static_cast<uint64_t>(i) / 1024 + 1);
    CHECK_EQUAL(pc.irq8.rises, i);
    CHECK_EQUAL(pc.get(0x0c) & 0xc0, 0xc0);
    CHECK_EQUAL(pc.irq8.level, false);
  }
  pc.clock.goTo(10 * kSecond);
  CHECK_EQUAL(pc.irq8.rises, 1025);
  CHECK_EQUAL(pc.clock.rung, 1025);
}

TEST("the update interrupt comes each second, and flags rise without being enabled") {
  Pc pc;
  pc.clock.goTo(kSecond);
  CHECK_EQUAL(pc.get(0x0c) & 0x90, 0x10);
  pc.set(0x0b, 0x12);
  pc.clock.goTo(2 * kSecond);
  CHECK_EQUAL(pc.irq8.rises, 1);
  CHECK_EQUAL(pc.get(0x0c) & 0x90, 0x90);
  CHECK_EQUAL(pc.get(0x0c), 0u);
}

TEST("the alarm comes when it matches, and any value may be meant") {
  Pc pc;
  pc.set(1, 0x05), pc.set(3, 0x00), pc.set(5, 0x06);
  pc.set(0x0b, 0x22);
  CHECK_EQUAL(pc.rtc.nextAlarm(), (1 + 6 * 3600 + 5) * kSecond);
  pc.clock.goTo(7 * 3600 * kSecond);
  CHECK_EQUAL(pc.irq8.rises, 1);
  CHECK_EQUAL(pc.clock.rung, 1);
  CHECK_EQUAL(pc.get(0x0c) & 0xa0, 0xa0);
  pc.set(3, 0xff), pc.set(5, 0xc0);  // each minute
  pc.clock.goTo(7 * 3600 * kSecond + 6 * kSecond);
  CHECK_EQUAL(pc.get(0x0c) & 0xa0, 0xa0);
  CHECK_EQUAL(pc.rtc.nextAlarm(), (7 * 3600 + 66) * kSecond);
  pc.set(1, 0x61);  // never
  CHECK_EQUAL(pc.rtc.nextAlarm(), devices::Rtc::kNever);
}

TEST("an alarm wakes a machine that has enabled it") {
  Pc pc;
  pc.rtc.onAlarm([&] { pc.power.clockAlarm(); });
  for (const uint8_t number : {1, 3, 5}) pc.set(number, 0xc0);
  pc.set(0x0b, 0x22);
  const auto wake = [&] { return pc.power.wakeMoment(pc.clock.now, pc.rtc.nextAlarm()); };
  CHECK_EQUAL(wake(), devices::Rtc::kNever);
  pc.power.write(2, 2, 0x400);  // RTC_EN
  CHECK_EQUAL(wake(), kSecond);
  pc.clock.goTo(kSecond);
  CHECK_EQUAL(wake(), kSecond);
  CHECK_EQUAL(pc.sci.level, true);
  pc.power.woke();
  CHECK_EQUAL(readFrom(pc.power, 0, 2), 0x8400u);
  pc.power.write(0, 2, 0x8400);
  CHECK_EQUAL(readFrom(pc.power, 0, 2), 0u);
  CHECK_EQUAL(pc.sci.level, false);
}

TEST("the timer of the power management counts, and says when its highest bit changes") {
  Pc pc;
  pc.clock.goTo(kSecond);
  CHECK_EQUAL(readFrom(pc.power, 8, 4), 3579545u);
  pc.power.write(2, 2, 0x0001);
  pc.clock.goTo(599 * kSecond);
  CHECK_EQUAL(pc.sci.rises, 0);
  pc.clock.goTo(600 * kSecond);
  CHECK_EQUAL(pc.sci.rises, 1);
  CHECK_EQUAL(readFrom(pc.power, 0, 2), 1u);
  pc.clock.goTo(2000 * kSecond);
  CHECK_EQUAL(readFrom(pc.power, 8, 4), 2000 * uint64_t{3579545} % (uint64_t{1} << 32));
}

TEST("a write of SLP_EN is for somebody outside") {
  Pc pc;
  CHECK_EQUAL(static_cast<int>(pc.power.write(4, 2, 0x0400)), static_cast<int>(bus::Answer::done));
  CHECK_EQUAL(static_cast<int>(pc.power.write(4, 2, 0x2400)), static_cast<int>(bus::Answer::exit));
  CHECK_EQUAL(static_cast<int>(pc.power.write(5, 1, 0x24)), static_cast<int>(bus::Answer::exit));
  CHECK_EQUAL(readFrom(pc.power, 4, 2), 1u);
}

TEST("clock and power management stand a million random accesses at random moments") {
  std::mt19937_64 random(4);
  Pc pc;
  pc.rtc.onAlarm([&] { pc.power.clockAlarm(); });
  for (int i = 0; i < 1000000; i++) {
    if (i % 16 == 0) pc.clock.goTo(pc.clock.now + random() % (random() % 64 == 0 ? 100 * kSecond : kMillisecond));
    if (i % 4 == 0) pc.rtc.write(0, 1, random() % 16);
    if (i % 5 == 0) {
      accessAnyhow(random, pc.power, devices::PowerManagement::kPorts);
    } else {
      accessAnyhow(random, pc.rtc, devices::Rtc::kPorts);
    }
    if (i % 64 == 0) pc.power.wakeMoment(pc.clock.now, pc.rtc.nextAlarm());
  }
  CHECK_EQUAL(pc.clock.now > 0, true);
}
