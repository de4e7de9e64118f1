// Accesses to device memory that may not answer: the kernel sends SIGBUS where memory decode is off or the device
// sleeps.
#pragma once

#include <cstdint>

namespace vtkit::vfio {

/** False if the access raised SIGBUS: nothing was read. */
bool guardedRead(const volatile void* address, unsigned width, uint64_t* value);
bool guardedWrite(volatile void* address, unsigned width, uint64_t value);

}  // namespace vtkit::vfio
