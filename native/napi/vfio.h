// VFIO for JavaScript: one class for each descriptor, and what the machine object needs of them.
#pragma once

#include <napi.h>

#include <memory>

#include "os/mapping.h"
#include "vfio/device.h"

namespace vtkit::napi {

/** The device that a JavaScript object stands for. @throws Error if it is none, or was closed */
vfio::Device& vfioDevice(const Napi::Value& value);

/** Maps memory of a machine in a container or Iommufd, which holds it from then on. */
void mapForDevices(const Napi::Value& space, const std::shared_ptr<os::Mapping>& memory, uint64_t iova, bool writable);

/** Registers Container, Group, Iommufd and Device in `exports.vfio`. */
void initVfio(Napi::Env env, Napi::Object exports);

}  // namespace vtkit::napi
