// The interrupt lines of a PC: each ends at the 8259s and, where there is one, at the I/O APIC.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <utility>

#include "devices/io-apic.h"
#include "devices/pic.h"

namespace vtkit::devices {

class InterruptLines {
 public:
  static constexpr unsigned kLegacy = 16;

  /** `messages` null: no I/O APIC. */
  InterruptLines(std::function<void()> intrChanged, bus::MessageSink* messages)
      : pic_(std::move(intrChanged)), ioApic_(messages == nullptr ? nullptr : std::make_unique<IoApic>(*messages)) {
    for (unsigned i = 0; i < kLegacy; i++) {
      shared_[i].first_ = &pic_.line(static_cast<int>(i));
      // The timer is on pin 2, where the 8259's cascade would be; the ACPI tables say so.
      if (ioApic_ != nullptr && i != 2) shared_[i].second_ = &ioApic_->line(i == 0 ? 2 : i);
    }
  }

  Pic& pic() { return pic_; }
  /** Null if there is none. */
  IoApic* ioApic() { return ioApic_.get(); }
  unsigned count() const { return ioApic_ == nullptr ? kLegacy : IoApic::kLines; }
  /** By ISA number, or by pin above those; 2 is the cascade. */
  EdgeLine& line(unsigned number) {
    if (number < kLegacy) return shared_[number];
    return ioApic_->line(number);
  }

 private:
  class Shared final : public EdgeLine {
   public:
    void set(bool level) override {
      first_->set(level);
      if (second_ != nullptr) second_->set(level);
    }
    void edge() override {
      first_->edge();
      if (second_ != nullptr) second_->edge();
    }
    EdgeLine* first_ = nullptr;
    EdgeLine* second_ = nullptr;
  };

  Pic pic_;
  const std::unique_ptr<IoApic> ioApic_;
  std::array<Shared, kLegacy> shared_;
};

}  // namespace vtkit::devices
