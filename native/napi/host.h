// What JavaScript asks of the host below files: CPUID on a processor, and /dev/kvm's own answers.
#pragma once

#include <napi.h>

namespace vtkit::napi {

/** cpuid(cpu, Uint32Array of leaf and subleaf pairs): a Uint32Array of EAX, EBX, ECX, EDX for each. */
Napi::Value cpuid(const Napi::CallbackInfo& info);

/** kvmSupportedCpuid(path): kvm_cpuid_entry2 structures, as bytes. */
Napi::Value kvmSupportedCpuid(const Napi::CallbackInfo& info);

/** kvmProbe(path): { apiVersion, capabilities, vcpuMmapSize, vm, featureMsrs }, each `{ value }` or `{ error }`. */
Napi::Value kvmProbe(const Napi::CallbackInfo& info);

}  // namespace vtkit::napi
