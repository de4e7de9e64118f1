// The PC's two 8259A interrupt controllers, cascaded on line 2.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <mutex>

#include "bus/device.h"
#include "devices/edge-line.h"
#include "state/archive.h"

namespace vtkit::devices {

/**
 * Intel 8259A in 8086 mode: edge and level lines, nested, special fully nested and rotating priorities, specific,
 * non-specific and automatic end of interrupt, special mask mode, poll, spurious vectors. As in PC chipsets, ELCR takes
 * the place of ICW1's LTIM, and the cascade is wired whatever ICW3 says. An edge stays requested though its line falls
 * before INTA, as in QEMU's and KVM's controllers, where the 8259A would give the spurious line 7; a level does not.
 *
 * `intrChanged` is called when INTR rises, from the thread that made it rise, with none of this object's locks held.
 *
 * Accesses wider than a byte are byte accesses at consecutive ports, lowest first; ports behind the last read all ones.
 */
class Pic final : public bus::InterruptSource {
 public:
  explicit Pic(std::function<void()> intrChanged);

  bool asserted() override;
  int acknowledge() override;

  /** One of the sixteen lines; line 2 is the cascade and ignores what is set. */
  EdgeLine& line(int number) { return lines_[static_cast<size_t>(number)]; }

  /** The registers: 0x20 and 0xa0 (two ports each), 0x4d0 (two ports: ELCR). */
  bus::Device& master() { return masterPorts_; }
  bus::Device& slave() { return slavePorts_; }
  bus::Device& edgeLevel() { return edgeLevelPorts_; }
  void visit(state::Archive& archive);

 private:
  struct Chip {
    uint8_t edges = 0;     // edge-triggered lines that rose and were not served since
    uint8_t service = 0;   // ISR
    uint8_t mask = 0;      // IMR
    uint8_t levels = 0;    // the lines as they are
    uint8_t elcr = 0;      // level-triggered lines
    uint8_t base = 0;      // vector of line 0
    uint8_t lowest = 7;    // the line of lowest priority
    uint8_t initStep = 0;  // the ICW that is expected next, 0 when initialised
    bool single = false, wantsIcw4 = false;
    bool autoEnd = false, rotateOnAutoEnd = false, specialMask = false, poll = false;
    bool cascadeNests = false;  // special fully nested mode: the slave may interrupt its own service
    bool readService = false;   // what port 0 reads: ISR or IRR

    /** IRR. */
    uint8_t request() const { return static_cast<uint8_t>(edges | (levels & elcr)); }
    void setLine(int number, bool level);
    void setElcr(uint8_t value);
    /** The line to be served now, or -1. */
    int pending() const;
    /** Puts a line into service. */
    void begin(int number);
    /** An INTA cycle: the line that goes into service, or 7 and nothing if the request went away. */
    int serve();
    void endOfInterrupt(int number, bool rotate);
    int highestInService() const;
    uint8_t read(unsigned port);
    void write(unsigned port, uint8_t value);
    void command(uint8_t value);
    void visit(state::Archive& archive);
  };

  class LineOf final : public EdgeLine {
   public:
    void set(bool level) override { pic_->setLine(number_, level, false); }
    void edge() override { pic_->setLine(number_, true, true); }
    Pic* pic_ = nullptr;
    int number_ = 0;
  };
  class Ports final : public bus::Device {
   public:
    bus::Answer read(uint64_t offset, unsigned size, uint64_t& value) override;
    bus::Answer write(uint64_t offset, unsigned size, uint64_t value) override;
    Pic* pic_ = nullptr;
    int which_ = 0;  // 0 master, 1 slave, 2 ELCR
  };

  void setLine(int number, bool level, bool falls);
  /** Runs `change` under the lock, carries the slave's output to the cascade, and tells of a new INTR. */
  template <typename Change>
  void update(Change change);

  const std::function<void()> intrChanged_;
  std::mutex mutex_;
  Chip master_, slave_;
  int lastRequest_ = -1;  // the master's line that raised INTR since the last INTA
  std::array<LineOf, 16> lines_;
  Ports masterPorts_, slavePorts_, edgeLevelPorts_;
};

}  // namespace vtkit::devices
