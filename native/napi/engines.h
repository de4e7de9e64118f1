// Which engine a machine gets.
#pragma once

#include <napi.h>

#include "machine/machine.h"

namespace vtkit::napi {

/** The factory for `{ engine: 'kvm', path, kernelIrqchip }` or `{ engine: 'emulated' }`. */
machine::Machine::EngineFactory engineFactory(const Napi::Object& options);

}  // namespace vtkit::napi
