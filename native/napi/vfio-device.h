// The JavaScript device object: one method each, by subject in vfio-device.cc, vfio-regions.cc and vfio-interrupts.cc.
#pragma once

#include <napi.h>

#include <optional>

#include "vfio/device.h"

namespace vtkit::napi {

class VfioDevice : public Napi::ObjectWrap<VfioDevice> {
 public:
  using Info = const Napi::CallbackInfo&;

  /** Only a group or an Iommufd makes one: they hand over what was opened. */
  explicit VfioDevice(Info info);
  static Napi::Value make(Napi::Env env, vfio::Device device);

  Napi::Value info(Info info);
  void reset(Info info);
  Napi::Value dependents(Info info);
  void hotReset(Info info);
  Napi::Value migration(Info info);
  Napi::Value logsDma(Info info);
  void setVfToken(Info info);
  Napi::Value id(Info info);
  Napi::Value fd(Info info);
  void close(Info info);

  Napi::Value region(Info info);
  Napi::Value read(Info info);
  void write(Info info);
  Napi::Value read32s(Info info);
  Napi::Value write32s(Info info);

  Napi::Value interrupt(Info info);
  void setEventfds(Info info);
  void setUnmaskEventfd(Info info);
  void mask(Info info);

  /** @throws Error after close() */
  vfio::Device& held(Napi::Env env);

 private:
  std::optional<vfio::Device> held_;
};

/** File descriptors from an Int32Array. */
std::vector<int> descriptors(const Napi::Value& value);

}  // namespace vtkit::napi
