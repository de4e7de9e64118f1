// Several processors that take turns, so that a machine does the same each time.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include "state/archive.h"

namespace vtkit::emulator {

class Inbox;

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
  /** Runs from one tick to another, which idle time fills up, and which may come nearer meanwhile. `until` is the tick
   * of the next event of an idle one. */
  virtual Turn turn(uint64_t start, const uint64_t& end, uint64_t& until) = 0;
  /** Everybody is dead: leaves, if that is how its run ends. */
  virtual bool stopDead() = 0;
  /** Somebody asked it to end its run. */
  virtual bool stops() { return false; }
  /** Ends its run as it is. */
  virtual void leave() {}
  /** Of its time stamp counter. */
  virtual uint64_t tick() const = 0;
  /** Makes it look again where its turn ends. */
  virtual void look() = 0;
};

/** What happens at ticks beside the processors. */
class Timeline {
 public:
  virtual ~Timeline() = default;
  /** The tick of the next happening, or Rounds::kNever. */
  virtual uint64_t due() = 0;
  /** Lets happen what is due. Called between rounds. */
  virtual void fire(uint64_t tick) = 0;
};

/**
 * The processors of a machine run one after the other, each for a slice of the same time, on whichever thread came
 * first: an exchange of threads costs more than a slice. When all of them are idle, time jumps to the next event, or
 * stands still until somebody outside calls wake().
 *
 * Where all members leave within a round, by pause() or because the only one is stopped, the round stays open, and goes
 * on where it stood with the next run: a machine does the same whether it was stopped meanwhile or not.
 */
class Rounds {
 public:
  /** Ticks of a turn: short where processors wait for each other. */
  static constexpr uint64_t kSlice = 1000, kAlone = 1000000, kNever = ~uint64_t{0};

  /** One more member will come. The first round waits a moment for all, so that they begin together each time. */
  void expect() { expected_++; }
  /** Takes part until a turn ends it. */
  void run(Member& member);
  /** Something changed outside. Any thread. */
  void wake();
  /** All members leave, the running one when it asks paused(). The next run ends the pause. Any thread. */
  void pause();
  bool paused() const { return paused_; }
  void visit(state::Archive& archive);

  void follow(Timeline* timeline) { timeline_ = timeline; }
  void listen(Inbox* inbox) { inbox_ = inbox; }
  /** The tick of the processor whose turn it is, or at which the next turn begins. */
  uint64_t now() const;
  /** Time jumps forward. Only while no member takes part. */
  void skipTo(uint64_t tick);
  /** The timeline wants to be asked at a tick: no turn goes past it. */
  void shorten(uint64_t tick);

 private:
  struct Seat {
    Member* member;
    bool ended;
  };
  /** What is done of a round; one that is open still goes on. */
  struct Round {
    bool open = false;
    uint32_t next = 0;  // whose turn it is, by index
    bool busy = false, alive = false;
    uint64_t start = 0, event = kNever;  // the next that an idle member waits for
  };
  void drive(std::unique_lock<std::mutex>& lock, const Member& own);
  bool seated(const Member& member) const;
  size_t present() const;
  void open();
  /** Gives their turns to the members; false if all left before the round was over. */
  bool play(const std::vector<Member*>& members, std::vector<Member*>& ended);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Seat> seats_;  // by index
  std::atomic<uint64_t> now_{0};
  std::atomic<Member*> running_{nullptr};
  uint64_t end_ = 0;  // of the round
  Round round_;
  std::atomic<bool> paused_{false};
  Timeline* timeline_ = nullptr;
  Inbox* inbox_ = nullptr;
  size_t expected_ = 0;
  bool gathered_ = false, driven_ = false, woken_ = false;
};

}  // namespace vtkit::emulator
