// CPUID on a processor, and /dev/kvm's own answers.
#include "napi/host.h"

#include <cstring>
#include <string>

#include "cpu/cpuid.h"
#include "kvm/system.h"
#include "napi/convert.h"

namespace vtkit::napi {

Napi::Value cpuid(const Napi::CallbackInfo& info) {
  const uint32_t cpu = toUint32(info[0], "cpu");
  if (!info[1].IsTypedArray() || info[1].As<Napi::TypedArray>().TypedArrayType() != napi_uint32_array) {
    throw Napi::TypeError::New(info.Env(), "queries must be a Uint32Array");
  }
  const auto pairs = info[1].As<Napi::Uint32Array>();
  std::vector<cpu::CpuidQuery> queries(pairs.ElementLength() / 2);
  for (size_t i = 0; i < queries.size(); i++) queries[i] = {pairs[2 * i], pairs[2 * i + 1]};
  const auto results = guarded(info.Env(), [&] { return cpu::cpuidOn(cpu, queries); });
  auto values = Napi::Uint32Array::New(info.Env(), results.size() * 4);
  if (!results.empty()) std::memcpy(values.Data(), results.data(), values.ByteLength());
  return values;
}

Napi::Value kvmSupportedCpuid(const Napi::CallbackInfo& info) {
  const std::string path = info[0].ToString();
  const auto entries = guarded(info.Env(), [&] { return kvm::System::open(path).supportedCpuid(); });
  auto result = Napi::Uint8Array::New(info.Env(), entries.size() * sizeof(entries[0]));
  if (!entries.empty()) std::memcpy(result.Data(), entries.data(), result.ByteLength());
  return result;
}

namespace {

/** `{ value }`, or `{ error }` if the kernel refuses: one refusal must not hide the other answers. */
template <typename Ask>
Napi::Value answer(Napi::Env env, Ask ask) {
  Napi::Object result = Napi::Object::New(env);
  try {
    result.Set("value", ask());
  } catch (const os::SystemError& error) {
    result.Set("error", toJs(env, error).Value());
  }
  return result;
}

}  // namespace

Napi::Value kvmProbe(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::string path = info[0].ToString();
  const kvm::System system = guarded(env, [&] { return kvm::System::open(path); });
  Napi::Object result = Napi::Object::New(env);
  result.Set("apiVersion", answer(env, [&] { return Napi::Number::New(env, system.apiVersion()); }));
  result.Set("vcpuMmapSize",
             answer(env, [&] { return Napi::Number::New(env, static_cast<double>(system.vcpuMmapSize())); }));
  result.Set("capabilities", answer(env, [&] {
               Napi::Object values = Napi::Object::New(env);
               for (const kvm::Capability& capability : kvm::System::capabilities()) {
                 values.Set(capability.name, system.checkExtension(capability.number));
               }
               return values;
             }));
  result.Set("vm", answer(env, [&] { return Napi::Boolean::New(env, system.createVm().isOpen()); }));
  result.Set("featureMsrs", answer(env, [&] {
               const auto entries = system.featureMsrs();
               Napi::Array list = Napi::Array::New(env, entries.size());
               for (uint32_t i = 0; i < entries.size(); i++) {
                 Napi::Array pair = Napi::Array::New(env, 2);
                 pair.Set(0u, entries[i].index);
                 pair.Set(1u, Napi::BigInt::New(env, static_cast<uint64_t>(entries[i].value)));
                 list.Set(i, pair);
               }
               return list;
             }));
  return result;
}

}  // namespace vtkit::napi
