// Says which entries of the opcode table no test brought to their end, of the files that opcode-counts.cc wrote. An
// entry is a row of opcodes*.inc; where a prefix is a part of the opcode, each of its encodings (without VEX, VEX.128,
// VEX.256) is one. Rows that are #UD by the manual are none.
#include <cstdio>

#include "emulator/families.h"
#include "emulator/opcode-table.h"
#include "emulator/vector-families.h"

using namespace vtkit::emulator;

namespace {

constexpr int any = -1;
constexpr const char* kMaps[] = {"", "0f ", "0f 38 ", "0f 3a "};
constexpr const char* kPrefixes[] = {"", "66 ", "f3 ", "f2 "};
constexpr const char* kEncodings[] = {"", ", VEX.128", ", VEX.256"};

class Report {
 public:
  void read(const char* name) {
    FILE* from = std::fopen(name, "r");
    if (from == nullptr) return;
    for (unsigned counted; std::fscanf(from, "%u", &counted) == 1;) {
      if (counted < sizeof(seen_)) seen_[counted] = true;
    }
    std::fclose(from);
  }
  void row(unsigned map, unsigned prefix, unsigned opcode, int reg, const char* mnemonic, uint32_t flags,
           const Feature (&features)[3]) {
    number_++;
    if ((flags & kInvalid) != 0) return;
    for (unsigned encoding = 0; encoding < 3; encoding++) {
      if (features[encoding] == Feature::never) continue;
      entries_++;
      if (seen_[number_ * 4 + encoding]) continue;
      missing_++;
      std::printf("not executed: %s%s%02x", kPrefixes[prefix], kMaps[map], opcode);
      if (reg != any) std::printf("/%d", reg);
      std::printf(" %s%s\n", mnemonic, kEncodings[encoding]);
    }
  }
  bool summary() const {
    std::printf("opcode table: %u of %u entries executed to their end by a test\n", entries_ - missing_, entries_);
    return missing_ == 0;
  }

 private:
  bool seen_[1 << 14] = {};
  unsigned number_ = 0, entries_ = 0, missing_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  Report report;
  for (int i = 1; i < argc; i++) report.read(argv[i]);
  constexpr Feature kAlone[] = {Feature::always, Feature::never, Feature::never};
  // In the order of opcode-table.cc, which numbers the rows.
#define OP(MAP, FIRST, LAST, REG, MNEMONIC, FLAGS, HANDLERS) \
  report.row(MAP, kNoPrefix, FIRST, REG, MNEMONIC, FLAGS, kAlone);
#include "emulator/opcodes.inc"
#undef OP
#define OP(MAP, PREFIX, OPCODE, REG, MNEMONIC, FLAGS, LEGACY, VEX128, VEX256, HANDLERS) \
  {                                                                                     \
    constexpr Feature kOf[] = {Feature::LEGACY, Feature::VEX128, Feature::VEX256};      \
    report.row(MAP, PREFIX, OPCODE, REG, MNEMONIC, FLAGS, kOf);                         \
  }
#include "emulator/opcodes-vector.inc"
#undef OP
  report.row(0, kNoPrefix, 0x63, any, "arpl", kModRm, kAlone);
  report.row(0, kNoPrefix, 0x63, any, "movsxd", kModRm, kAlone);
  return report.summary() ? 0 : 1;
}
