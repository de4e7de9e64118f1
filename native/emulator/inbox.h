// What comes to a machine from outside, and the moments at which it does.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <vector>

namespace vtkit::emulator {

/**
 * Input is taken between two rounds, whose ticks are the same on every run: with its tick, it can be given again. Each
 * is either posted, for as soon as possible, or scheduled, for the tick at which it was taken once.
 */
class Inbox {
 public:
  struct Input {
    uint64_t tick;
    uint64_t target;  // whose it is: the base port of a UART
    std::vector<uint8_t> bytes;
  };
  /** `tick` is the one at which it is taken. */
  using Take = std::function<void(const Input& input, uint64_t tick)>;

  /** Who takes what is for a target. Only while nothing runs. */
  void connect(uint64_t target, Take take) { takers_.emplace(target, std::move(take)); }
  /** Any thread. Whoever posts wakes the rounds. */
  void post(uint64_t target, std::vector<uint8_t> bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    posted_.push_back({0, target, std::move(bytes)});
  }
  /** In the order of their ticks. Only while nothing runs. */
  void schedule(uint64_t tick, uint64_t target, std::vector<uint8_t> bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    scheduled_.push_back({tick, target, std::move(bytes)});
  }
  /** Takes back what is scheduled. Only while nothing runs. */
  void clear() {
    const std::lock_guard<std::mutex> lock(mutex_);
    scheduled_.clear();
  }

  /** Whether something is scheduled: nobody outside has to wake the machine for it. */
  bool expects() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return !scheduled_.empty();
  }
  /** A round begins. */
  void deliver(uint64_t tick) {
    std::deque<Input> due;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      due.swap(posted_);
      while (!scheduled_.empty() && scheduled_.front().tick <= tick) {
        due.push_back(std::move(scheduled_.front()));
        scheduled_.pop_front();
      }
    }
    for (const Input& input : due) {
      const auto taker = takers_.find(input.target);
      if (taker != takers_.end()) taker->second(input, tick);
    }
  }

 private:
  std::mutex mutex_;
  std::deque<Input> posted_, scheduled_;
  std::map<uint64_t, Take> takers_;
};

}  // namespace vtkit::emulator
