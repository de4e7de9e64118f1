// What KVM can give a guest's CPUID.
#include "napi/kvm-cpuid.h"

#include <fcntl.h>
#include "kvm/uapi.h"

#include <cstring>
#include <vector>

#include "napi/convert.h"
#include "os/ioctl.h"

namespace vtkit::napi {

Napi::Value kvmSupportedCpuid(const Napi::CallbackInfo& info) {
  constexpr uint32_t kMaxEntries = 256;
  const std::string path = info[0].ToString();
  std::vector<uint64_t> storage((sizeof(kvm_cpuid2) + kMaxEntries * sizeof(kvm_cpuid_entry2)) / 8 + 1);
  auto* cpuid = reinterpret_cast<kvm_cpuid2*>(storage.data());
  cpuid->nent = kMaxEntries;
  guarded(info.Env(), [&] {
    const os::Fd system = os::Fd::open(path, O_RDWR);
    os::ioctl(system, KVM_GET_SUPPORTED_CPUID, "KVM_GET_SUPPORTED_CPUID", cpuid);
  });
  auto result = Napi::Uint8Array::New(info.Env(), cpuid->nent * sizeof(kvm_cpuid_entry2));
  std::memcpy(result.Data(), cpuid->entries, result.ByteLength());
  return result;
}

}  // namespace vtkit::napi
