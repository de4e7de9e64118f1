// Time for devices that follows the processors: a tick of the time stamp counter is a nanosecond.
#pragma once

#include <atomic>
#include <mutex>
#include <vector>

#include "devices/clock.h"
#include "emulator/rounds.h"

namespace vtkit::emulator {

/** Alarms ring on the thread that drives the rounds, between two turns. Outlives the rounds if devices hold it. */
class VirtualClock final : public devices::Clock, public Timeline {
 public:
  explicit VirtualClock(Rounds& rounds) : rounds_(&rounds) { rounds.follow(this); }
  /** The rounds are no more: time stands still. */
  void detach();

  uint64_t nanoseconds() override { return rounds_ == nullptr ? 0 : rounds_->now(); }
  void skipTo(uint64_t nanoseconds) override;
  uint64_t nextEvent() override { return due(); }
  std::unique_ptr<devices::Alarm> alarm(std::function<void()> expired) override;

  uint64_t due() override;
  void fire(uint64_t tick) override;

 private:
  class Alarm;

  Rounds* rounds_;
  std::mutex mutex_;
  std::vector<Alarm*> alarms_;
};

}  // namespace vtkit::emulator
