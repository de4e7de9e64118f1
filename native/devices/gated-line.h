// An interrupt line that somebody else may take over.
#pragma once

#include <atomic>

#include "devices/edge-line.h"

namespace vtkit::devices {

class GatedLine final : public EdgeLine {
 public:
  explicit GatedLine(EdgeLine& to) : to_(to) {}

  void set(bool level) override {
    if (open_) to_.set(level);
  }
  void edge() override {
    if (open_) to_.edge();
  }
  void open(bool open) { open_ = open; }
  /** The line behind the gate, for who holds it shut. */
  EdgeLine& behind() { return to_; }

 private:
  EdgeLine& to_;
  std::atomic<bool> open_{true};
};

}  // namespace vtkit::devices
