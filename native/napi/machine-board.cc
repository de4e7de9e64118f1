// The JavaScript machine object: ports, MMIO and interrupt lines.
#include <string>

#include "bus/posted.h"
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

void Machine::mapPosted(Info info) {
  const bus::Space space = spaceOf(info[0]);
  const uint64_t from = toUint64(info[1], "from");
  const auto kind = space == bus::Space::ports ? bus::Record::postedPort : bus::Record::postedMemory;
  auto device = std::make_shared<bus::Posted>(open().outbox(), kind, from);
  requireMapped(info.Env(), open().board().bus().map(space, from, toUint64(info[2], "count"), std::move(device)), from);
}

void Machine::unmap(Info info) { open().board().bus().unmap(spaceOf(info[0]), toUint64(info[1], "from")); }

void Machine::setIrqLine(Info info) {
  const uint32_t line = toUint32(info[0], "line");
  const bool level = info[1].ToBoolean();
  machine::Machine& machine = open();
  if (devices_->pic == nullptr) {
    guarded(info.Env(), [&] { machine.engine().setIrqLine(line, level); });
    return;
  }
  if (line > 15 || line == 2) throw Napi::RangeError::New(info.Env(), "line must be 0 to 15, and not 2 (the cascade)");
  devices_->pic->line(static_cast<int>(line)).set(level);
}

void Machine::connectIrqfd(Info info) {
  const uint32_t gsi = toUint32(info[0], "gsi");
  const int eventfd = info[1].ToNumber().Int32Value();
  const bool connect = info[2].ToBoolean();
  guarded(info.Env(), [&] { open().engine().connectIrqfd(gsi, eventfd, connect); });
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

/** The PC's interrupt controllers and timer, on the bus of the machine. */
void Machine::addPc(Info) {
  machine::Machine& machine = open();
  devices_->addPc(machine);
}

void Machine::addUart(Info info) {
  const uint64_t from = toUint64(info[0], "from");
  const uint32_t line = toUint32(info[1], "line");
  requireMapped(info.Env(), devices_->addUart(open(), from, line), from);
}

void Machine::receive(Info info) {
  const uint64_t from = toUint64(info[0], "from");
  const Bytes bytes = toBytes(info[1], "data");
  open();
  const auto uart = devices_->uarts.find(from);
  if (uart == devices_->uarts.end()) throw Napi::RangeError::New(info.Env(), "no UART stands at that port");
  uart->second->receive(bytes.data, bytes.size);
}

}  // namespace vtkit::napi
