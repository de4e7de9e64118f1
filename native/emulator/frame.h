// A stack that is not entered yet: what is pushed there takes effect only when the transfer succeeds.
#pragma once

#include "emulator/mmu.h"

namespace vtkit::emulator {

class Frame {
 public:
  /** The current stack. */
  explicit Frame(Cpu& cpu)
      : cpu_(cpu),
        segment_(cpu.seg[SS]),
        rsp_(cpu.gpr[RSP]),
        mask_(cpu.stackMask),
        wide_(cpu.code64()),
        user_(cpu.cpl == 3) {}

  /** A stack of another privilege level. `wide`: 64-bit mode, without segment checks. */
  Frame(Cpu& cpu, const vcpu::Segment& segment, uint64_t rsp, bool wide, bool user)
      : cpu_(cpu),
        segment_(segment),
        rsp_(rsp),
        mask_(wide              ? ~uint64_t{0}
              : segment.db != 0 ? 0xffffffff
                                : 0xffff),
        wide_(wide),
        user_(user) {}

  bool push(uint64_t value, unsigned bytes) {
    const uint64_t rsp = (rsp_ - bytes) & mask_;
    uint64_t linear;
    if (!linearAt(rsp, bytes, linear)) return false;
    bool stored;
    if (bytes == 8) {
      stored = writeLinear<uint64_t>(cpu_, linear, value, user_);
    } else if (bytes == 4) {
      stored = writeLinear<uint32_t>(cpu_, linear, static_cast<uint32_t>(value), user_);
    } else {
      stored = writeLinear<uint16_t>(cpu_, linear, static_cast<uint16_t>(value), user_);
    }
    if (stored) rsp_ = (rsp_ & ~mask_) | rsp;
    return stored;
  }

  bool pop(uint64_t& value, unsigned bytes) {
    uint64_t linear;
    if (!linearAt(rsp_ & mask_, bytes, linear)) return false;
    value = 0;
    bool loaded;
    if (bytes == 8) {
      loaded = readLinear<uint64_t>(cpu_, linear, value, user_);
    } else if (bytes == 4) {
      uint32_t part = 0;
      loaded = readLinear<uint32_t>(cpu_, linear, part, user_);
      value = part;
    } else {
      uint16_t part = 0;
      loaded = readLinear<uint16_t>(cpu_, linear, part, user_);
      value = part;
    }
    if (loaded) skip(bytes);
    return loaded;
  }

  void skip(uint64_t bytes) { rsp_ = (rsp_ & ~mask_) | ((rsp_ + bytes) & mask_); }
  uint64_t rsp() const { return rsp_; }

 private:
  bool linearAt(uint64_t offset, unsigned bytes, uint64_t& linear) {
    if (wide_) {
      linear = offset;
      return canonical(cpu_, offset) ? true : raise(cpu_, kSsFault, 0);
    }
    const uint64_t last = offset + bytes - 1;
    const bool expandDown = (segment_.type & 0xc) == 4;
    const uint64_t top = segment_.db != 0 ? 0xffffffff : 0xffff;
    if (expandDown ? offset <= segment_.limit || last > top : last > segment_.limit) return raise(cpu_, kSsFault, 0);
    linear = static_cast<uint32_t>(segment_.base + offset);
    return true;
  }

  Cpu& cpu_;
  const vcpu::Segment segment_;
  uint64_t rsp_;
  const uint64_t mask_;
  const bool wide_, user_;
};

}  // namespace vtkit::emulator
