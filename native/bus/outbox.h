// What devices tell the world outside without waiting for it: a ring of records that JavaScript drains.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>

namespace vtkit::bus {

/** One record; src/machine/outbox.ts reads it by these offsets. */
struct Record {
  enum Kind : uint32_t { serial = 1, postedPort = 2, postedMemory = 3, traced = 4, received = 5, executed = 6 };
  uint32_t kind;
  // serial, received: port base; posted: size; traced: exit kind | size << 8 | count << 16 (see vcpu/cell.h);
  // executed: processor | length << 8 | bits of the code << 16
  uint32_t detail;
  uint64_t address;      // port or guest-physical address; executed: RIP
  uint64_t value;        // executed: the first eight bytes
  uint64_t rip;          // executed: the others; received: how many instructions were retired in all
  uint64_t nanoseconds;  // since the machine was created; executed: how many instructions are retired in all
};
static_assert(sizeof(Record) == 40);

/** Memory of the ring, shared with JavaScript. `head` counts records written, `tail` records drained; both wrap. */
struct Ring {
  static constexpr uint32_t kRecords = 4096;
  alignas(64) std::atomic<uint32_t> head;
  alignas(64) std::atomic<uint32_t> tail;
  std::atomic<uint32_t> producerWaits;  // set while a thread waits for room
  alignas(64) Record records[kRecords];
};

class Outbox {
 public:
  Outbox(Ring& ring, std::function<void()> notify) : ring_(ring), notify_(std::move(notify)) {}

  /** Adds a record, waiting for room if the reader is behind. The record is dropped only after abandon(). */
  void push(const Record& record);

  /** The reader made room. */
  void drained();

  /** Nobody reads any more: wakes the writers and drops what comes. */
  void abandon();

 private:
  Ring& ring_;
  std::function<void()> notify_;
  std::mutex mutex_;
  std::condition_variable room_;
  bool abandoned_ = false;
};

}  // namespace vtkit::bus
