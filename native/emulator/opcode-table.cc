// The opcode table, spread out for lookup.
#include "emulator/opcode-table.h"

#include "emulator/families.h"
#include "emulator/vector-families.h"

namespace vtkit::emulator {

namespace {

constexpr int any = -1;
constexpr unsigned kRows = 2 * 256 * 8;
constexpr int kFirst = __COUNTER__;

constexpr Opcode row(const char* mnemonic, uint32_t flags, const Handlers* handlers, int number) {
  return {mnemonic,
          flags,
          handlers,
          Feature::always,
          Feature::never,
          Feature::never,
          static_cast<uint16_t>(number - kFirst)};
}

struct Table {
  Opcode rows[kRows];

  constexpr void add(unsigned map, unsigned first, unsigned last, int reg, const char* mnemonic, uint32_t flags,
                     const Handlers* handlers, int number) {
    for (unsigned opcode = first; opcode <= last; opcode++) {
      for (unsigned r = 0; r < 8; r++) {
        if (reg == any || static_cast<unsigned>(reg) == r)
          rows[(map * 256 + opcode) * 8 + r] = row(mnemonic, flags, handlers, number);
      }
    }
  }

  constexpr Table() : rows() {
#define OP(MAP, FIRST, LAST, REG, MNEMONIC, FLAGS, HANDLERS) \
  add(MAP, FIRST, LAST, REG, MNEMONIC, FLAGS, &HANDLERS, __COUNTER__);
#include "emulator/opcodes.inc"
#undef OP
  }
};

/** A row of the maps where a mandatory prefix is a part of the opcode. */
struct VectorRow {
  uint8_t map, prefix, opcode;
  int8_t reg;
  Opcode row;
};

constexpr VectorRow kVectorRows[] = {
#define OP(MAP, PREFIX, OPCODE, REG, MNEMONIC, FLAGS, LEGACY, VEX128, VEX256, HANDLERS) \
  {MAP,                                                                                 \
   PREFIX,                                                                              \
   OPCODE,                                                                              \
   REG,                                                                                 \
   {MNEMONIC, FLAGS, &HANDLERS, Feature::LEGACY, Feature::VEX128, Feature::VEX256, __COUNTER__ - kFirst}},
#include "emulator/opcodes-vector.inc"
#undef OP
};
constexpr unsigned kVectorCount = sizeof(kVectorRows) / sizeof(kVectorRows[0]);

/** 1 + the first row of each opcode, and of each row the next one of its opcode (for groups), or 0. */
struct VectorIndex {
  uint16_t first[3][4][256];
  uint16_t next[kVectorCount];

  constexpr VectorIndex() : first(), next() {
    for (unsigned i = kVectorCount; i-- > 0;) {
      const VectorRow& row = kVectorRows[i];
      uint16_t& head = first[row.map - 1][row.prefix][row.opcode];
      next[i] = head;
      head = static_cast<uint16_t>(i + 1);
    }
  }
};

constexpr Table kTable;
constexpr VectorIndex kVectorIndex;
constexpr Opcode kArplRow = row("arpl", kModRm, &kArpl, __COUNTER__);
constexpr Opcode kMovsxdRow = row("movsxd", kModRm, &kMovsxd, __COUNTER__);

}  // namespace

const Opcode& opcodeOf(unsigned map, uint8_t opcode, unsigned reg, bool code64) {
  if (map == 0 && opcode == 0x63) return code64 ? kMovsxdRow : kArplRow;
  return kTable.rows[(map * 256 + opcode) * 8 + reg];
}

const Opcode* vectorOpcodeOf(const VectorKey& key) {
  const int reg = key.modrm >> 3 & 7;
  const bool memory = key.modrm < 0xc0;
  for (unsigned i = kVectorIndex.first[key.map - 1][key.prefix][key.opcode]; i != 0; i = kVectorIndex.next[i - 1]) {
    const VectorRow& row = kVectorRows[i - 1];
    if (row.reg != any && row.reg != reg) continue;
    if (key.vex && (row.row.flags & (key.w ? kVexW0 : kVexW1)) != 0) continue;
    if ((row.row.flags & (memory ? kRegOnly : kMemOnly)) != 0) continue;
    return &row.row;
  }
  return nullptr;
}

}  // namespace vtkit::emulator
