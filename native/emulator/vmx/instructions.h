// What VMX instructions need of the processor's other families.
#pragma once

#include "emulator/micro-op.h"

namespace vtkit::emulator::vmx {

/** VMFUNC, which stands in group 7. */
bool vmfunc(Cpu& cpu, const MicroOp& op);

/** Bits of CR0 and CR4 that VMX operation holds (SDM Vol. 3C, 24.8): false with #GP pending. */
bool holdsFixedBits(Cpu& cpu, uint64_t cr0, uint64_t cr4);

}  // namespace vtkit::emulator::vmx
