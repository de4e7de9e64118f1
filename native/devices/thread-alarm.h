// An alarm in real time.
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>

#include "devices/clock.h"

namespace vtkit::devices {

/**
 * An alarm on a thread of its own, which exists from the first request on.
 *
 * Calls are at least kShortestGap apart: a guest that asks for a timer of half a million hertz gets what it can take
 * and does not keep a processor of the host busy.
 */
class ThreadAlarm final : public Alarm {
 public:
  static constexpr uint64_t kShortestGap = 50000;  // nanoseconds

  ThreadAlarm(Clock& clock, std::function<void()> expired) : clock_(clock), expired_(std::move(expired)) {}
  ~ThreadAlarm() override;

  void at(uint64_t nanoseconds) override;
  void cancel() override;
  uint64_t due() override;

 private:
  void loop();

  Clock& clock_;
  const std::function<void()> expired_;
  std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t deadline_ = 0;
  uint64_t notBefore_ = 0;
  bool armed_ = false, quit_ = false;
  std::thread thread_;
};

}  // namespace vtkit::devices
