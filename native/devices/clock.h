// Time for devices: what it is now, and a call when a moment has come.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "state/archive.h"

namespace vtkit::devices {

class Alarm {
 public:
  virtual ~Alarm() = default;
  /** Calls `expired` once, at or after the moment, on any thread. Replaces an earlier request. */
  virtual void at(uint64_t nanoseconds) = 0;
  virtual void cancel() = 0;
  /** The moment that was asked for and has not come, or kNever. */
  virtual uint64_t due() = 0;
  static constexpr uint64_t kNever = ~uint64_t{0};
};

/** An alarm as a field of a state. */
inline void visit(state::Archive& archive, Alarm& alarm) {
  uint64_t due = alarm.due();
  archive.dueMoment(due);
  if (!archive.reads() || archive.failed()) return;
  if (due == Alarm::kNever) {
    alarm.cancel();
  } else {
    alarm.at(due);
  }
}

class Clock {
 public:
  virtual ~Clock() = default;
  /** Nanoseconds since the machine was created; never goes back. */
  virtual uint64_t nanoseconds() = 0;
  /** Jumps to a moment and rings what is due by then, where time is the clock's own to give. Only while no processor
   * runs. */
  virtual void skipTo(uint64_t) {}
  /** The moment of the next alarm, or all ones, where time is the clock's own. */
  virtual uint64_t nextEvent() { return ~uint64_t{0}; }
  /** An alarm of this clock: on a thread of its own, unless the clock knows better. */
  virtual std::unique_ptr<Alarm> alarm(std::function<void()> expired);
};

}  // namespace vtkit::devices
