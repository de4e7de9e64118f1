// NVMe administration commands for JavaScript.
#pragma once

#include <napi.h>

namespace vtkit::napi {

/** nvmeAdmin(path, opcode, cdw10, cdw11, data): the status; `data` (a Uint8Array, perhaps empty) receives what is sent.
 */
Napi::Value nvmeAdmin(const Napi::CallbackInfo& info);

}  // namespace vtkit::napi
