// The JavaScript machine object: ports, MMIO and interrupt lines.
#include <algorithm>
#include <cstdio>
#include <string>
#include <utility>

#include "bus/outside.h"
#include "emulator/inbox.h"
#include "napi/convert.h"
#include "napi/machine-board.h"
#include "napi/machine.h"

namespace vtkit::napi {

namespace {

/** The space named by 'ports' or 'memory'. */
bus::Space spaceOf(const Napi::Value& value) {
  return value.ToString().Utf8Value() == "memory" ? bus::Space::memory : bus::Space::ports;
}

void requireMapped(Napi::Env env, bool mapped, uint64_t from) {
  if (mapped) return;
  char place[32];
  std::snprintf(place, sizeof(place), "0x%llx", static_cast<unsigned long long>(from));
  throw Napi::RangeError::New(
      env, std::string("the range at ") + place + " is empty, leaves its address space, or overlaps another");
}

}  // namespace

void Machine::setDefault(Info info) {
  open().board().bus().setDefault(spaceOf(info[0]), info[1].ToBoolean() ? bus::Answer::done : bus::Answer::exit);
}

void Machine::setTracing(Info info) { open().board().setTracing(info[0].ToBoolean()); }

void Machine::mapOutside(Info info) {
  const bus::Space space = spaceOf(info[0]);
  const uint64_t from = toUint64(info[1], "from");
  const bool posted = info[3].ToBoolean();
  const auto kind = space == bus::Space::ports ? bus::Record::postedPort : bus::Record::postedMemory;
  std::shared_ptr<bus::Device> device;
  if (posted) {
    device = std::make_shared<bus::Posted>(open().outbox(), kind, from);
  } else {
    device = std::make_shared<bus::Exiting>();
  }
  requireMapped(info.Env(), open().board().bus().map(space, from, toUint64(info[2], "count"), std::move(device)), from);
}

void Machine::unmap(Info info) { open().board().bus().unmap(spaceOf(info[0]), toUint64(info[1], "from")); }

void Machine::setIrqLine(Info info) {
  const uint32_t line = toUint32(info[0], "line");
  const bool level = info[1].ToBoolean();
  machine::Machine& machine = open();
  if (devices_->lines == nullptr) {
    guarded(info.Env(), [&] { machine.engine().setIrqLine(line, level); });
    return;
  }
  const unsigned lines = devices_->lines->count();
  if (line >= lines || line == 2) {
    throw Napi::RangeError::New(info.Env(),
                                "line must be 0 to " + std::to_string(lines - 1) + ", and not 2 (the cascade)");
  }
  devices_->lines->line(line).set(level);
}

void Machine::connectIrqfd(Info info) {
  const uint32_t gsi = toUint32(info[0], "gsi");
  const int eventfd = info[1].ToNumber().Int32Value();
  const bool connect = info[2].ToBoolean();
  const int resample = info[3].IsUndefined() ? -1 : info[3].ToNumber().Int32Value();
  guarded(info.Env(), [&] { open().engine().connectIrqfd(gsi, eventfd, resample, connect); });
}

void Machine::connectIoeventfd(Info info) {
  machine::Engine::Ioeventfd connection = {};
  connection.port = spaceOf(info[0]) == bus::Space::ports;
  connection.address = toUint64(info[1], "address");
  connection.bytes = toUint32(info[2], "bytes");
  connection.matches = !info[3].IsUndefined();
  if (connection.matches) connection.value = toUint64(info[3], "value");
  connection.eventfd = info[4].ToNumber().Int32Value();
  const bool connect = info[5].ToBoolean();
  guarded(info.Env(), [&] { open().engine().connectIoeventfd(connection, connect); });
}

namespace {

constexpr uint64_t kIoApicBase = 0xfec00000, kHpetBase = 0xfed00000;

/** A pointer to a part of a shared object, which keeps the whole alive. */
template <typename Whole>
std::shared_ptr<bus::Device> partOf(const std::shared_ptr<Whole>& whole, bus::Device& part) {
  return {whole, &part};
}

class MachineClock final : public devices::Clock {
 public:
  explicit MachineClock(machine::Board& board) : board_(board) {}
  uint64_t nanoseconds() override { return board_.nanoseconds(); }

 private:
  machine::Board& board_;
};

}  // namespace

/** A line that ends at the engine's own controller; without one the device polls only. */
class Machine::Board::EngineLine final : public bus::Line {
 public:
  EngineLine(machine::Engine& engine, uint32_t number) : engine_(engine), number_(number) {}
  void set(bool level) override {
    if (level == level_) return;
    level_ = level;
    try {
      engine_.setIrqLine(number_, level);
    } catch (const os::SystemError&) {
      // Not through the device, which would keep its lock. KVM refuses a line of its own controller only when it has
      // given the machine up (EIO), and the next KVM_RUN says so.
    }
  }

 private:
  machine::Engine& engine_;
  const uint32_t number_;
  bool level_ = false;
};

/** A line that ends in the air, as on a board without an interrupt controller. */
class Machine::Board::OpenLine final : public bus::Line {
 public:
  void set(bool) override {}
};

/** The timers with what they refer to; those of high precision need an I/O APIC. */
struct Machine::Board::Timers {
  Timers(std::shared_ptr<devices::Clock> time, std::shared_ptr<devices::InterruptLines> lines)
      : clock(std::move(time)),
        lines(std::move(lines)),
        irq0(this->lines->line(0)),
        irq8(this->lines->line(8)),
        pit(*clock, irq0) {
    if (this->lines->ioApic() == nullptr) return;
    const auto pin = [this](unsigned number) -> devices::EdgeLine& { return this->lines->line(number); };
    hpet = std::make_unique<devices::Hpet>(*clock, pin, irq0, irq8);
  }
  std::shared_ptr<devices::Clock> clock;
  std::shared_ptr<devices::InterruptLines> lines;
  devices::GatedLine irq0, irq8;
  devices::Pit pit;
  std::unique_ptr<devices::Hpet> hpet;
};

bool Machine::Board::addPc(machine::Machine& machine, bool virtualTime) {
  using bus::Space;
  lines = std::make_shared<devices::InterruptLines>([&machine] { machine.interruptChanged(); },
                                                    machine.engine().messages());
  if (virtualTime) clock = machine.engine().virtualClock();
  time(machine);
  timers = std::make_shared<Timers>(clock, lines);
  devices::Pic& pic = lines->pic();
  devices::IoApic* ioApic = lines->ioApic();
  bus::Bus& bus = machine.board().bus();
  machine.keep(lines);
  machine.keep(timers);
  machine.board().setInterrupts(&pic);
  machine.board().setEndListener(ioApic);
  return (ioApic == nullptr ||
          (bus.map(Space::memory, kIoApicBase, 0x1000, partOf(lines, *ioApic)) &&
           bus.map(Space::memory, kHpetBase, devices::Hpet::kBytes, partOf(timers, *timers->hpet)))) &&
         bus.map(Space::ports, 0x20, 2, partOf(lines, pic.master())) &&
         bus.map(Space::ports, 0xa0, 2, partOf(lines, pic.slave())) &&
         bus.map(Space::ports, 0x4d0, 2, partOf(lines, pic.edgeLevel())) &&
         bus.map(Space::ports, 0x40, 4, partOf(timers, timers->pit.counters())) &&
         bus.map(Space::ports, 0x61, 1, partOf(timers, timers->pit.control()));
}

std::shared_ptr<bus::Line> Machine::Board::interruptLine(machine::Machine& machine, uint32_t number) {
  if (lines != nullptr && number == 8) return {timers, &timers->irq8};
  if (lines != nullptr) return {lines, &lines->line(number & 15)};
  if (!machine.engine().hasIrqLines()) return std::make_shared<OpenLine>();
  // A line that the controller lacks is an error here, and not later on a processor's thread.
  machine.engine().setIrqLine(number, false);
  return std::make_shared<EngineLine>(machine.engine(), number);
}

devices::Clock& Machine::Board::time(machine::Machine& machine) {
  if (clock == nullptr) clock = std::make_shared<MachineClock>(machine.board());
  return *clock;
}

bool Machine::Board::addUart(machine::Machine& machine, uint64_t from, uint32_t line) {
  const std::shared_ptr<bus::Line> interrupt = interruptLine(machine, line);
  auto uart = std::make_shared<devices::Uart>(machine.outbox(), static_cast<uint32_t>(from), *interrupt);
  if (!machine.board().bus().map(bus::Space::ports, from, devices::Uart::kPorts, uart)) return false;
  machine.keep(interrupt);
  if (emulator::Inbox* inbox = machine.engine().inbox()) {
    inbox->connect(from, [uart, &machine](const emulator::Inbox::Input& input, uint64_t tick) {
      machine.outbox().push({bus::Record::received, static_cast<uint32_t>(input.target), input.target,
                             input.bytes.size(), machine.engine().instructions(), tick});
      uart->receive(input.bytes.data(), input.bytes.size());
    });
  }
  uarts.emplace(from, std::move(uart));
  return true;
}

struct Machine::Board::Firmware {
  Firmware(Board& board, machine::Machine& machine, const devices::Rtc::Contents& contents, int64_t unixSeconds)
      : clock((board.time(machine), board.clock)),
        irq8(board.interruptLine(machine, kClockLine)),
        sci(board.interruptLine(machine, kSciLine)),
        power(*clock, *sci),
        rtc(*clock, *irq8, contents, unixSeconds) {
    rtc.onAlarm([this] { power.clockAlarm(); });
  }
  static constexpr uint32_t kClockLine = 8, kSciLine = 9;

  std::shared_ptr<devices::Clock> clock;
  std::shared_ptr<bus::Line> irq8, sci;
  devices::PowerManagement power;
  devices::Rtc rtc;  // last: its alarm calls the other
};

bool Machine::Board::addFirmware(machine::Machine& machine, const devices::Rtc::Contents& contents, int64_t unixSeconds,
                                 const std::vector<uint64_t>& powerManagementBases) {
  firmware = std::make_shared<Firmware>(*this, machine, contents, unixSeconds);
  machine.keep(firmware);
  bus::Bus& bus = machine.board().bus();
  for (const uint64_t base : powerManagementBases) {
    if (!bus.map(bus::Space::ports, base, devices::PowerManagement::kPorts, partOf(firmware, firmware->power)))
      return false;
  }
  return bus.map(bus::Space::ports, 0x70, devices::Rtc::kPorts, partOf(firmware, firmware->rtc));
}

void Machine::Board::visit(state::Archive& archive) {
  if (lines != nullptr) {
    lines->pic().visit(archive);
    if (lines->ioApic() != nullptr) lines->ioApic()->visit(archive);
  }
  if (timers != nullptr) {
    timers->pit.visit(archive);
    if (timers->hpet != nullptr) timers->hpet->visit(archive);
  }
  if (firmware != nullptr) {
    firmware->power.visit(archive);
    firmware->rtc.visit(archive);
  }
  for (const auto& [from, uart] : uarts) uart->visit(archive);
}

void Machine::addPc(Info info) {
  machine::Machine& machine = open();
  requireMapped(info.Env(), devices_->addPc(machine, info[0].ToBoolean()), 0x20);
}

Napi::Value Machine::nanoseconds(Info info) {
  const uint64_t now = devices_->clock != nullptr ? devices_->clock->nanoseconds() : open().board().nanoseconds();
  return Napi::BigInt::New(info.Env(), now);
}

/** An access as a processor makes it; null if nobody in C++ answers. */
Napi::Value Machine::access(Info info) {
  const bus::Space space = spaceOf(info[0]);
  const uint64_t address = toUint64(info[1], "address");
  const uint32_t size = toUint32(info[2], "size");
  bus::Bus& bus = open().board().bus();
  uint64_t value = 0;
  if (!info[3].IsUndefined()) {
    value = toUint64(info[3], "value");
    if (bus.write(space, address, size, value) == bus::Answer::exit) return info.Env().Null();
  } else if (bus.read(space, address, size, value) == bus::Answer::exit) {
    return info.Env().Null();
  }
  return Napi::BigInt::New(info.Env(), value);
}

Napi::Value Machine::acknowledge(Info info) {
  bus::InterruptSource* interrupts = open().board().interrupts();
  const int vector = interrupts != nullptr && interrupts->asserted() ? interrupts->acknowledge() : -1;
  return Napi::Number::New(info.Env(), vector);
}

Napi::Value Machine::interruptAsserted(Info info) {
  bus::InterruptSource* interrupts = open().board().interrupts();
  return Napi::Boolean::New(info.Env(), interrupts != nullptr && interrupts->asserted());
}

void Machine::advance(Info info) {
  open();
  if (devices_->clock != nullptr) devices_->clock->skipTo(toUint64(info[0], "moment"));
}

Napi::Value Machine::nextEvent(Info info) {
  open();
  const uint64_t next = devices_->clock == nullptr ? ~uint64_t{0} : devices_->clock->nextEvent();
  if (next == ~uint64_t{0}) return info.Env().Null();
  return Napi::BigInt::New(info.Env(), next);
}

void Machine::addFirmware(Info info) {
  const Bytes bytes = toBytes(info[0], "contents");
  devices::Rtc::Contents contents = {};
  std::copy_n(bytes.data, std::min(bytes.size, contents.size()), contents.begin());
  const int64_t start = info[1].ToNumber().Int64Value();
  const auto list = info[2].As<Napi::Array>();
  std::vector<uint64_t> bases;
  for (uint32_t i = 0; i < list.Length(); i++) bases.push_back(toUint64(list.Get(i), "base"));
  machine::Machine& machine = open();
  requireMapped(info.Env(), guarded(info.Env(), [&] { return devices_->addFirmware(machine, contents, start, bases); }),
                0x70);
}

Napi::Value Machine::wakeMoment(Info info) {
  open();
  if (devices_->firmware == nullptr) return info.Env().Null();
  devices::Rtc& rtc = devices_->firmware->rtc;
  const uint64_t next = rtc.nextAlarm();
  const uint64_t moment = devices_->firmware->power.wakeMoment(devices_->clock->nanoseconds(), next);
  if (moment == devices::Rtc::kNever) return info.Env().Null();
  return Napi::BigInt::New(info.Env(), moment);
}

void Machine::wakeUp(Info info) {
  open();
  if (devices_->firmware == nullptr) return;
  devices_->clock->skipTo(toUint64(info[0], "moment"));
  devices_->firmware->power.woke();
}

void Machine::addUart(Info info) {
  const uint64_t from = toUint64(info[0], "from");
  const uint32_t line = toUint32(info[1], "line");
  requireMapped(info.Env(), guarded(info.Env(), [&] { return devices_->addUart(open(), from, line); }), from);
}

void Machine::receive(Info info) {
  const uint64_t from = toUint64(info[0], "from");
  const Bytes bytes = toBytes(info[1], "data");
  open();
  const auto uart = devices_->uarts.find(from);
  if (uart == devices_->uarts.end()) throw Napi::RangeError::New(info.Env(), "no UART stands at that port");
  emulator::Inbox* inbox = open().engine().inbox();
  if (inbox == nullptr) return uart->second->receive(bytes.data, bytes.size);
  inbox->post(from, {bytes.data, bytes.data + bytes.size});
  open().engine().wake();
}

}  // namespace vtkit::napi
