// VFIO for JavaScript: one class for each descriptor, and memory that devices may reach.
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

/** Registers Container, Group, Iommufd, Device and DmaMemory in `exports.vfio`. */
void initVfio(Napi::Env env, Napi::Object exports);

}  // namespace vtkit::napi
