// The JavaScript machine object: life, wake-ups and memory.
#include "napi/machine.h"

#include <poll.h>
#include <uv.h>

#include <cstring>
#include <string>

#include "napi/convert.h"
#include "napi/engines.h"
#include "napi/machine-board.h"

namespace vtkit::napi {

using memory::GuestMemory;

void Machine::init(Napi::Env env, Napi::Object exports) {
  exports.Set("Machine", DefineClass(env, "Machine",
                                     {
                                         InstanceMethod<&Machine::close>("close"),
                                         InstanceMethod<&Machine::ref>("ref"),
                                         InstanceMethod<&Machine::unref>("unref"),
                                         InstanceMethod<&Machine::ring>("ring"),
                                         InstanceMethod<&Machine::drained>("drained"),
                                         InstanceMethod<&Machine::eventsPending>("eventsPending"),
                                         InstanceMethod<&Machine::addMemory>("addMemory"),
                                         InstanceMethod<&Machine::removeMemory>("removeMemory"),
                                         InstanceMethod<&Machine::readMemory>("readMemory"),
                                         InstanceMethod<&Machine::writeMemory>("writeMemory"),
                                         InstanceMethod<&Machine::viewMemory>("viewMemory"),
                                         InstanceMethod<&Machine::dirtyLog>("dirtyLog"),
                                         InstanceMethod<&Machine::setDefault>("setDefault"),
                                         InstanceMethod<&Machine::setTracing>("setTracing"),
                                         InstanceMethod<&Machine::mapOutside>("mapOutside"),
                                         InstanceMethod<&Machine::unmap>("unmap"),
                                         InstanceMethod<&Machine::addPc>("addPc"),
                                         InstanceMethod<&Machine::nanoseconds>("nanoseconds"),
                                         InstanceMethod<&Machine::access>("access"),
                                         InstanceMethod<&Machine::acknowledge>("acknowledge"),
                                         InstanceMethod<&Machine::interruptAsserted>("interruptAsserted"),
                                         InstanceMethod<&Machine::advance>("advance"),
                                         InstanceMethod<&Machine::nextEvent>("nextEvent"),
                                         InstanceMethod<&Machine::addFirmware>("addFirmware"),
                                         InstanceMethod<&Machine::wakeMoment>("wakeMoment"),
                                         InstanceMethod<&Machine::wakeUp>("wakeUp"),
                                         InstanceMethod<&Machine::addUart>("addUart"),
                                         InstanceMethod<&Machine::receive>("receive"),
                                         InstanceMethod<&Machine::setIrqLine>("setIrqLine"),
                                         InstanceMethod<&Machine::connectIrqfd>("connectIrqfd"),
                                         InstanceMethod<&Machine::connectIoeventfd>("connectIoeventfd"),
                                         InstanceMethod<&Machine::setMsiRoute>("setMsiRoute"),
                                         InstanceMethod<&Machine::signalMsi>("signalMsi"),
                                         InstanceMethod<&Machine::attachVfio>("attachVfio"),
                                         InstanceMethod<&Machine::addDeviceMemory>("addDeviceMemory"),
                                         InstanceMethod<&Machine::removeDeviceMemory>("removeDeviceMemory"),
                                         InstanceMethod<&Machine::hideMemory>("hideMemory"),
                                         InstanceMethod<&Machine::addWindow>("addWindow"),
                                         InstanceMethod<&Machine::removeWindow>("removeWindow"),
                                         InstanceMethod<&Machine::mapForDma>("mapForDma"),
                                         InstanceMethod<&Machine::createVcpu>("createVcpu"),
                                         InstanceMethod<&Machine::wake>("wake"),
                                         InstanceMethod<&Machine::stop>("stop"),
                                         InstanceMethod<&Machine::waitForExit>("waitForExit"),
                                         InstanceMethod<&Machine::loadSregs>("loadSregs"),
                                         InstanceMethod<&Machine::storeSregs>("storeSregs"),
                                         InstanceMethod<&Machine::stateBytes>("stateBytes"),
                                         InstanceMethod<&Machine::getState>("getState"),
                                         InstanceMethod<&Machine::setState>("setState"),
                                         InstanceMethod<&Machine::getMsrs>("getMsrs"),
                                         InstanceMethod<&Machine::setMsrs>("setMsrs"),
                                         InstanceMethod<&Machine::getCpuid>("getCpuid"),
                                         InstanceMethod<&Machine::setCpuid>("setCpuid"),
                                         InstanceMethod<&Machine::interrupt>("interrupt"),
                                         InstanceMethod<&Machine::nmi>("nmi"),
                                         InstanceMethod<&Machine::setSingleStep>("setSingleStep"),
                                         InstanceMethod<&Machine::setBreakpointExits>("setBreakpointExits"),
                                         InstanceMethod<&Machine::saveState>("saveState"),
                                         InstanceMethod<&Machine::loadState>("loadState"),
                                         InstanceMethod<&Machine::usedPages>("usedPages"),
                                         InstanceMethod<&Machine::setPages>("setPages"),
                                         InstanceMethod<&Machine::forget>("forget"),
                                         InstanceMethod<&Machine::storeRegs>("storeRegs"),
                                         InstanceMethod<&Machine::pause>("pause"),
                                         InstanceMethod<&Machine::pauseAt>("pauseAt"),
                                         InstanceMethod<&Machine::traceInstructions>("traceInstructions"),
                                         InstanceMethod<&Machine::scheduleInput>("scheduleInput"),
                                         InstanceMethod<&Machine::clearInput>("clearInput"),
                                     }));
}

Machine::Machine(Info info) : Napi::ObjectWrap<Machine>(info) {
  const Napi::Env env = info.Env();
  const Napi::Object options = info[0].As<Napi::Object>();
  machine_ =
      guarded(env, [&] { return std::make_unique<machine::Machine>(engineFactory(options), [this] { notify(); }); });
  devices_ = std::make_unique<Board>();
  onWake_ = Napi::ThreadSafeFunction::New(env, info[1].As<Napi::Function>(), "vtkit machine", 0, 1);
  onWake_.Unref(env);
  napi_add_env_cleanup_hook(env, endWithEnvironment, this);
  hooked_ = true;
}

Machine::~Machine() { end(); }

void Machine::endWithEnvironment(void* self) {
  auto* machine = static_cast<Machine*>(self);
  machine->hooked_ = false;
  machine->end();
}

void Machine::end() {
  if (machine_ == nullptr) return;
  devices_.reset();
  machine_->close();
  machine_.reset();
  onWake_.Release();
  if (hooked_) napi_remove_env_cleanup_hook(Env(), endWithEnvironment, this);
}

void Machine::notify() {
  // One call in the queue is enough: JavaScript looks at everything when it comes.
  if (notified_->exchange(true)) return;
  // The call may come after the machine is gone, and while the environment is torn down, when JavaScript can no longer
  // be called: nobody is left to hear of it then. An exception of JavaScript's stays pending, for Node to report.
  onWake_.NonBlockingCall([notified = notified_](Napi::Env env, Napi::Function callback) {
    notified->store(false);
    napi_call_function(env, env.Undefined(), callback, 0, nullptr, nullptr);
  });
}

machine::Machine& Machine::open() {
  if (machine_ == nullptr) throw Napi::Error::New(Env(), "the machine is closed");
  return *machine_;
}

void Machine::close(Info) { end(); }

void Machine::ref(Info info) {
  open();
  onWake_.Ref(info.Env());
}

void Machine::unref(Info info) {
  if (machine_ != nullptr) onWake_.Unref(info.Env());
}

Napi::Value Machine::ring(Info info) {
  const auto& ring = open().ring();
  return shared(info.Env(), ring, ring.get(), sizeof(*ring));
}

void Machine::drained(Info) { open().outbox().drained(); }

Napi::Value Machine::eventsPending(Info info) {
  uv_loop_s* loop = nullptr;
  if (napi_get_uv_event_loop(info.Env(), &loop) != napi_ok) throw Napi::Error::New(info.Env(), "no event loop");
  pollfd backend = {uv_backend_fd(loop), POLLIN, 0};
  return Napi::Boolean::New(info.Env(), poll(&backend, 1, 0) > 0);
}

void Machine::addMemory(Info info) {
  const uint32_t slot = toUint32(info[0], "slot");
  const uint64_t guestPhysical = toUint64(info[1], "guestPhysical");
  const uint64_t bytes = toUint64(info[2], "bytes");
  const bool readOnly = info[3].ToBoolean();
  const bool logDirty = info[4].ToBoolean();
  const auto result =
      guarded(info.Env(), [&] { return open().addMemory(slot, guestPhysical, bytes, readOnly, logDirty); });
  if (result == GuestMemory::Result::misaligned) {
    throw Napi::RangeError::New(info.Env(),
                                "a memory slot's address and size must be multiples of 4096, and not empty");
  }
  if (result == GuestMemory::Result::overlap) {
    throw Napi::RangeError::New(info.Env(), "the memory slot overlaps another, or its number is taken");
  }
}

void Machine::removeMemory(Info info) {
  const uint32_t slot = toUint32(info[0], "slot");
  const auto result = guarded(info.Env(), [&] { return open().removeMemory(slot); });
  if (result != GuestMemory::Result::ok) throw Napi::RangeError::New(info.Env(), "no memory slot has that number");
}

void Machine::hideMemory(Info info) {
  guarded(info.Env(), [&] { open().hideMemory(); });
}

void Machine::addWindow(Info info) {
  const uint32_t number = toUint32(info[0], "slot");
  const uint64_t guestPhysical = toUint64(info[1], "guestPhysical");
  const uint64_t from = toUint64(info[2], "from");
  const uint64_t bytes = toUint64(info[3], "bytes");
  const bool readOnly = info[4].ToBoolean();
  if (!guarded(info.Env(), [&] { return open().addWindow(number, guestPhysical, from, bytes, readOnly); })) {
    throw Napi::RangeError::New(info.Env(), "a window must show a range of one memory slot");
  }
}

void Machine::removeWindow(Info info) {
  const uint32_t number = toUint32(info[0], "slot");
  guarded(info.Env(), [&] { open().removeWindow(number); });
}

Napi::Value Machine::readMemory(Info info) {
  const Bytes to = toBytes(info[1], "to");
  return Napi::Boolean::New(info.Env(), open().memory().read(toUint64(info[0], "address"), to.data, to.size));
}

Napi::Value Machine::writeMemory(Info info) {
  const Bytes from = toBytes(info[1], "data");
  return Napi::Boolean::New(info.Env(), open().memory().write(toUint64(info[0], "address"), from.data, from.size));
}

Napi::Value Machine::viewMemory(Info info) {
  const uint64_t address = toUint64(info[0], "address");
  const uint64_t bytes = toUint64(info[1], "bytes");
  uint8_t* data = open().memory().at(address, bytes);
  if (data == nullptr) throw Napi::RangeError::New(info.Env(), "a view must lie inside one memory slot");
  return shared(info.Env(), open().backing(open().memory().find(address)->number), data, bytes);
}

Napi::Value Machine::dirtyLog(Info info) {
  const uint32_t number = toUint32(info[0], "slot");
  for (const memory::Slot& slot : open().memory().slots()) {
    if (slot.number != number) continue;
    if (!slot.logDirty) throw Napi::RangeError::New(info.Env(), "that memory slot keeps no dirty log");
    const size_t words = (slot.bytes / memory::kPageSize + 63) / 64;
    auto bitmap = Napi::BigUint64Array::New(info.Env(), words);
    guarded(info.Env(), [&] { open().engine().takeDirtyLog(slot, bitmap.Data()); });
    return bitmap;
  }
  throw Napi::RangeError::New(info.Env(), "no memory slot has that number");
}

}  // namespace vtkit::napi
