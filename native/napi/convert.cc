// Conversion of arguments and errors between JavaScript and C++.
#include "napi/convert.h"

#include <cmath>
#include <cstring>
#include <string>

namespace vtkit::napi {

namespace {

struct ErrnoName {
  int number;
  const char* name;
};

#define ERRNO(name) \
  { name, #name }
constexpr ErrnoName kErrnoNames[] = {
    ERRNO(EPERM),     ERRNO(ENOENT), ERRNO(EINTR),      ERRNO(EIO),       ERRNO(ENXIO),  ERRNO(E2BIG),
    ERRNO(EBADF),     ERRNO(EAGAIN), ERRNO(ENOMEM),     ERRNO(EACCES),    ERRNO(EFAULT), ERRNO(EBUSY),
    ERRNO(EEXIST),    ERRNO(ENODEV), ERRNO(ENOTDIR),    ERRNO(EISDIR),    ERRNO(EINVAL), ERRNO(ENFILE),
    ERRNO(EMFILE),    ERRNO(ENOTTY), ERRNO(EFBIG),      ERRNO(ENOSPC),    ERRNO(ESPIPE), ERRNO(EROFS),
    ERRNO(ERANGE),    ERRNO(ENOSYS), ERRNO(EOPNOTSUPP), ERRNO(EOVERFLOW), ERRNO(EBADFD), ERRNO(ESRCH),
    ERRNO(ETIMEDOUT), ERRNO(EPIPE),  ERRNO(EMSGSIZE),
};
#undef ERRNO

/** Operations that are ioctls have the kernel's names. */
bool isIoctl(const std::string& operation) {
  for (const char* prefix : {"KVM_", "VFIO_", "IOMMU_"}) {
    if (operation.rfind(prefix, 0) == 0) return true;
  }
  return false;
}

/** The name of an errno. Not strerrorname_np: glibc 2.32 is newer than what the prebuilt binary runs on. */
std::string errnoName(int error) {
  for (const ErrnoName& row : kErrnoNames) {
    if (row.number == error) return row.name;
  }
  return "E" + std::to_string(error);
}

}  // namespace

Napi::Error toJs(Napi::Env env, const os::SystemError& error) {
  const std::string code = errnoName(error.error);
  std::string message = code + ": " + std::strerror(error.error) + ", " + error.operation;
  if (!error.path.empty()) message += " '" + error.path + "'";
  Napi::Error result = Napi::Error::New(env, message);
  Napi::Object value = result.Value();
  value.Set("code", code);
  value.Set("errno", -error.error);
  value.Set("syscall", isIoctl(error.operation) ? "ioctl" : error.operation);
  value.Set("operation", error.operation);
  if (!error.path.empty()) value.Set("path", error.path);
  return result;
}

uint64_t toUint64(const Napi::Value& value, const char* name) {
  // Most are numbers, and to ask for the type first would be another call into Node for each.
  double number = 0;
  if (napi_get_value_double(value.Env(), value, &number) == napi_ok) {
    if (!(number >= 0 && number <= 9007199254740991.0) || std::floor(number) != number) {
      throw Napi::RangeError::New(value.Env(),
                                  std::string(name) + " must be a whole number between 0 and 2^53-1, or a bigint");
    }
    return static_cast<uint64_t>(number);
  }
  if (!value.IsBigInt()) throw Napi::TypeError::New(value.Env(), std::string(name) + " must be a number or a bigint");
  bool lossless = false;
  const uint64_t result = value.As<Napi::BigInt>().Uint64Value(&lossless);
  if (!lossless) throw Napi::RangeError::New(value.Env(), std::string(name) + " must be between 0 and 2^64-1");
  return result;
}

uint32_t toUint32(const Napi::Value& value, const char* name) {
  const uint64_t result = toUint64(value, name);
  if (result > UINT32_MAX) throw Napi::RangeError::New(value.Env(), std::string(name) + " must be below 2^32");
  return static_cast<uint32_t>(result);
}

Bytes toBytes(const Napi::Value& value, const char* name) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    throw Napi::TypeError::New(value.Env(), std::string(name) + " must be a Uint8Array");
  }
  auto array = value.As<Napi::Uint8Array>();
  return {array.Data(), array.ByteLength()};
}

}  // namespace vtkit::napi
