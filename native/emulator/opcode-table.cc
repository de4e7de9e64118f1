// The opcode table, spread out for lookup.
#include "emulator/opcode-table.h"

#include "emulator/families.h"

namespace vtkit::emulator {

namespace {

constexpr int any = -1;
constexpr unsigned kRows = 3 * 256 * 8;

struct Table {
  Opcode rows[kRows];

  constexpr void add(unsigned map, unsigned first, unsigned last, int reg, const char* mnemonic, uint32_t flags,
                     const Handlers* handlers) {
    for (unsigned opcode = first; opcode <= last; opcode++) {
      for (unsigned r = 0; r < 8; r++) {
        if (reg == any || static_cast<unsigned>(reg) == r)
          rows[(map * 256 + opcode) * 8 + r] = {mnemonic, flags, handlers};
      }
    }
  }

  constexpr Table() : rows() {
#define OP(MAP, FIRST, LAST, REG, MNEMONIC, FLAGS, HANDLERS) add(MAP, FIRST, LAST, REG, MNEMONIC, FLAGS, &HANDLERS);
#include "emulator/opcodes.inc"
#undef OP
  }
};

constexpr Table kTable;
constexpr Opcode kArplRow = {"arpl", kModRm, &kArpl};
constexpr Opcode kMovsxdRow = {"movsxd", kModRm, &kMovsxd};

}  // namespace

const Opcode& opcodeOf(unsigned map, uint8_t opcode, unsigned reg, bool code64) {
  if (map == 0 && opcode == 0x63) return code64 ? kMovsxdRow : kArplRow;
  return kTable.rows[(map * 256 + opcode) * 8 + reg];
}

}  // namespace vtkit::emulator
