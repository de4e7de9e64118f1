// Jcc by what it tests.
#pragma once

#include "emulator/opcode-table.h"

namespace vtkit::emulator {

/** The handler of a Jcc behind an instruction that leaves such flags of operands of so many bytes. */
Handler conditionalJump(const MicroOp& op, Result before, unsigned operandBytes);

}  // namespace vtkit::emulator
