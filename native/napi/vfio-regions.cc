// A VFIO device for JavaScript: its regions.
#include "napi/convert.h"
#include "napi/vfio-device.h"

namespace vtkit::napi {

namespace {

unsigned widthOf(const Napi::Value& value) {
  const uint32_t width = toUint32(value, "width");
  if (width != 1 && width != 2 && width != 4 && width != 8) {
    throw Napi::RangeError::New(value.Env(), "width must be 1, 2, 4 or 8");
  }
  return width;
}

struct Words {
  uint32_t* data;
  size_t count;
};

/** By one call into Node, where Napi::Uint32Array makes several: this is the way of batches. */
Words words(const Napi::Value& value, const char* name) {
  napi_typedarray_type type;
  Words result;
  void* data;
  const auto status = napi_get_typedarray_info(value.Env(), value, &type, &result.count, &data, nullptr, nullptr);
  if (status != napi_ok || type != napi_uint32_array) {
    throw Napi::TypeError::New(value.Env(), std::string(name) + " must be a Uint32Array");
  }
  result.data = static_cast<uint32_t*>(data);
  return result;
}

}  // namespace

Napi::Value VfioDevice::region(Info info) {
  const uint32_t index = toUint32(info[0], "index");
  const vfio::RegionInfo told = guarded(info.Env(), [&] { return held(info.Env()).region(index); });
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("bytes", Napi::BigInt::New(info.Env(), told.bytes));
  result.Set("readable", told.readable);
  result.Set("writable", told.writable);
  result.Set("mappable", told.mappable);
  return result;
}

Napi::Value VfioDevice::read(Info info) {
  const uint32_t index = toUint32(info[0], "region");
  const uint64_t offset = toUint64(info[1], "offset");
  const unsigned width = widthOf(info[2]);
  const uint64_t value = guarded(info.Env(), [&] { return held(info.Env()).read(index, offset, width); });
  if (width == 8) return Napi::BigInt::New(info.Env(), value);
  return Napi::Number::New(info.Env(), static_cast<double>(value));
}

void VfioDevice::write(Info info) {
  const uint32_t index = toUint32(info[0], "region");
  const uint64_t offset = toUint64(info[1], "offset");
  const unsigned width = widthOf(info[2]);
  const uint64_t value = toUint64(info[3], "value");
  if (width < 8 && value >> (8 * width) != 0) {
    throw Napi::RangeError::New(info.Env(), "value is wider than the access");
  }
  guarded(info.Env(), [&] { held(info.Env()).write(index, offset, width, value); });
}

Napi::Value VfioDevice::read32s(Info info) {
  const uint32_t index = toUint32(info[0], "region");
  const Words offsets = words(info[1], "offsets");
  const Words values = words(info[2], "values");
  if (values.count < offsets.count) throw Napi::RangeError::New(info.Env(), "values has no room for each offset");
  const size_t inside =
      guarded(info.Env(), [&] { return held(info.Env()).read32s(index, offsets.data, values.data, offsets.count); });
  return Napi::Number::New(info.Env(), static_cast<double>(inside));
}

Napi::Value VfioDevice::write32s(Info info) {
  const uint32_t index = toUint32(info[0], "region");
  const Words pairs = words(info[1], "pairs");
  const size_t inside =
      guarded(info.Env(), [&] { return held(info.Env()).write32s(index, pairs.data, pairs.count / 2); });
  return Napi::Number::New(info.Env(), static_cast<double>(inside));
}

}  // namespace vtkit::napi
