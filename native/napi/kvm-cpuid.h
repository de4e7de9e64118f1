// What KVM can give a guest's CPUID, as bytes that go back to it unchanged.
#pragma once

#include <napi.h>

namespace vtkit::napi {

/** kvmSupportedCpuid(path): an array of kvm_cpuid_entry2 (KVM_GET_SUPPORTED_CPUID). */
Napi::Value kvmSupportedCpuid(const Napi::CallbackInfo& info);

}  // namespace vtkit::napi
