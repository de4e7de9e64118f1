// Alarms in virtual time.
#include "emulator/virtual-clock.h"

#include <algorithm>

namespace vtkit::emulator {

class VirtualClock::Alarm final : public devices::Alarm {
 public:
  Alarm(VirtualClock& clock, std::function<void()> expired) : clock_(clock), expired_(std::move(expired)) {
    const std::lock_guard<std::mutex> lock(clock_.mutex_);
    clock_.alarms_.push_back(this);
  }
  ~Alarm() override {
    const std::lock_guard<std::mutex> lock(clock_.mutex_);
    clock_.alarms_.erase(std::find(clock_.alarms_.begin(), clock_.alarms_.end(), this));
  }

  void at(uint64_t nanoseconds) override {
    due_ = nanoseconds;
    if (clock_.rounds_ != nullptr) clock_.rounds_->shorten(nanoseconds);
  }
  void cancel() override { due_ = Rounds::kNever; }

  uint64_t due() override { return due_; }
  void ring() {
    due_ = Rounds::kNever;
    expired_();
  }

 private:
  VirtualClock& clock_;
  const std::function<void()> expired_;
  std::atomic<uint64_t> due_{Rounds::kNever};
};

void VirtualClock::detach() {
  rounds_->follow(nullptr);
  rounds_ = nullptr;
}

void VirtualClock::skipTo(uint64_t nanoseconds) {
  if (rounds_ == nullptr) return;
  rounds_->skipTo(nanoseconds);
  fire(nanoseconds);
}

std::unique_ptr<devices::Alarm> VirtualClock::alarm(std::function<void()> expired) {
  return std::make_unique<Alarm>(*this, std::move(expired));
}

uint64_t VirtualClock::due() {
  const std::lock_guard<std::mutex> lock(mutex_);
  uint64_t first = Rounds::kNever;
  for (Alarm* alarm : alarms_) first = std::min(first, alarm->due());
  return first;
}

void VirtualClock::fire(uint64_t tick) {
  // Who rings may ask for the next one, so without the lock; alarms come and go only while nothing runs.
  for (Alarm* alarm : alarms_) {
    if (alarm->due() <= tick) alarm->ring();
  }
}

}  // namespace vtkit::emulator
