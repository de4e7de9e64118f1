// Processors that take turns: order, idle time, and how a run ends.
#include "emulator/rounds.h"

#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <thread>

#include "test/native/check.h"

using namespace vtkit;
using namespace vtkit::test;
using emulator::Rounds;
using emulator::Turn;

namespace {

struct Player final : emulator::Member {
  using Play = std::function<Turn(uint64_t start, uint64_t end, uint64_t& until)>;
  Player(unsigned number, Play play) : number(number), play(std::move(play)) {}
  unsigned index() const override { return number; }
  Turn turn(uint64_t start, const uint64_t& end, uint64_t& until) override { return play(start, end, until); }
  bool stopDead() override { return number == 0; }
  uint64_t tick() const override { return ticks; }
  void look() override { looks++; }
  const unsigned number;
  const Play play;
  uint64_t ticks = 0;
  unsigned looks = 0;
};

}  // namespace

TEST("members take turns by index, each over the same time") {
  Rounds rounds;
  std::string order;
  uint64_t starts[2] = {}, ends[2] = {};
  bool here[2] = {};
  const auto player = [&](unsigned number) {
    return Player(number, [&, number](uint64_t start, uint64_t end, uint64_t&) {
      here[number] = true;
      if (!here[0] || !here[1]) return Turn::busy;
      order += static_cast<char>('0' + number);
      starts[number] = start, ends[number] = end;
      return order.size() >= 8 ? Turn::ended : Turn::busy;
    });
  };
  Player first = player(0), second = player(1);
  std::thread other([&] { rounds.run(second); });
  rounds.run(first);
  other.join();
  CHECK_EQUAL(order.substr(1, 6), order[1] == '0' ? "010101" : "101010");
  CHECK_EQUAL(ends[0] - starts[0] >= Rounds::kSlice, true);
}

TEST("a member that comes late, as on a busy host, is in the first round") {
  Rounds rounds;
  std::string order;
  const auto player = [&](unsigned number) {
    return Player(number, [&, number](uint64_t, uint64_t, uint64_t&) {
      order += static_cast<char>('0' + number);
      return Turn::ended;
    });
  };
  Player first = player(0), second = player(1);
  rounds.expect(), rounds.expect();
  std::atomic<bool> late{false};
  std::thread other([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    late = true;
    rounds.run(second);
  });
  rounds.run(first);
  CHECK_EQUAL(late.load(), true);
  other.join();
  CHECK_EQUAL(order, "01");
}

TEST("time jumps to the next event when all are idle") {
  Rounds rounds;
  uint64_t seen = 0;
  Player one(0, [&](uint64_t start, uint64_t, uint64_t& until) {
    seen = start;
    until = 50000000;
    return start >= until ? Turn::ended : Turn::idle;
  });
  rounds.run(one);
  CHECK_EQUAL(seen, 50000000u);
}

TEST("who waits for something outside goes on when it is woken") {
  Rounds rounds;
  std::atomic<bool> there{false};
  Player one(0, [&](uint64_t, uint64_t, uint64_t&) { return there ? Turn::ended : Turn::idle; });
  std::thread other([&] {
    there = true;
    rounds.wake();
  });
  rounds.run(one);
  other.join();
  CHECK_EQUAL(there.load(), true);
}

TEST("when everybody is dead, the run ends for whoever ends so") {
  Rounds rounds;
  unsigned turns = 0;
  Player one(0, [&](uint64_t, uint64_t, uint64_t&) { return turns++, Turn::dead; });
  rounds.run(one);
  CHECK_EQUAL(turns, 1u);
}
