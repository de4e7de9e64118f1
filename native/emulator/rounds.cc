// Turns of processors.
#include "emulator/rounds.h"

#include <algorithm>
#include <chrono>

namespace vtkit::emulator {

bool Rounds::seated(const Member& member) const {
  return std::any_of(seats_.begin(), seats_.end(),
                     [&](const Seat& seat) { return seat.member == &member && !seat.ended; });
}

void Rounds::run(Member& member) {
  std::unique_lock<std::mutex> lock(mutex_);
  const auto behind = std::find_if(seats_.begin(), seats_.end(),
                                   [&](const Seat& seat) { return seat.member->index() > member.index(); });
  seats_.insert(behind, {&member, false});
  woken_ = true;
  changed_.notify_all();
  while (seated(member)) {
    if (driven_) {
      changed_.wait(lock);
      continue;
    }
    driven_ = true;
    drive(lock, member);
    driven_ = false;
    changed_.notify_all();
  }
  seats_.erase(std::find_if(seats_.begin(), seats_.end(), [&](const Seat& seat) { return seat.member == &member; }));
}

void Rounds::drive(std::unique_lock<std::mutex>& lock, const Member& own) {
  constexpr auto kGathering = std::chrono::milliseconds(50);  // whoever runs only some of them pays this once
  if (!gathered_) changed_.wait_for(lock, kGathering, [this] { return seats_.size() >= expected_; });
  gathered_ = true;
  while (seated(own)) {
    std::vector<Member*> members;
    for (const Seat& seat : seats_) {
      if (!seat.ended) members.push_back(seat.member);
    }
    woken_ = false;
    lock.unlock();
    const uint64_t start = now_;
    if (timeline_ != nullptr) timeline_->fire(start);
    end_ = start + (members.size() == 1 ? kAlone : kSlice);
    if (timeline_ != nullptr) end_ = std::min(end_, std::max(timeline_->due(), start + 1));
    uint64_t next = kNever;
    std::vector<Member*> ended;
    bool busy = false, alive = false;
    for (Member* member : members) {
      uint64_t until = kNever;
      running_ = member;
      const Turn turn = member->turn(start, end_, until);
      running_ = nullptr;
      next = std::min(next, until);
      busy = busy || turn == Turn::busy;
      alive = alive || turn == Turn::idle;
      if (turn == Turn::ended) ended.push_back(member);
    }
    if (timeline_ != nullptr) next = std::min(next, timeline_->due());
    const bool dead = !busy && !alive && ended.empty();
    if (dead) {
      for (Member* member : members) {
        if (member->stopDead()) ended.push_back(member);
      }
    }
    lock.lock();
    for (Seat& seat : seats_) seat.ended = seat.ended || std::count(ended.begin(), ended.end(), seat.member) != 0;
    if (!ended.empty()) changed_.notify_all();
    now_ = end_;
    if (busy || !ended.empty()) continue;
    if (next != kNever) {
      now_ = std::max<uint64_t>(now_, next);
    } else {
      changed_.wait(lock, [this] { return woken_; });
    }
  }
}

uint64_t Rounds::now() const {
  const Member* const running = running_;
  return running == nullptr ? now_.load() : running->tick();
}

void Rounds::shorten(uint64_t tick) {
  Member* const running = running_;
  if (running == nullptr || tick >= end_) return;
  end_ = std::max(tick, running->tick());
  running->look();
}

void Rounds::wake() {
  const std::lock_guard<std::mutex> lock(mutex_);
  woken_ = true;
  changed_.notify_all();
}

}  // namespace vtkit::emulator
