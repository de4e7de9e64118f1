// Offsets of the structures that C++ and JavaScript share.
#pragma once

#include <napi.h>

namespace vtkit::napi {

Napi::Object layout(Napi::Env env);

}  // namespace vtkit::napi
