// Turns of processors.
#include "emulator/rounds.h"

#include <algorithm>
#include <chrono>

#include "emulator/inbox.h"

namespace vtkit::emulator {

bool Rounds::seated(const Member& member) const {
  return std::any_of(seats_.begin(), seats_.end(),
                     [&](const Seat& seat) { return seat.member == &member && !seat.ended; });
}

size_t Rounds::present() const {
  return static_cast<size_t>(std::count_if(seats_.begin(), seats_.end(), [](const Seat& seat) { return !seat.ended; }));
}

void Rounds::run(Member& member) {
  std::unique_lock<std::mutex> lock(mutex_);
  if (present() == 0) paused_ = false;
  const auto behind = std::find_if(seats_.begin(), seats_.end(),
                                   [&](const Seat& seat) { return seat.member->index() > member.index(); });
  seats_.insert(behind, {&member, false});
  expected_ = std::max(expected_, present());
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

void Rounds::open() {
  round_ = Round();
  round_.open = true;
  round_.start = now_;
  if (inbox_ != nullptr) inbox_->deliver(round_.start);
  if (timeline_ != nullptr) timeline_->fire(round_.start);
}

bool Rounds::play(const std::vector<Member*>& members, std::vector<Member*>& ended) {
  const auto leaveAll = [&] {
    for (Member* member : members) {
      if (std::count(ended.begin(), ended.end(), member) != 0) continue;
      member->leave();
      ended.push_back(member);
    }
    return false;
  };
  const bool stopped = std::all_of(members.begin(), members.end(), [](Member* member) { return member->stops(); });
  if (paused_ || stopped) return leaveAll();
  if (!round_.open) {
    open();
    end_ = round_.start + (members.size() == 1 ? kAlone : kSlice);
    if (timeline_ != nullptr) end_ = std::min(end_, std::max(timeline_->due(), round_.start + 1));
  }
  for (Member* member : members) {
    if (member->index() < round_.next) continue;
    if (paused_) return leaveAll();
    round_.next = member->index();
    uint64_t until = kNever;
    running_ = member;
    const Turn turn = member->turn(round_.start, end_, until);
    running_ = nullptr;
    if (turn == Turn::ended) {
      ended.push_back(member);
      if (paused_ || members.size() == 1) {
        now_ = std::max(round_.start, std::min(end_, member->tick()));
        return leaveAll();
      }
      continue;
    }
    round_.next = member->index() + 1;
    round_.event = std::min(round_.event, until);
    round_.busy = round_.busy || turn == Turn::busy;
    round_.alive = round_.alive || turn == Turn::idle;
  }
  round_.open = false;
  return true;
}

void Rounds::drive(std::unique_lock<std::mutex>& lock, const Member& own) {
  // A busy host starts threads late. Whoever runs only some of the members pays this once: no more are expected then.
  constexpr auto kGathering = std::chrono::seconds(1);
  if (!gathered_ && !changed_.wait_for(lock, kGathering, [this] { return present() >= expected_; })) {
    expected_ = present();
  }
  gathered_ = true;
  while (seated(own)) {
    std::vector<Member*> members;
    for (const Seat& seat : seats_) {
      if (!seat.ended) members.push_back(seat.member);
    }
    woken_ = false;
    lock.unlock();
    std::vector<Member*> ended;
    const bool whole = play(members, ended);
    uint64_t next = round_.event;
    if (timeline_ != nullptr) next = std::min(next, timeline_->due());
    if (whole && !round_.busy && !round_.alive && ended.empty()) {
      for (Member* member : members) {
        if (member->stopDead()) ended.push_back(member);
      }
    }
    lock.lock();
    for (Seat& seat : seats_) seat.ended = seat.ended || std::count(ended.begin(), ended.end(), seat.member) != 0;
    if (!ended.empty()) changed_.notify_all();
    if (!whole) {
      gathered_ = expected_ < 2;  // they come back one by one
      continue;
    }
    now_ = end_;
    if (round_.busy || !ended.empty()) continue;
    if (next != kNever) {
      now_ = std::max<uint64_t>(now_, next);
    } else if (inbox_ == nullptr || !inbox_->expects()) {
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

void Rounds::skipTo(uint64_t tick) {
  if (round_.open) now_ = end_;
  round_.open = false;
  if (tick > now_) now_ = tick;
}

void Rounds::pause() {
  paused_ = true;
  wake();
}

void Rounds::visit(state::Archive& archive) {
  archive.section("TIME", 1);
  uint64_t now = now_;
  archive.moment(now);
  archive.moment(end_);
  archive.value(round_.open);
  archive.atMost(round_.next, uint32_t{256});
  archive.value(round_.busy);
  archive.value(round_.alive);
  archive.moment(round_.start);
  archive.value(round_.event);
  if (archive.reads()) now_ = now;
}

void Rounds::wake() {
  const std::lock_guard<std::mutex> lock(mutex_);
  woken_ = true;
  changed_.notify_all();
}

}  // namespace vtkit::emulator
