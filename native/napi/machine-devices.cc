// The JavaScript machine object: messages of devices, and devices that the host gives to the machine.
#include "napi/convert.h"
#include "napi/machine.h"
#include "napi/vfio.h"

namespace vtkit::napi {

void Machine::setMsiRoute(Info info) {
  const uint32_t gsi = toUint32(info[0], "gsi");
  const uint64_t address = toUint64(info[1], "address");
  const uint32_t data = toUint32(info[2], "data");
  guarded(info.Env(), [&] { open().engine().setMsiRoute(gsi, address, data); });
}

void Machine::signalMsi(Info info) {
  const uint64_t address = toUint64(info[0], "address");
  const uint32_t data = toUint32(info[1], "data");
  guarded(info.Env(), [&] { open().engine().signalMsi(address, data); });
}

void Machine::attachVfio(Info info) {
  const int fd = info[0].ToNumber().Int32Value();
  const bool attach = info[1].ToBoolean();
  guarded(info.Env(), [&] { open().engine().attachVfio(fd, attach); });
}

/** A slot of the engine's alone: what lies in it is a device's, which nothing here may touch without a guard. */
void Machine::addDeviceMemory(Info info) {
  memory::Slot slot = {};
  slot.number = toUint32(info[0], "slot");
  slot.guestPhysical = toUint64(info[1], "guestPhysical");
  vfio::Device& device = vfioDevice(info[2]);
  const uint32_t region = toUint32(info[3], "region");
  const uint64_t offset = toUint64(info[4], "offset");
  slot.bytes = toUint64(info[5], "bytes");
  slot.host = guarded(info.Env(), [&] { return device.mapped(region, offset, slot.bytes); });
  if (slot.host == nullptr) throw Napi::Error::New(info.Env(), "the region cannot be mapped");
  guarded(info.Env(), [&] { open().engine().addMemory(slot); });
}

void Machine::removeDeviceMemory(Info info) {
  memory::Slot slot = {};
  slot.number = toUint32(info[0], "slot");
  guarded(info.Env(), [&] { open().engine().removeMemory(slot); });
}

void Machine::mapForDma(Info info) {
  const uint32_t number = toUint32(info[1], "slot");
  for (const memory::Slot& slot : open().memory().slots()) {
    if (slot.number == number) {
      return mapForDevices(info[0], open().backing(number), slot.guestPhysical, !slot.readOnly);
    }
  }
  throw Napi::RangeError::New(info.Env(), "no memory slot has that number");
}

}  // namespace vtkit::napi
