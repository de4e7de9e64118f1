// Which rows of the opcode table a test program brings to their end: written at its exit to the file that OPCODE_COUNTS
// names.
#include <cstdio>
#include <cstdlib>

namespace vtkit::emulator {

namespace {

constexpr unsigned kMost = 1 << 14;

struct Counts {
  bool seen[kMost] = {};
  ~Counts() {
    const char* name = std::getenv("OPCODE_COUNTS");
    FILE* to = name == nullptr ? nullptr : std::fopen(name, "w");
    if (to == nullptr) return;
    for (unsigned i = 0; i < kMost; i++) {
      if (seen[i]) std::fprintf(to, "%u\n", i);
    }
    std::fclose(to);
  }
} counts;

}  // namespace

void countOpcode(unsigned counted);
void countOpcode(unsigned counted) {
  if (counted < kMost) counts.seen[counted] = true;
}

}  // namespace vtkit::emulator
