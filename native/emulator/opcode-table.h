// What the opcode table says of an instruction: how its bytes are read, and the handlers for each operand form.
#pragma once

#include <cstdint>

#include "emulator/dispatch.h"
#include "emulator/features.h"

namespace vtkit::emulator {

/** What is known of the arithmetic flags behind an instruction, for the condition that may follow. */
enum class Result : uint8_t { unknown, compared, logical };

/** Handlers of one instruction, by form (register or memory; of strings: repeated) and by operand size (8 to 64 bits).
 */
struct Handlers {
  Handler by[2][4];
  bool ends[2];  // whether the handler goes on elsewhere
  Result result = Result::unknown;
};

// How an instruction is read. Operand size is 16, 32 or 64 bits by mode and prefixes unless a flag says otherwise.
enum OpcodeFlags : uint32_t {
  kModRm = 1u << 0,
  kByte = 1u << 1,  // 8-bit operands
  kImm8 = 1u << 2,  // sign-extended byte
  kImmZ = 1u << 3,  // 16 or 32 bits, sign-extended
  kImmV = 1u << 4,  // 16, 32 or 64 bits
  kImm16 = 1u << 5,
  kMoffs = 1u << 6,  // address-size offset
  kFar = 1u << 7,    // offset, then selector
  kRel8 = 1u << 8,
  kRelZ = 1u << 9,
  kOpReg = 1u << 10,  // register in the opcode's low bits
  kDef64 = 1u << 11,  // 64-bit operands by default in 64-bit mode
  kNo64 = 1u << 12,   // #UD in 64-bit mode
  kOnly64 = 1u << 13,
  kLock = 1u << 14,       // may be locked, with a memory destination
  kEnds = 1u << 15,       // ends its block: RIP, mode or mappings change, or interrupts open
  kMemOnly = 1u << 16,    // #UD with a register
  kRegOnly = 1u << 17,    // #UD with memory
  kInvalid = 1u << 18,    // #UD by the manual
  kImm8Extra = 1u << 19,  // a second immediate byte (ENTER)
  kForce32 = 1u << 20,    // no 16-bit form (moves of control registers: 32 or 64 bits)
  kByteRm = 1u << 21,     // the operand of ModRM.rm is a byte, whatever the operand size
  kRepeats = 1u << 22,    // a string instruction: REP chooses its second form
  kVector = 1u << 23,     // handlers by Encoding instead of operand size
  kMmx = 1u << 24,        // without VEX: MMX registers
  kNoV = 1u << 25,        // VEX.vvvv has to be 1111
  kVexW0 = 1u << 26,      // VEX.W has to be 0
  kVexW1 = 1u << 27,
  kVsib = 1u << 28,  // the index register is a vector
  kWide = 1u << 29,  // operands are 64 bits with REX.W or VEX.W, else 32
  kX87 = 1u << 30,   // the immediate is the ModRM byte
};

/** Which registers a vector instruction works on: the second index of its handlers. */
enum Encoding : unsigned { kMmx64, kSse128, kVex128, kVex256 };

/** The mandatory prefix of an opcode (SDM Vol. 2A, 2.1.2), as VEX.pp has it. */
enum MandatoryPrefix : unsigned { kNoPrefix, k66, kF3, kF2 };

struct Opcode {
  const char* mnemonic = nullptr;  // null: not known
  uint32_t flags = 0;
  const Handlers* handlers = nullptr;
  // What CPUID has to announce for the encodings: without VEX, and with VEX of either length.
  Feature legacy = Feature::always, vex128 = Feature::never, vex256 = Feature::never;
  uint16_t number = 0;  // from 1 on, in the order of the tables
};

/** Which of its two forms a decoded instruction has. */
inline unsigned formOf(const Opcode& row, const MicroOp& op) {
  return (row.flags & kRepeats) != 0 ? op.repeat != 0 : op.memory;
}

/**
 * The row of an opcode: map 0 is one byte, map 1 two bytes (0F); `reg` is ModRM.reg, which only groups look at.
 * With no mnemonic where there is none.
 */
const Opcode& opcodeOf(unsigned map, uint8_t opcode, unsigned reg, bool code64);
/** What chooses a row of maps 1 to 3 (0F, 0F 38, 0F 3A): the mandatory prefix too, and VEX.W, and memory or not. */
struct VectorKey {
  unsigned map, prefix;
  uint8_t opcode, modrm;
  bool vex, w;
};
/** Null where there is none. */
const Opcode* vectorOpcodeOf(const VectorKey& key);

// Families, one file each. A family is a template over operand type and form; a row of the table is made of it by how
// its instructions follow each other.
#define VTKIT_FORM(KIND, MEMORY)                                                                                  \
  {                                                                                                               \
    KIND<Family<uint8_t, MEMORY>::run>, KIND<Family<uint16_t, MEMORY>::run>, KIND<Family<uint32_t, MEMORY>::run>, \
        KIND<Family<uint64_t, MEMORY>::run>                                                                       \
  }

/** The register form touches nothing but general registers and flags. */
template <template <typename, bool> class Family, Result After = Result::unknown>
inline constexpr Handlers kFamily = {{VTKIT_FORM(simple, false), VTKIT_FORM(reaching, true)}, {false, false}, After};
/** Both forms reach further: stack, segments, modes. */
template <template <typename, bool> class Family>
inline constexpr Handlers kReaching = {{VTKIT_FORM(reaching, false), VTKIT_FORM(reaching, true)}, {false, false}};
template <template <typename, bool> class Family>
inline constexpr Handlers kEnding = {{VTKIT_FORM(ending, false), VTKIT_FORM(ending, true)}, {true, true}};
template <template <typename, bool> class Family>
inline constexpr Handlers kBranching = {{VTKIT_FORM(branching, false), VTKIT_FORM(branching, true)}, {true, true}};
template <template <typename, bool> class Family>
inline constexpr Handlers kWandering = {{VTKIT_FORM(wandering, false), VTKIT_FORM(wandering, true)}, {true, true}};
/** Strings: the second form is the repeated one, which may leave RIP where it is. */
template <template <typename, bool> class Family>
inline constexpr Handlers kString = {{VTKIT_FORM(reaching, false), VTKIT_FORM(ending, true)}, {false, true}};
#undef VTKIT_FORM

/** One handler for every form and size. */
template <Semantics Run>
inline constexpr Handlers kPlain = {{{reaching<Run>, reaching<Run>, reaching<Run>, reaching<Run>},
                                     {reaching<Run>, reaching<Run>, reaching<Run>, reaching<Run>}},
                                    {false, false}};
template <Semantics Run>
inline constexpr Handlers kPlainEnding = {
    {{ending<Run>, ending<Run>, ending<Run>, ending<Run>}, {ending<Run>, ending<Run>, ending<Run>, ending<Run>}},
    {true, true}};

/** `template <typename T> bool name(Cpu&, const MicroOp&)`: a handler by operand size alone. */
#define VTKIT_SIZED(NAME)                                                     \
  template <typename T, bool Mem>                                             \
  struct NAME##Family {                                                       \
    static bool run(Cpu& cpu, const MicroOp& op) { return NAME<T>(cpu, op); } \
  }

}  // namespace vtkit::emulator
