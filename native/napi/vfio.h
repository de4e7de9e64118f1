// VFIO for JavaScript: one class for each descriptor, and memory that devices may reach.
#pragma once

#include <napi.h>

namespace vtkit::napi {

/** Registers Container, Group, Iommufd, Device and DmaMemory in `exports.vfio`. */
void initVfio(Napi::Env env, Napi::Object exports);

}  // namespace vtkit::napi
