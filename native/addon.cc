// Registers the bindings.
#include <napi.h>

#include "napi/eventfd.h"
#include "napi/host.h"
#include "napi/layout.h"
#include "napi/machine.h"
#include "napi/netlink.h"
#include "napi/nvme.h"
#include "napi/vfio.h"

static Napi::Object init(Napi::Env env, Napi::Object exports) {
  vtkit::napi::Machine::init(env, exports);
  exports.Set("cpuid", Napi::Function::New<vtkit::napi::cpuid>(env, "cpuid"));
  exports.Set("kvmSupportedCpuid", Napi::Function::New<vtkit::napi::kvmSupportedCpuid>(env, "kvmSupportedCpuid"));
  exports.Set("kvmProbe", Napi::Function::New<vtkit::napi::kvmProbe>(env, "kvmProbe"));
  exports.Set("nvmeAdmin", Napi::Function::New<vtkit::napi::nvmeAdmin>(env, "nvmeAdmin"));
  vtkit::napi::initEventFd(env, exports);
  vtkit::napi::initNetlink(env, exports);
  vtkit::napi::initVfio(env, exports);
  exports.Set("layout", vtkit::napi::layout(env));
  return exports;
}

NODE_API_MODULE(vtkit, init)
