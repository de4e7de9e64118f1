// Several processors that take turns, so that a machine does the same each time.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

namespace vtkit::emulator {

/** What came of a turn. */
enum class Turn {
  busy,   // there is more to do
  idle,   // halted: until its next event, or an interrupt
  dead,   // halted for good: only an NMI, INIT or a startup message would wake it
  ended,  // it leaves: whoever called run() gets it back
};

/** A processor in the rounds. One thread calls at a time, whichever it is. */
class Member {
 public:
  virtual ~Member() = default;
  virtual unsigned index() const = 0;
  /** Runs from one tick to another, which idle time fills up. `until` is the tick of the next event of an idle one. */
  virtual Turn turn(uint64_t start, uint64_t end, uint64_t& until) = 0;
  /** Everybody is dead: leaves, if that is how its run ends. */
  virtual bool stopDead() = 0;
};

/**
 * The processors of a machine run one after the other, each for a slice of the same time, on whichever thread came
 * first: an exchange of threads costs more than a slice. When all of them are idle, time jumps to the next event, or
 * stands still until somebody outside calls wake().
 */
class Rounds {
 public:
  /** Ticks of a turn: short where processors wait for each other. */
  static constexpr uint64_t kSlice = 1000, kAlone = 1000000;

  /** One more member will come. The first round waits a moment for all, so that they begin together each time. */
  void expect() { expected_++; }
  /** Takes part until a turn ends it. */
  void run(Member& member);
  /** Something changed outside. Any thread. */
  void wake();

 private:
  struct Seat {
    Member* member;
    bool ended;
  };
  void drive(std::unique_lock<std::mutex>& lock, const Member& own);
  bool seated(const Member& member) const;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Seat> seats_;  // by index
  uint64_t now_ = 0;
  size_t expected_ = 0;
  bool gathered_ = false, driven_ = false, woken_ = false;
};

}  // namespace vtkit::emulator
