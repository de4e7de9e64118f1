// The JavaScript classes of VFIO in one environment: instances are checked by them before they are unwrapped.
#pragma once

#include <napi.h>

#include <optional>
#include <string>
#include <vector>

namespace vtkit::napi {

struct VfioClasses {
  Napi::FunctionReference container, group, iommufd, device;
};

inline VfioClasses& classesOf(Napi::Env env) { return *env.GetInstanceData<VfioClasses>(); }

inline bool isInstance(const Napi::Value& value, const Napi::FunctionReference& of) {
  return value.IsObject() && value.As<Napi::Object>().InstanceOf(of.Value());
}

/** What a wrapper holds until it is closed. @throws Error after close() */
template <typename T>
T& open(Napi::Env env, std::optional<T>& held) {
  if (!held) throw Napi::Error::New(env, "it is closed");
  return *held;
}

inline std::string text(const Napi::Value& value, const char* name) {
  if (!value.IsString()) throw Napi::TypeError::New(value.Env(), std::string(name) + " must be a string");
  return value.As<Napi::String>();
}

template <typename T>
Napi::FunctionReference define(Napi::Env env, Napi::Object vfio, const char* name,
                               const std::vector<Napi::ClassPropertyDescriptor<T>>& methods) {
  const Napi::Function made = T::DefineClass(env, name, methods);
  vfio.Set(name, made);
  return Napi::Persistent(made);
}

/** Each defines its classes in `vfio` and keeps them in `classes`. */
void initVfioSpaces(Napi::Env env, Napi::Object vfio, VfioClasses& classes);
void initVfioDevice(Napi::Env env, Napi::Object vfio, VfioClasses& classes);

}  // namespace vtkit::napi
