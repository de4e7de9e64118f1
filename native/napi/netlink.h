// Netlink sockets for JavaScript.
#pragma once

#include <napi.h>

namespace vtkit::napi {

void initNetlink(Napi::Env env, Napi::Object exports);

}  // namespace vtkit::napi
