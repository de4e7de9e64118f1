// A decoded instruction: its handler, chosen for operand size and form, and its operands, resolved.
#pragma once

#include <cstdint>

#include "emulator/cpu.h"
#include "emulator/mmu.h"

// Threaded dispatch lives on tail calls, which only an optimising compiler makes.
#if !defined(VTKIT_PLAIN_DISPATCH) && (!defined(__OPTIMIZE__) || defined(__SANITIZE_ADDRESS__) || defined(__wasm__))
#define VTKIT_PLAIN_DISPATCH
#endif

namespace vtkit::emulator {

struct MicroOp;

/** What an instruction means. False: a fault is pending, or the processor has to stop, and nothing was done. */
using Semantics = bool (*)(Cpu&, const MicroOp&);

/** What dispatch calls: the semantics, and what comes after (dispatch.h). */
#ifdef VTKIT_PLAIN_DISPATCH
using Flow = const MicroOp*;  // the next one, or null: back to the run loop
#else
using Flow = void;
#endif
using Handler = Flow (*)(Cpu&, const MicroOp*);

struct MicroOp {
  Handler run;
  uint64_t immediate;
  uint64_t addressMask;
  int64_t displacement;
  uint16_t end;  // of the instruction, from the start of its block
  uint8_t length;
  uint8_t rest;                // instructions behind it in its block
  uint8_t opcode;              // last byte of the opcode
  uint8_t reg;                 // byte offset in gpr of the register operand of ModRM.reg, or of the opcode
  uint8_t rm;                  // byte offset in gpr of the register operand of ModRM.rm
  uint8_t regIndex, rmIndex;   // the same as register numbers (segment, control and debug registers too)
  uint8_t base, index, scale;  // gpr indices
  uint8_t segment;
  uint8_t operandBytes;  // 1, 2, 4 or 8
  union {
    uint8_t repeat;  // 0, 0xf2 or 0xf3
    uint8_t vvvv;    // of a VEX prefix: its register (an instruction has one or the other)
  };
  bool memory;  // ModRM names memory
#ifdef VTKIT_COUNT_OPCODES
  uint16_t counted;  // number of the table's row, and which of its encodings; 0: no instruction
#endif
};

/** The offset part of a memory operand's address. */
inline uint64_t addressOf(const Cpu& cpu, const MicroOp& op) {
  return (cpu.gpr[op.base] + (cpu.gpr[op.index] << op.scale) + static_cast<uint64_t>(op.displacement)) & op.addressMask;
}

// Operands by form: Mem is chosen when the instruction is decoded.

template <typename T, bool Mem>
VTKIT_HOT inline bool readRm(Cpu& cpu, const MicroOp& op, T& value) {
  if constexpr (Mem) return load<T>(cpu, op.segment, addressOf(cpu, op), value);
  value = readAt<T>(cpu, op.rm);
  return true;
}

template <typename T, bool Mem>
VTKIT_HOT inline bool writeRm(Cpu& cpu, const MicroOp& op, T value) {
  if constexpr (Mem) return store<T>(cpu, op.segment, addressOf(cpu, op), value);
  writeAt<T>(cpu, op.rm, value);
  return true;
}

/** Reads an operand that is to be written: the access rights of the write are checked before anything happens. */
template <typename T, bool Mem>
VTKIT_HOT inline bool readForWrite(Cpu& cpu, const MicroOp& op, T& value) {
  if constexpr (Mem) {
    const uint64_t offset = addressOf(cpu, op), linear = quickLinear(cpu, op.segment, offset);
    const TlbEntry& entry = entryOf(cpu, linear);
    if (__builtin_expect(entry.writeTag != tagOf<T>(linear, cpu.userTag), false)) {
      return probeWrite(cpu, op.segment, offset, sizeof(T)) && load<T>(cpu, op.segment, offset, value);
    }
    std::memcpy(&value, entry.host(linear), sizeof(T));
    return true;
  }
  value = readAt<T>(cpu, op.rm);
  return true;
}

}  // namespace vtkit::emulator
