// Breakpoints in debug registers (SDM Vol. 3B, 18.2).
#pragma once

#include "emulator/cpu.h"

namespace vtkit::emulator {

inline constexpr uint64_t kDr6Single = 1u << 14, kDr6Access = 1u << 13, kDr7Detect = 1u << 13;

/** The execution breakpoints at a linear address, as bits of DR6. */
unsigned codeBreakpoints(const Cpu& cpu, uint64_t linear);
/** Notes the data breakpoints that an access touches. */
void watchData(Cpu& cpu, uint64_t linear, unsigned bytes, bool write);

}  // namespace vtkit::emulator
