// The conformance guests on the plain C++ core: they print what QEMU prints, or the manual says, with the sanitizers
// watching. Those that `scripts/build-guests` built; without nasm there are none.
#include <algorithm>

#include "test/native/check.h"
#include "test/native/image.h"
#include "test/native/pc.h"

using namespace vtkit;
using namespace vtkit::test;

namespace {

struct Conformance {
  const char* name;
  unsigned processors = 1;
};

/** All but `entry`, which looks at boot information, and `clock`, which sleeps: both are made outside of C++. */
constexpr Conformance kGuests[] = {
    {"real-basics"},
    {"real-strings"},
    {"real-interrupts"},
    {"real-timer"},
    {"real-protected"},
    {"modes"},
    {"exceptions-32"},
    {"exceptions-64"},
    {"checks-32"},
    {"checks-64"},
    {"gates"},
    {"rings"},
    {"interrupt-stacks"},
    {"syscall"},
    {"segments"},
    {"descriptors"},
    {"far-64"},
    {"stack-frames"},
    {"paging-2level"},
    {"paging-pae"},
    {"paging-4level"},
    {"paging-5level"},
    {"page-faults-32"},
    {"page-faults-64"},
    {"alu-arithmetic-32"},
    {"alu-arithmetic-64"},
    {"alu-shift-32"},
    {"alu-shift-64"},
    {"alu-multiply-32"},
    {"alu-multiply-64"},
    {"alu-bits-32"},
    {"alu-bits-64"},
    {"alu-decimal"},
    {"strings-32"},
    {"strings-64"},
    {"string-io"},
    {"mmio"},
    {"self-modifying"},
    {"timer"},
    {"alignment"},
    {"vector-faults"},
    {"single-step"},
    {"breakpoints"},
    {"data-breakpoints"},
    {"apic"},
    {"apic-modes", 2},
    {"io-apic"},
    {"processors", 3},
    {"tasks"},
    {"protection"},
    {"control"},
    {"debug-traps"},
    {"sha256"},
    {"sort"},
    {"sieve"},
    {"text"},
    {"wide"},
    {"interpreter"},
};

std::string textOf(const std::string& name) {
  const std::vector<uint8_t> bytes = fileBytes(name);
  return {bytes.begin(), bytes.end()};
}

}  // namespace

TEST("each conformance guest prints what is expected of it") {
  Memory memory;
  unsigned found = 0;
  for (const Conformance& guest : kGuests) {
    const std::string base = std::string("test/conformance/build/") + guest.name;
    std::vector<uint8_t> image = fileBytes(base + ".elf");
    if (image.empty()) image = fileBytes(base + ".bin");
    if (image.empty()) continue;
    found++;
    memory.clear();
    Pc pc(memory.slots, guest.processors);
    load(pc.processor(0), memory, image);
    pc.run(200000000, 1000000);
    const std::string expected = textOf(std::string("test/conformance/expected/") + guest.name + ".txt");
    if (pc.serial() == expected) continue;
    const size_t at = std::mismatch(expected.begin(), expected.end(), pc.serial().begin(), pc.serial().end()).first -
                      expected.begin();
    std::printf("%s, at byte %zu: %.60s\n", guest.name, at,
                pc.serial().substr(std::min(at, pc.serial().size())).c_str());
    countFailure();
  }
  std::printf("%u of %zu guests\n", found, std::size(kGuests));
}
