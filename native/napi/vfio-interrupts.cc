// A VFIO device for JavaScript: its interrupts, by eventfds.
#include "napi/convert.h"
#include "napi/vfio-device.h"

namespace vtkit::napi {

std::vector<int> descriptors(const Napi::Value& value) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_int32_array) {
    throw Napi::TypeError::New(value.Env(), "descriptors must be an Int32Array");
  }
  const auto array = value.As<Napi::Int32Array>();
  return std::vector<int>(array.Data(), array.Data() + array.ElementLength());
}

Napi::Value VfioDevice::interrupt(Info info) {
  const uint32_t index = toUint32(info[0], "index");
  const vfio::InterruptInfo told = guarded(info.Env(), [&] { return held(info.Env()).interrupt(index); });
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("count", told.count);
  result.Set("maskable", told.maskable);
  result.Set("automasked", told.automasked);
  return result;
}

void VfioDevice::setEventfds(Info info) {
  const uint32_t index = toUint32(info[0], "index");
  const std::vector<int> eventfds = descriptors(info[1]);
  guarded(info.Env(), [&] { held(info.Env()).setEventfds(index, eventfds); });
}

void VfioDevice::setUnmaskEventfd(Info info) {
  const uint32_t index = toUint32(info[0], "index");
  const uint32_t eventfd = toUint32(info[1], "eventfd");
  guarded(info.Env(), [&] { held(info.Env()).setUnmaskEventfd(index, static_cast<int>(eventfd)); });
}

void VfioDevice::mask(Info info) {
  const uint32_t index = toUint32(info[0], "index");
  guarded(info.Env(), [&] { held(info.Env()).mask(index, info[1].ToBoolean()); });
}

}  // namespace vtkit::napi
