// The JavaScript machine object: its vCPUs, by index.
#include <cstring>
#include <string>
#include <vector>

#include "napi/convert.h"
#include "napi/machine.h"

namespace vtkit::napi {

vcpu::Thread& Machine::vcpuOf(Info info) {
  const uint32_t index = toUint32(info[0], "vcpu");
  if (index >= open().vcpus()) throw Napi::RangeError::New(info.Env(), "no vCPU has that index");
  return open().vcpu(index);
}

Napi::Value Machine::createVcpu(Info info) {
  const bool waitsInHalt = info[0].ToBoolean();
  const uint32_t index = guarded(info.Env(), [&] { return open().createVcpu(waitsInHalt); });
  const std::shared_ptr<vcpu::Cell>& cell = open().cell(index);
  return shared(info.Env(), cell, cell.get(), sizeof(*cell));
}

void Machine::wake(Info info) { vcpuOf(info).wake(); }

void Machine::stop(Info info) { vcpuOf(info).requestStop(); }

Napi::Value Machine::waitForExit(Info info) {
  return Napi::Boolean::New(info.Env(), vcpuOf(info).waitForExit(toUint32(info[1], "milliseconds")));
}

void Machine::loadSregs(Info info) {
  guarded(info.Env(), [&] { vcpuOf(info).processor().loadSregs(); });
}

void Machine::storeSregs(Info info) {
  guarded(info.Env(), [&] { vcpuOf(info).processor().storeSregs(); });
}

namespace {

vcpu::StateKind kindOf(const Napi::Value& value) {
  const uint32_t kind = toUint32(value, "kind");
  if (kind > static_cast<uint32_t>(vcpu::kLastStateKind)) {
    throw Napi::RangeError::New(value.Env(), "no state structure has that number");
  }
  return static_cast<vcpu::StateKind>(kind);
}

/** Bytes of a state structure from JavaScript, held to the structure's size. */
uint8_t* stateOf(vcpu::Processor& processor, vcpu::StateKind kind, const Napi::Value& value) {
  const Bytes bytes = toBytes(value, "state");
  const uint32_t expected = processor.stateBytes(kind);
  if (bytes.size != expected) {
    throw Napi::RangeError::New(value.Env(), "the state structure has " + std::to_string(expected) + " bytes, not " +
                                                 std::to_string(bytes.size));
  }
  return bytes.data;
}

template <typename T>
std::vector<T> entriesOf(const Napi::Value& value, const char* name) {
  const Bytes bytes = toBytes(value, name);
  if (bytes.size % sizeof(T) != 0) {
    throw Napi::RangeError::New(value.Env(),
                                std::string(name) + " must be a multiple of " + std::to_string(sizeof(T)) + " bytes");
  }
  std::vector<T> entries(bytes.size / sizeof(T));
  if (bytes.size > 0) std::memcpy(entries.data(), bytes.data, bytes.size);
  return entries;
}

}  // namespace

Napi::Value Machine::stateBytes(Info info) {
  return Napi::Number::New(info.Env(), vcpuOf(info).processor().stateBytes(kindOf(info[1])));
}

void Machine::getState(Info info) {
  const vcpu::StateKind kind = kindOf(info[1]);
  vcpu::Processor& processor = vcpuOf(info).processor();
  uint8_t* to = stateOf(processor, kind, info[2]);
  guarded(info.Env(), [&] { processor.getState(kind, to); });
}

void Machine::setState(Info info) {
  const vcpu::StateKind kind = kindOf(info[1]);
  vcpu::Processor& processor = vcpuOf(info).processor();
  const uint8_t* from = stateOf(processor, kind, info[2]);
  guarded(info.Env(), [&] { processor.setState(kind, from); });
}

Napi::Value Machine::getMsrs(Info info) {
  auto entries = entriesOf<vcpu::MsrEntry>(info[1], "msrs");
  const uint32_t taken = guarded(info.Env(), [&] { return vcpuOf(info).processor().getMsrs(entries); });
  if (!entries.empty()) std::memcpy(toBytes(info[1], "msrs").data, entries.data(), entries.size() * sizeof(entries[0]));
  return Napi::Number::New(info.Env(), taken);
}

Napi::Value Machine::setMsrs(Info info) {
  const auto entries = entriesOf<vcpu::MsrEntry>(info[1], "msrs");
  return Napi::Number::New(info.Env(), guarded(info.Env(), [&] { return vcpuOf(info).processor().setMsrs(entries); }));
}

Napi::Value Machine::getCpuid(Info info) {
  const auto entries = guarded(info.Env(), [&] { return vcpuOf(info).processor().getCpuid(); });
  auto result = Napi::Uint8Array::New(info.Env(), entries.size() * sizeof(vcpu::CpuidEntry));
  if (!entries.empty()) std::memcpy(result.Data(), entries.data(), result.ByteLength());
  return result;
}

void Machine::setCpuid(Info info) {
  const auto entries = entriesOf<vcpu::CpuidEntry>(info[1], "cpuid");
  guarded(info.Env(), [&] { vcpuOf(info).processor().setCpuid(entries); });
}

Napi::Value Machine::interrupt(Info info) {
  const uint32_t vector = toUint32(info[1], "vector");
  if (vector > 255) throw Napi::RangeError::New(info.Env(), "vector must be below 256");
  vcpu::Thread& thread = vcpuOf(info);
  const bool queued = thread.processor().interrupt(static_cast<uint8_t>(vector));
  thread.interruptChanged();
  return Napi::Boolean::New(info.Env(), queued);
}

void Machine::nmi(Info info) {
  vcpu::Thread& thread = vcpuOf(info);
  guarded(info.Env(), [&] { thread.processor().nmi(); });
  thread.interruptChanged();
}

void Machine::setSingleStep(Info info) {
  const bool on = info[1].ToBoolean();
  guarded(info.Env(), [&] { vcpuOf(info).processor().setSingleStep(on); });
}

void Machine::setBreakpointExits(Info info) {
  const bool on = info[1].ToBoolean();
  guarded(info.Env(), [&] { vcpuOf(info).processor().setBreakpointExits(on); });
}

}  // namespace vtkit::napi
