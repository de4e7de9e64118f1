// Model-specific registers.
#pragma once

#include "emulator/cpu.h"

namespace vtkit::emulator {

/** Values after RESET; INIT changes none. */
void resetMsrs(Cpu& cpu);
/** False for what raises #GP: no such register, or a value that it cannot hold. */
bool readMsr(Cpu& cpu, uint32_t index, uint64_t& value);
bool writeMsr(Cpu& cpu, uint32_t index, uint64_t value);

}  // namespace vtkit::emulator
