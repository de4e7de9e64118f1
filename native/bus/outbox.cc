// The outbox ring: many writers under one lock, one reader without it.
#include "bus/outbox.h"

namespace vtkit::bus {

void Outbox::push(const Record& record) {
  bool wasEmpty;
  {
    std::unique_lock<std::mutex> lock(mutex_);
    const auto full = [this] { return ring_.head.load() - ring_.tail.load() >= Ring::kRecords; };
    if (full() && !abandoned_) {
      ring_.producerWaits.store(1);
      notify_();
      room_.wait(lock, [&] { return abandoned_ || !full(); });
    }
    if (abandoned_) return;
    const uint32_t head = ring_.head.load(std::memory_order_relaxed);
    ring_.records[head % Ring::kRecords] = record;
    ring_.head.store(head + 1);
    wasEmpty = ring_.tail.load() == head;
  }
  if (wasEmpty) notify_();
}

void Outbox::drained() {
  const std::lock_guard<std::mutex> lock(mutex_);
  ring_.producerWaits.store(0);
  room_.notify_all();
}

void Outbox::abandon() {
  const std::lock_guard<std::mutex> lock(mutex_);
  abandoned_ = true;
  room_.notify_all();
}

}  // namespace vtkit::bus
