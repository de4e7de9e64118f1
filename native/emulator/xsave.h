// Extended control registers, and the XSAVE area that the processor announces.
#pragma once

#include "emulator/cpu.h"

namespace vtkit::emulator {

/** AVX state stands behind the header; the area ends with it. */
inline constexpr unsigned kAvxAt = 576, kXsaveBytes = kAvxAt + 256;

/** Components that are not in their initial state, as XCR0 numbers them. */
uint64_t inUse(const Cpu& cpu);
bool mayBeXcr0(const Cpu& cpu, uint64_t value);
bool xgetbv(Cpu& cpu);
bool xsetbv(Cpu& cpu);

/** What CPUID says of the processor's state: OSXSAVE, and the size of the area for what XCR0 enables. */
void xsaveCpuid(const Cpu& cpu, CpuidRow& row);

}  // namespace vtkit::emulator
