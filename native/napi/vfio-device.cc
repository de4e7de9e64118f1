// A VFIO device for JavaScript: what it is, its resets, and what it may share.
#include "napi/vfio-device.h"

#include <algorithm>
#include <array>
#include <memory>
#include <vector>

#include "napi/convert.h"
#include "napi/vfio-classes.h"
#include "napi/vfio.h"

namespace vtkit::napi {

VfioDevice::VfioDevice(Info info) : ObjectWrap(info) {
  if (!info[0].IsExternal()) throw Napi::TypeError::New(info.Env(), "a device comes from its group or from an Iommufd");
  std::unique_ptr<vfio::Device> given(info[0].As<Napi::External<vfio::Device>>().Data());
  held_.emplace(std::move(*given));
}

Napi::Value VfioDevice::make(Napi::Env env, vfio::Device device) {
  auto* moved = new vfio::Device(std::move(device));
  return classesOf(env).device.New({Napi::External<vfio::Device>::New(env, moved)});
}

vfio::Device& VfioDevice::held(Napi::Env env) { return open(env, held_); }

Napi::Value VfioDevice::info(Info info) {
  const vfio::DeviceInfo told = guarded(info.Env(), [&] { return held(info.Env()).info(); });
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("canReset", told.canReset);
  result.Set("regions", told.regions);
  result.Set("interrupts", told.interrupts);
  return result;
}

void VfioDevice::reset(Info info) {
  guarded(info.Env(), [&] { held(info.Env()).reset(); });
}

Napi::Value VfioDevice::dependents(Info info) {
  const auto list = guarded(info.Env(), [&] { return held(info.Env()).dependents(); });
  Napi::Array result = Napi::Array::New(info.Env(), list.size());
  for (uint32_t i = 0; i < list.size(); i++) {
    Napi::Object row = Napi::Object::New(info.Env());
    row.Set("group", list[i].group);
    row.Set("segment", list[i].segment);
    row.Set("bus", list[i].bus);
    row.Set("devfn", list[i].devfn);
    result.Set(i, row);
  }
  return result;
}

void VfioDevice::hotReset(Info info) {
  const std::vector<int> groups = descriptors(info[0]);
  guarded(info.Env(), [&] { held(info.Env()).hotReset(groups); });
}

Napi::Value VfioDevice::migration(Info info) {
  const auto told = guarded(info.Env(), [&] { return held(info.Env()).migration(); });
  if (!told) return info.Env().Null();
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("flags", Napi::BigInt::New(info.Env(), told->flags));
  result.Set("state", told->state);
  return result;
}

Napi::Value VfioDevice::logsDma(Info info) {
  return Napi::Boolean::New(info.Env(), guarded(info.Env(), [&] { return held(info.Env()).logsDma(); }));
}

void VfioDevice::setVfToken(Info info) {
  std::array<uint8_t, 16> token;
  const bool bytes = info[0].IsTypedArray() && info[0].As<Napi::TypedArray>().TypedArrayType() == napi_uint8_array;
  if (!bytes || info[0].As<Napi::Uint8Array>().ElementLength() != token.size()) {
    throw Napi::TypeError::New(info.Env(), "token must be a Uint8Array of 16 bytes");
  }
  std::copy_n(info[0].As<Napi::Uint8Array>().Data(), token.size(), token.begin());
  guarded(info.Env(), [&] { held(info.Env()).setVfToken(token); });
}

Napi::Value VfioDevice::fd(Info info) { return Napi::Number::New(info.Env(), held(info.Env()).fd().get()); }
Napi::Value VfioDevice::id(Info info) { return Napi::Number::New(info.Env(), held(info.Env()).id()); }
void VfioDevice::close(Info) { held_.reset(); }

vfio::Device& vfioDevice(const Napi::Value& value) {
  const Napi::Env env = value.Env();
  if (!isInstance(value, classesOf(env).device)) throw Napi::TypeError::New(env, "device must be a VFIO device");
  return VfioDevice::Unwrap(value.As<Napi::Object>())->held(env);
}

void initVfioDevice(Napi::Env env, Napi::Object vfio, VfioClasses& classes) {
  classes.device = define<VfioDevice>(
      env, vfio, "Device",
      {VfioDevice::InstanceMethod("info", &VfioDevice::info), VfioDevice::InstanceMethod("reset", &VfioDevice::reset),
       VfioDevice::InstanceMethod("dependents", &VfioDevice::dependents),
       VfioDevice::InstanceMethod("hotReset", &VfioDevice::hotReset),
       VfioDevice::InstanceMethod("migration", &VfioDevice::migration),
       VfioDevice::InstanceMethod("logsDma", &VfioDevice::logsDma),
       VfioDevice::InstanceMethod("setVfToken", &VfioDevice::setVfToken),
       VfioDevice::InstanceMethod("id", &VfioDevice::id), VfioDevice::InstanceMethod("fd", &VfioDevice::fd),
       VfioDevice::InstanceMethod("close", &VfioDevice::close),
       VfioDevice::InstanceMethod("region", &VfioDevice::region), VfioDevice::InstanceMethod("read", &VfioDevice::read),
       VfioDevice::InstanceMethod("write", &VfioDevice::write),
       VfioDevice::InstanceMethod("read32s", &VfioDevice::read32s),
       VfioDevice::InstanceMethod("write32s", &VfioDevice::write32s),
       VfioDevice::InstanceMethod("interrupt", &VfioDevice::interrupt),
       VfioDevice::InstanceMethod("setEventfds", &VfioDevice::setEventfds),
       VfioDevice::InstanceMethod("setUnmaskEventfd", &VfioDevice::setUnmaskEventfd),
       VfioDevice::InstanceMethod("mask", &VfioDevice::mask)});
}

}  // namespace vtkit::napi
