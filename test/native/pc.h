// A PC with one or several processors on one thread, in virtual time, whose guests may do what they like.
#pragma once

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "bus/bus.h"
#include "devices/hpet.h"
#include "devices/interrupt-lines.h"
#include "devices/pit.h"
#include "devices/power-management.h"
#include "devices/rtc.h"
#include "devices/uart.h"
#include "emulator/emulator.h"
#include "emulator/virtual-clock.h"

namespace vtkit::test {

using emulator::Emulator;
using emulator::Rounds;
using emulator::Turn;

class Pc final : private bus::MessageSink, private emulator::Member {
 public:
  static constexpr uint16_t kDebugExit = 0xf4;

  Pc(memory::GuestMemory& memory, unsigned processors) : memory_(memory) {
    using bus::Space;
    const auto part = [](bus::Device& device) { return std::shared_ptr<bus::Device>(&device, [](bus::Device*) {}); };
    bus_.setDefault(Space::ports, bus::Answer::exit);
    bus_.map(Space::memory, 0xfec00000, 0x1000, part(*lines_.ioApic()));
    bus_.map(Space::memory, 0xfed00000, devices::Hpet::kBytes, part(hpet_));
    bus_.map(Space::ports, 0x20, 2, part(lines_.pic().master()));
    bus_.map(Space::ports, 0xa0, 2, part(lines_.pic().slave()));
    bus_.map(Space::ports, 0x4d0, 2, part(lines_.pic().edgeLevel()));
    bus_.map(Space::ports, 0x40, 4, part(pit_.counters()));
    bus_.map(Space::ports, 0x61, 1, part(pit_.control()));
    bus_.map(Space::ports, 0x70, devices::Rtc::kPorts, part(rtc_));
    bus_.map(Space::ports, 0x3f8, devices::Uart::kPorts, part(uart_));
    for (const uint64_t base : {0x600, 0xb000}) {
      bus_.map(Space::ports, base, devices::PowerManagement::kPorts, part(power_));
    }
    bus_.map(Space::ports, 0x2000, devices::IoApic::kLines, part(testLines_));
    rtc_.onAlarm([this] { power_.clockAlarm(); });
    for (unsigned i = 0; i < processors; i++) seats_.push_back(std::make_unique<Seat>(*this, i));
    for (unsigned i = 1; i < processors; i++) seats_[i]->emulator.waitForStartup();
  }
  ~Pc() override { clock_.detach(); }

  Emulator& processor(unsigned index) { return seats_[index]->emulator; }
  size_t processors() const { return seats_.size(); }

  /** What the guest said on COM1. */
  const std::string& serial() const { return serial_; }

  /** Runs until the guest ends, or has had so many instructions on each processor or so many turns. */
  void run(uint64_t instructions, unsigned turns) {
    turnsLeft_ = turns;
    for (const auto& seat : seats_) seat->emulator.setLimit(instructions);
    rounds_.run(*this);
  }

 private:
  struct Seat final : emulator::Platform {
    Seat(Pc& pc, unsigned index) : pc(pc), index(index), emulator(pc.memory_, *this, index, &pc.all_) {}
    bool portRead(uint16_t port, unsigned size, unsigned count, void* data) override {
      for (unsigned i = 0; i < count; i++)
        pc.read(bus::Space::ports, port, size, static_cast<uint8_t*>(data) + i * size);
      return true;
    }
    bool portWrite(uint16_t port, unsigned size, unsigned count, const void* data) override {
      for (unsigned i = 0; i < count; i++) {
        pc.write(bus::Space::ports, port, size, static_cast<const uint8_t*>(data) + i * size);
      }
      if (port == kDebugExit) emulator.attention(emulator::kStop), pc.over_ = true;
      return true;
    }
    bool mmioRead(uint64_t address, unsigned size, void* data) override {
      pc.read(bus::Space::memory, address, size, data);
      return true;
    }
    bool mmioWrite(uint64_t address, unsigned size, const void* data) override {
      pc.write(bus::Space::memory, address, size, data);
      return true;
    }
    int acknowledgeInterrupt() override { return index == 0 ? pc.lines_.pic().acknowledge() : -1; }
    bool interruptAsserted() override { return index == 0 && pc.lines_.pic().asserted(); }
    bool send(const bus::InterruptMessage& message, bool others) override {
      pc.route(message, others ? this : nullptr);
      return true;
    }
    void endOfInterrupt(uint8_t vector) override { pc.lines_.ioApic()->endOfInterrupt(vector); }

    Pc& pc;
    const unsigned index;
    Emulator emulator;
    bool halted = false;
  };

  /** The interrupt lines of QEMU's pc-testdev: port 2000H + n drives line n. */
  struct TestLines final : bus::Device {
    explicit TestLines(devices::InterruptLines& lines) : lines(lines) {}
    bus::Answer read(uint64_t, unsigned, uint64_t&) override { return bus::Answer::exit; }
    bus::Answer write(uint64_t offset, unsigned, uint64_t value) override {
      constexpr uint64_t kCascade = 2;
      if (offset != kCascade) lines.line(static_cast<unsigned>(offset)).set(value != 0);
      return bus::Answer::done;
    }
    devices::InterruptLines& lines;
  };

  void read(bus::Space space, uint64_t address, unsigned size, void* data) {
    uint64_t value = ~uint64_t{0};  // an open bus
    if (bus_.read(space, address, size, value) == bus::Answer::exit) value = ~uint64_t{0};
    std::memcpy(data, &value, size);
  }
  void write(bus::Space space, uint64_t address, unsigned size, const void* data) {
    uint64_t value = 0;
    std::memcpy(&value, data, size);
    bus_.write(space, address, size, value);
    drain();
  }

  void drain() {
    for (uint32_t at = ring_->tail.load(); at != ring_->head.load(); at++) {
      serial_ += static_cast<char>(ring_->records[at % bus::Ring::kRecords].value);
    }
    ring_->tail.store(ring_->head.load());
  }

  bool deliver(const bus::InterruptMessage& message) override { return route(message, nullptr); }
  bool route(const bus::InterruptMessage& message, const Seat* except) {
    bool taken = false;
    for (const auto& seat : seats_) {
      if (seat.get() == except || !seat->emulator.apic().matches(message)) continue;
      taken = seat->emulator.apic().accept(message) || taken;
      if (taken && message.mode == bus::DeliveryMode::lowestPriority) break;
    }
    return taken;
  }

  unsigned index() const override { return 0; }
  bool stopDead() override { return true; }
  uint64_t tick() const override { return running_ == nullptr ? start_ : running_->emulator.ticks(); }
  void look() override { running_->emulator.attention(emulator::kInterrupt); }

  Turn turn(uint64_t start, const uint64_t& end, uint64_t& until) override {
    if (over_ || turnsLeft_-- == 0) return Turn::ended;
    start_ = start;
    bool busy = false, idle = false;
    for (uint64_t at = start; at < end;) {
      uint64_t slice = seats_.size() == 1 ? end : std::min(end, at + Rounds::kSlice);
      busy = false;
      for (const auto& seat : seats_) {
        running_ = seat.get();
        const Turn turn = slot(*seat, at, seats_.size() == 1 ? end : slice, until);
        running_ = nullptr;
        if (turn == Turn::ended) return turn;
        busy = busy || turn == Turn::busy;
        idle = idle || turn == Turn::idle;
      }
      start_ = at = slice;
      if (!busy) break;
    }
    if (busy) return Turn::busy;
    // A guest that waits for something outside waits for ever.
    return idle && (until != Rounds::kNever || clock_.due() != Rounds::kNever) ? Turn::idle : Turn::dead;
  }

  Turn slot(Seat& seat, uint64_t start, const uint64_t& end, uint64_t& until) {
    Emulator& emulator = seat.emulator;
    emulator.advanceTo(start);
    for (;;) {
      const bool due = emulator.ticks() >= emulator.nextEvent();
      if ((seat.halted || emulator.cpu().waits) && !due && !emulator.wakes()) {
        const bool interruptible = emulator.interruptible();
        if (interruptible) until = std::min(until, emulator.nextEvent());
        if (until > end) emulator.advanceTo(end);
        return interruptible ? Turn::idle : Turn::dead;
      }
      if (seat.halted && emulator.ticks() >= emulator.apic().nextEvent()) emulator.apic().expire();
      if (seat.halted && !emulator.wakes()) continue;
      seat.halted = false;
      switch (emulator.run(end)) {
        case Emulator::Stop::turn:
          emulator.advanceTo(end);
          return Turn::busy;
        case Emulator::Stop::waiting:
          continue;
        case Emulator::Stop::halted:
          seat.halted = true;
          continue;
        default:
          return Turn::ended;
      }
    }
  }

  memory::GuestMemory& memory_;
  Rounds rounds_;
  emulator::VirtualClock clock_{rounds_};
  bus::Bus bus_;
  std::unique_ptr<bus::Ring> ring_ = std::make_unique<bus::Ring>();
  bus::Outbox outbox_{*ring_, [] {}};
  std::vector<emulator::Cpu*> all_;
  std::vector<std::unique_ptr<Seat>> seats_;
  devices::InterruptLines lines_{[this] {
                                   if (!seats_.empty()) seats_[0]->emulator.attention(emulator::kInterrupt);
                                 },
                                 this};
  devices::GatedLine irq0_{lines_.line(0)}, irq8_{lines_.line(8)};
  devices::Pit pit_{clock_, irq0_};
  devices::Hpet hpet_{clock_, [this](unsigned pin) -> devices::EdgeLine& { return lines_.line(pin); }, irq0_, irq8_};
  devices::Rtc rtc_{clock_, irq8_, {}, 946684800};
  devices::PowerManagement power_{clock_, lines_.line(9)};
  devices::Uart uart_{outbox_, 0x3f8, lines_.line(4)};
  TestLines testLines_{lines_};

  Seat* running_ = nullptr;
  uint64_t start_ = 0;
  unsigned turnsLeft_ = 0;
  std::string serial_;
  bool over_ = false;
};

}  // namespace vtkit::test
