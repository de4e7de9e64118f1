// Accesses to device memory that may not answer: the kernel sends SIGBUS where memory decode is off or the device
// sleeps.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vtkit::vfio {

/** False if the access raised SIGBUS: nothing was read. */
bool guardedRead(const volatile void* address, unsigned width, uint64_t* value);
bool guardedWrite(volatile void* address, unsigned width, uint64_t value);

/** Words at `offsets`, in order; false if one raised SIGBUS: those before it were read. */
bool guardedReads(const volatile uint8_t* base, const uint32_t* offsets, uint32_t* values, size_t count);
/** Offsets and values in turn. */
bool guardedWrites(volatile uint8_t* base, const uint32_t* pairs, size_t count);

}  // namespace vtkit::vfio
