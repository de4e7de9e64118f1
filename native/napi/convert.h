// Conversion of arguments and errors between JavaScript and C++: the only code that does either.
#pragma once

#include <napi.h>

#include <cstdint>
#include <memory>

#include "os/error.h"

namespace vtkit::napi {

/**
 * A JavaScript error in the shape of Node's SystemError: `code` ("EACCES"), negative `errno`, `syscall`, `path`, and
 * `operation` ("KVM_CREATE_VM"). src/errors.ts turns it into a KernelError.
 */
Napi::Error toJs(Napi::Env env, const os::SystemError& error);

/** Calls `body` and turns a SystemError into its JavaScript form. */
template <typename Body>
auto guarded(Napi::Env env, Body body) -> decltype(body()) {
  try {
    return body();
  } catch (const os::SystemError& error) {
    throw toJs(env, error);
  }
}

/** A whole number from a Number or a BigInt. @throws TypeError or RangeError naming the argument */
uint64_t toUint64(const Napi::Value& value, const char* name);
uint32_t toUint32(const Napi::Value& value, const char* name);

/** Bytes of a Uint8Array argument. The pointer lives as long as the array's buffer. */
struct Bytes {
  uint8_t* data;
  size_t size;
};
Bytes toBytes(const Napi::Value& value, const char* name);

/** An ArrayBuffer over shared memory, which stays mapped until the last holder lets go. */
template <typename T>
Napi::Value shared(Napi::Env env, const std::shared_ptr<T>& owner, void* data, size_t bytes) {
  auto* holder = new std::shared_ptr<T>(owner);
  return Napi::ArrayBuffer::New(env, data, bytes, [holder](Napi::Env, void*) { delete holder; });
}

}  // namespace vtkit::napi
