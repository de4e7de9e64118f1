// NVMe administration commands for JavaScript.
#include "napi/nvme.h"

#include "napi/convert.h"
#include "nvme/admin.h"

namespace vtkit::napi {

Napi::Value nvmeAdmin(const Napi::CallbackInfo& info) {
  if (!info[0].IsString()) throw Napi::TypeError::New(info.Env(), "path must be a string");
  const std::string path = info[0].As<Napi::String>();
  const uint32_t opcode = toUint32(info[1], "opcode");
  if (opcode > UINT8_MAX) throw Napi::RangeError::New(info.Env(), "opcode must fit in a byte");
  const nvme::Command command = {static_cast<uint8_t>(opcode), toUint32(info[2], "cdw10"), toUint32(info[3], "cdw11")};
  const Bytes data = toBytes(info[4], "data");
  const uint32_t status =
      guarded(info.Env(), [&] { return nvme::admin(path, command, data.size == 0 ? nullptr : data.data, data.size); });
  return Napi::Number::New(info.Env(), status);
}

}  // namespace vtkit::napi
