// The JavaScript machine object: its state in and out, and where it pauses.
#include <cstring>
#include <string>

#include "emulator/inbox.h"
#include "machine/page-memory.h"
#include "machine/pages.h"
#include "napi/convert.h"
#include "napi/machine-board.h"
#include "napi/machine.h"

namespace vtkit::napi {

/** Which of the two the state is of, and its bytes: the board's devices, or what the engine keeps by itself. */
Napi::Value Machine::saveState(Info info) {
  std::vector<uint8_t> bytes;
  state::Archive archive(bytes);
  if (info[0].ToString().Utf8Value() == "devices") {
    open();
    devices_->visit(archive);
  } else if (!open().engine().visit(archive)) {
    return info.Env().Null();
  }
  auto result = Napi::Uint8Array::New(info.Env(), bytes.size());
  if (!bytes.empty()) std::memcpy(result.Data(), bytes.data(), bytes.size());
  return result;
}

/** Null, or what is wrong: the section, the offset and why. The object is to be loaded again then. */
Napi::Value Machine::loadState(Info info) {
  const Bytes bytes = toBytes(info[1], "state");
  state::Archive archive(bytes.data, bytes.size);
  if (info[0].ToString().Utf8Value() == "devices") {
    open();
    devices_->visit(archive);
  } else {
    open().engine().visit(archive);
  }
  archive.end();
  if (!archive.failed()) return info.Env().Null();
  auto fault = Napi::Object::New(info.Env());
  fault.Set("section", archive.section());
  fault.Set("offset", static_cast<double>(archive.offset()));
  fault.Set("why", archive.why());
  return fault;
}

namespace {

const memory::Slot& slotOf(machine::Machine& machine, const Napi::Value& value) {
  const uint32_t number = toUint32(value, "slot");
  for (const memory::Slot& slot : machine.memory().slots()) {
    if (slot.number == number) return slot;
  }
  throw Napi::RangeError::New(value.Env(), "no memory slot has that number");
}

}  // namespace

Napi::Value Machine::usedPages(Info info) {
  const memory::Slot& slot = slotOf(open(), info[0]);
  const std::vector<uint32_t> pages = machine::usedPages(slot.host, slot.bytes);
  auto numbers = Napi::Uint32Array::New(info.Env(), pages.size());
  const size_t bytes = pages.size() * memory::kPageSize;
  const auto mapping = guarded(info.Env(), [&] { return machine::pageMemory(bytes); });
  for (size_t i = 0; i < pages.size(); i++) {
    numbers[i] = pages[i];
    std::memcpy(mapping->data() + i * memory::kPageSize, slot.host + uint64_t{pages[i]} * memory::kPageSize,
                memory::kPageSize);
  }
  const auto buffer = shared(info.Env(), mapping, mapping->data(), bytes).As<Napi::ArrayBuffer>();
  const auto contents = Napi::Uint8Array::New(info.Env(), bytes, buffer, 0);
  auto result = Napi::Object::New(info.Env());
  result.Set("numbers", numbers);
  result.Set("contents", contents);
  return result;
}

void Machine::setPages(Info info) {
  const memory::Slot& slot = slotOf(open(), info[0]);
  const auto numbers = info[1].As<Napi::Uint32Array>();
  const Bytes contents = toBytes(info[2], "contents");
  std::vector<uint32_t> pages;
  for (size_t i = 0; i < numbers.ElementLength(); i++) {
    const uint32_t page = numbers[i];
    if (page >= slot.bytes / memory::kPageSize || (!pages.empty() && page <= pages.back())) {
      throw Napi::RangeError::New(info.Env(), "pages must be in order, and lie in the memory slot");
    }
    pages.push_back(page);
  }
  if (contents.size != pages.size() * memory::kPageSize) {
    throw Napi::RangeError::New(info.Env(), "each page has 4096 bytes");
  }
  machine::setPages(slot.host, slot.bytes, pages, contents.data);
  open().memory().noteExternalChange();
}

/** Translations and decoded code: what a restored machine does not have either. */
void Machine::forget(Info) { open().memory().noteExternalChange(); }

/** General registers that JavaScript changed go to the processor now, and not with its next run. */
void Machine::storeRegs(Info info) {
  vcpu::Thread& thread = vcpuOf(info);
  guarded(info.Env(), [&] { thread.processor().storeRegs(); });
  open().cell(toUint32(info[0], "vcpu"))->regsDirty = 0;
}

Napi::Value Machine::pause(Info info) { return Napi::Boolean::New(info.Env(), open().engine().pause()); }

Napi::Value Machine::pauseAt(Info info) {
  const uint64_t instructions = info[0].IsUndefined() ? ~uint64_t{0} : toUint64(info[0], "instructions");
  return Napi::Boolean::New(info.Env(), open().engine().pauseAt(instructions));
}

Napi::Value Machine::traceInstructions(Info info) {
  return Napi::Boolean::New(info.Env(), open().engine().traceInstructions(info[0].ToBoolean()));
}

void Machine::scheduleInput(Info info) {
  const uint64_t tick = toUint64(info[0], "tick"), target = toUint64(info[1], "from");
  const Bytes bytes = toBytes(info[2], "data");
  emulator::Inbox* inbox = open().engine().inbox();
  if (inbox == nullptr) throw Napi::Error::New(info.Env(), "this engine takes input at once");
  inbox->schedule(tick, target, {bytes.data, bytes.data + bytes.size});
}

void Machine::clearInput(Info) {
  if (emulator::Inbox* inbox = open().engine().inbox()) inbox->clear();
}

}  // namespace vtkit::napi
