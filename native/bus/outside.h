// Ranges that JavaScript answers: by exits, or for writes later and in order while the processor goes on.
#pragma once

#include "bus/device.h"
#include "bus/outbox.h"

namespace vtkit::bus {

/** Every access leaves the run loop. Claims its range even where unclaimed addresses are open bus. */
class Exiting final : public Device {
 public:
  Answer read(uint64_t, unsigned, uint64_t&) override { return Answer::exit; }
  Answer write(uint64_t, unsigned, uint64_t) override { return Answer::exit; }
};

/** Writes go to the outbox; reads need an answer and exit, and JavaScript drains the outbox before it answers one. */
class Posted final : public Device {
 public:
  Posted(Outbox& outbox, Record::Kind kind, uint64_t from) : outbox_(outbox), kind_(kind), from_(from) {}

  Answer read(uint64_t, unsigned, uint64_t&) override { return Answer::exit; }

  Answer write(uint64_t offset, unsigned size, uint64_t value) override {
    outbox_.push({kind_, size, from_ + offset, value, 0, 0});
    return Answer::done;
  }

 private:
  Outbox& outbox_;
  const Record::Kind kind_;
  const uint64_t from_;
};

}  // namespace vtkit::bus
