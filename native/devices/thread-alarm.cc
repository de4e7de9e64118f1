// The alarm's thread.
#include "devices/thread-alarm.h"

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <csignal>

namespace vtkit::devices {

namespace {
constexpr uint64_t kLongestWait = uint64_t{3600} * 1000000000;  // what a library's clock surely adds without overflow
}

std::unique_ptr<Alarm> Clock::alarm(std::function<void()> expired) {
  return std::make_unique<ThreadAlarm>(*this, std::move(expired));
}

ThreadAlarm::~ThreadAlarm() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    quit_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void ThreadAlarm::at(uint64_t nanoseconds) {
  const std::lock_guard<std::mutex> lock(mutex_);
  deadline_ = nanoseconds;
  armed_ = true;
  if (!thread_.joinable()) {
    // The process's signals are for threads that expect them.
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    thread_ = std::thread([this] { loop(); });
    pthread_sigmask(SIG_SETMASK, &old, nullptr);
  }
  changed_.notify_all();
}

void ThreadAlarm::cancel() {
  const std::lock_guard<std::mutex> lock(mutex_);
  armed_ = false;
}

uint64_t ThreadAlarm::due() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return armed_ ? deadline_ : kNever;
}

void ThreadAlarm::loop() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!quit_) {
    if (!armed_) {
      changed_.wait(lock);
      continue;
    }
    const uint64_t now = clock_.nanoseconds();
    const uint64_t due = std::max(deadline_, notBefore_);
    if (now < due) {
      changed_.wait_for(lock, std::chrono::nanoseconds(std::min(due - now, kLongestWait)));
      continue;
    }
    armed_ = false;
    notBefore_ = now + kShortestGap;
    lock.unlock();
    expired_();
    lock.lock();
  }
}

}  // namespace vtkit::devices
