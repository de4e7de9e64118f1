// The PC's I/O APIC: 24 lines that become messages (Intel 82093AA).
#pragma once

#include <array>
#include <cstdint>
#include <mutex>

#include "bus/device.h"
#include "bus/message.h"
#include "devices/edge-line.h"
#include "state/archive.h"

namespace vtkit::devices {

/**
 * Intel 82093AA. Registers are 32 bits wide: other accesses reach the aligned register that they lie in, and writes of
 * less do nothing. A line's level is kept while it is masked; an edge is not.
 */
class IoApic final : public bus::Device, public bus::EndListener {
 public:
  static constexpr unsigned kLines = 24;

  explicit IoApic(bus::MessageSink& sink);

  EdgeLine& line(unsigned number) { return lines_[number]; }

  bus::Answer read(uint64_t offset, unsigned size, uint64_t& value) override;
  bus::Answer write(uint64_t offset, unsigned size, uint64_t value) override;
  void endOfInterrupt(uint8_t vector) override;
  void visit(state::Archive& archive);

 private:
  class LineOf final : public EdgeLine {
   public:
    void set(bool level) override { owner_->setLine(number_, level, false); }
    void edge() override { owner_->setLine(number_, true, true); }
    IoApic* owner_ = nullptr;
    unsigned number_ = 0;
  };

  void setLine(unsigned number, bool level, bool falls);
  uint32_t readRegister() const;
  void writeRegister(uint32_t value);
  /** Sends what a line asks for, if its entry lets it. */
  void serve(unsigned number, bool edge);

  bus::MessageSink& sink_;
  std::mutex mutex_;
  uint8_t select_ = 0;
  uint32_t id_ = 0;
  std::array<uint64_t, kLines> entries_;
  std::array<bool, kLines> levels_{};
  std::array<LineOf, kLines> lines_;
};

}  // namespace vtkit::devices
