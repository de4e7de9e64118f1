// One x87 instruction on the host's own unit, with the guest's registers and control word loaded.
#pragma once

#include "emulator/host-float.h"

namespace vtkit::emulator {

/**
 * Executes opcode D8 to DF with a ModRM byte of a register form, or of a memory form whose operand is at `memory`.
 *
 * Exceptions that the guest does not mask are left pending in the status word: nothing that is executed here waits.
 * `flags` are the arithmetic flags that FCMOV reads and FCOMI writes.
 */
void runX87(X87& state, uint8_t opcode, uint8_t modrm, void* memory, uint64_t& flags);

}  // namespace vtkit::emulator
