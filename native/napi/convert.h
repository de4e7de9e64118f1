// Conversion of arguments and errors between JavaScript and C++: the only code that does either.
#pragma once

#include <napi.h>

#include <cstdint>

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

}  // namespace vtkit::napi
