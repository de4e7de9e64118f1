// Time that follows the processors: alarms end turns, and idle processors jump to them.
#include "emulator/virtual-clock.h"

#include "test/native/check.h"

using namespace vtkit;
using emulator::Rounds;
using emulator::Turn;
using emulator::VirtualClock;

namespace {

/** A processor that runs to the end of each turn, or is idle, until it has had enough turns. */
struct Player final : emulator::Member {
  Player(bool idle, unsigned turns) : idle(idle), left(turns) {}
  unsigned index() const override { return 0; }
  Turn turn(uint64_t start, const uint64_t& end, uint64_t&) override {
    starts.push_back(start);
    ticks = start;
    if (inTurn) inTurn();
    ticks = end;
    if (--left == 0) return Turn::ended;
    return idle ? Turn::idle : Turn::busy;
  }
  bool stopDead() override { return true; }
  uint64_t tick() const override { return ticks; }
  void look() override { looks++; }

  const bool idle;
  unsigned left, looks = 0;
  uint64_t ticks = 0;
  std::vector<uint64_t> starts;
  std::function<void()> inTurn;
};

}  // namespace

TEST("a turn ends where an alarm rings, and time is the tick of who runs") {
  Rounds rounds;
  VirtualClock clock(rounds);
  std::vector<uint64_t> rang;
  const auto alarm = clock.alarm([&] { rang.push_back(clock.nanoseconds()); });
  alarm->at(5000);
  Player player(false, 3);
  rounds.run(player);
  CHECK_EQUAL(rang.size(), 1u);
  CHECK_EQUAL(rang[0], 5000u);
  CHECK_EQUAL(player.starts[1], 5000u);
  CHECK_EQUAL(player.starts[2], 5000 + Rounds::kAlone);
  clock.detach();
}

TEST("an alarm that is asked for in a turn shortens it") {
  Rounds rounds;
  VirtualClock clock(rounds);
  unsigned rang = 0;
  const auto alarm = clock.alarm([&] { rang++; });
  Player player(false, 2);
  player.inTurn = [&] {
    player.ticks = 300;
    if (player.left == 2) alarm->at(700);
  };
  rounds.run(player);
  CHECK_EQUAL(player.looks, 1u);
  CHECK_EQUAL(player.starts[1], 700u);
  CHECK_EQUAL(rang, 1u);
  clock.detach();
}

TEST("idle processors jump to an alarm, and none rings that was called off") {
  Rounds rounds;
  VirtualClock clock(rounds);
  unsigned rang = 0, never = 0;
  const auto alarm = clock.alarm([&] { rang++; });
  const auto other = clock.alarm([&] { never++; });
  alarm->at(50 * Rounds::kAlone);
  other->at(7);
  other->cancel();
  Player player(true, 2);
  rounds.run(player);
  CHECK_EQUAL(player.starts[1], 50 * Rounds::kAlone);
  CHECK_EQUAL(rang, 1u);
  CHECK_EQUAL(never, 0u);
  clock.detach();
}
