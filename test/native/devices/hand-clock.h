// A clock whose time the test makes.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <vector>

#include "devices/clock.h"

namespace vtkit::test {

/** Time that goes where the test says; alarms ring on the way. */
class HandClock final : public devices::Clock {
 public:
  uint64_t nanoseconds() override { return now; }
  std::unique_ptr<devices::Alarm> alarm(std::function<void()> expired) override {
    auto made = std::make_unique<HandAlarm>();
    made->expired = std::move(expired);
    alarms.push_back(made.get());
    return made;
  }
  void goTo(uint64_t moment) {
    for (;;) {
      HandAlarm* first = nullptr;
      for (HandAlarm* alarm : alarms) {
        if (alarm->due() <= moment && (first == nullptr || alarm->due() < first->due())) first = alarm;
      }
      if (first == nullptr) break;
      now = std::max(now, first->due());
      first->cancel();
      rung++;
      first->expired();
    }
    now = moment;
  }
  uint64_t now = 0;
  int rung = 0;

 private:
  struct HandAlarm final : devices::Alarm {
    void at(uint64_t nanoseconds) override { moment = nanoseconds; }
    void cancel() override { moment = kNever; }
    uint64_t due() override { return moment; }
    std::function<void()> expired;
    uint64_t moment = kNever;
  };
  std::vector<HandAlarm*> alarms;
};

}  // namespace vtkit::test
