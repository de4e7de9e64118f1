// eventfd(2) for JavaScript, watched by the event loop.
#pragma once

#include <napi.h>

namespace vtkit::napi {

void initEventFd(Napi::Env env, Napi::Object exports);

}  // namespace vtkit::napi
