// Decoding: bytes to a micro-op (SDM Vol. 2A, chapter 2).
#pragma once

#include "emulator/features.h"
#include "emulator/micro-op.h"

namespace vtkit::emulator {

inline constexpr unsigned kMaxLength = 15;

enum class Decoded : uint8_t {
  ok,
  needsMore,  // the bytes end inside the instruction
  invalid,    // #UD
  tooLong,    // #GP
  unknown,    // an instruction that is not known yet
};

struct Opcode;

/** Decodes one instruction of `available` bytes for a code size of 16, 32 or 64 bits and a processor's features. */
Decoded decode(const uint8_t* bytes, unsigned available, unsigned codeBits, Features features, MicroOp& op,
               const Opcode*& row);

}  // namespace vtkit::emulator
