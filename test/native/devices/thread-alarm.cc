// The timer in real time: a thread rings its alarm.
#include "devices/thread-alarm.h"
#include "devices/pit.h"

#include <atomic>
#include <chrono>
#include <thread>

#include "test/native/devices/fixtures.h"

using namespace vtkit;
using namespace vtkit::test;
using devices::Clock;
using devices::Pit;

namespace {

struct RealClock final : Clock {
  uint64_t nanoseconds() override {
    return static_cast<uint64_t>((std::chrono::steady_clock::now() - begin) / std::chrono::nanoseconds(1));
  }
  const std::chrono::steady_clock::time_point begin = std::chrono::steady_clock::now();
};

struct CountingLine final : devices::EdgeLine {
  void set(bool) override {}
  void edge() override { edges++; }
  std::atomic<int> edges{0};
};

}  // namespace

TEST("ticks in real time") {
  RealClock clock;
  CountingLine line;
  Pit pit(clock, line);
  pit.counters().write(3, 1, 0x34);
  pit.counters().write(0, 1, 11932 & 0xff);  // 100 Hz
  pit.counters().write(0, 1, 11932 >> 8);
  // A busy host lets the thread sleep longer, and edges that were missed do not come together.
  while (line.edges.load() < 5 && clock.nanoseconds() < 30'000'000'000) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  const auto edges = static_cast<uint64_t>(line.edges.load());
  CHECK_EQUAL(edges >= 5, true);
  CHECK_EQUAL(edges <= clock.nanoseconds() / 10'000'000, true);
}

TEST("rings no more often than its shortest gap allows, whatever is asked of it") {
  RealClock clock;
  std::atomic<uint64_t> rings{0};
  std::atomic<devices::ThreadAlarm*> self{nullptr};
  devices::ThreadAlarm alarm(clock, [&] {
    rings++;
    self.load()->at(0);
  });
  self.store(&alarm);
  alarm.at(0);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  while (rings.load() == 0 && clock.nanoseconds() < 30'000'000'000) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  const uint64_t rang = rings.load();
  CHECK_EQUAL(rang >= 1, true);
  CHECK_EQUAL(rang <= clock.nanoseconds() / devices::ThreadAlarm::kShortestGap + 1, true);
}

TEST("ends at any moment of its alarm") {
  RealClock clock;
  for (int i = 0; i < 200; i++) {
    CountingLine line;
    Pit pit(clock, line);
    pit.counters().write(3, 1, 0x14);
    pit.counters().write(0, 1, 0x50);
    if (i % 3 == 0) std::this_thread::sleep_for(std::chrono::microseconds(i));
    if (i % 2 == 0) pit.counters().write(3, 1, 0x30);
  }
}
