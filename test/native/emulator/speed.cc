// How many instructions a second: C functions that the compiler of this test translated, run in 64-bit mode.
#include <chrono>

#include "test/native/emulator/guest.h"

// Each function is copied into a guest as it stands: it calls nothing and refers to nothing outside itself.
#define GUEST                                                                                                         \
  extern "C" __attribute__((section("guestcode"), noinline, used, optimize("O2", "no-tree-loop-distribute-patterns"), \
                            target("general-regs-only"), no_sanitize("address", "undefined")))

extern "C" const uint8_t __start_guestcode[], __stop_guestcode[];

GUEST uint64_t sieve(uint8_t* table, uint64_t rounds) {
  uint64_t primes = 0;
  for (uint64_t round = 0; round < rounds; round++) {
    for (unsigned i = 0; i < 8192; i++) table[i] = 1;
    primes = 0;
    for (unsigned i = 2; i < 8192; i++) {
      if (table[i] == 0) continue;
      primes++;
      for (unsigned k = 2 * i; k < 8192; k += i) table[k] = 0;
    }
  }
  return primes;
}

GUEST uint64_t hash(uint8_t* data, uint64_t rounds) {
  uint32_t value = 2166136261u;
  for (uint64_t round = 0; round < rounds; round++) {
    for (unsigned i = 0; i < 4096; i++) {
      value = (value ^ data[i]) * 16777619u;
      value = value << 5 | value >> 27;
    }
  }
  return value;
}

GUEST uint64_t sort(uint8_t* data, uint64_t rounds) {
  auto* items = reinterpret_cast<uint32_t*>(data);
  uint32_t seed = 1;
  for (uint64_t round = 0; round < rounds; round++) {
    for (unsigned i = 0; i < 256; i++) items[i] = seed = seed * 1103515245 + 12345;
    for (unsigned i = 1; i < 256; i++) {
      const uint32_t item = items[i];
      unsigned k = i;
      for (; k > 0 && items[k - 1] > item; k--) items[k] = items[k - 1];
      items[k] = item;
    }
  }
  return items[128];
}

GUEST uint64_t fibonacci(uint64_t n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }
GUEST uint64_t recurse(uint8_t*, uint64_t rounds) {
  uint64_t sum = 0;
  for (uint64_t round = 0; round < rounds; round++) sum += fibonacci(18);
  return sum;
}

GUEST uint64_t collatz(uint8_t*, uint64_t rounds) {
  uint64_t steps = 0;
  for (uint64_t n = 1; n < rounds; n++) {
    for (uint64_t value = n; value != 1; steps++) value = (value & 1) != 0 ? 3 * value + 1 : value / 2;
  }
  return steps;
}

using namespace vtkit;
using namespace vtkit::test;

namespace {

struct Program {
  const char* name;
  uint64_t (*run)(uint8_t*, uint64_t);
  uint64_t rounds;
};
constexpr Program kPrograms[] = {
    {"sieve", sieve, 600},     {"hash", hash, 1500},        {"sort", sort, 150},
    {"recurse", recurse, 500}, {"collatz", collatz, 60000},
};

double seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace

TEST("compiled functions give what they give on this host") {
  const std::string code(reinterpret_cast<const char*>(__start_guestcode), __stop_guestcode - __start_guestcode);
  double allSeconds = 0, allInstructions = 0;
  for (const Program& program : kPrograms) {
    Guest guest(64);
    guest.write(0x20000, code);
    guest.write(Guest::kCode, "\xff\xd0");  // call rax
    guest.write(Guest::kCode + 2, "\xf4");
    guest.regs.rax = 0x20000 + static_cast<uint64_t>(reinterpret_cast<const uint8_t*>(program.run) - __start_guestcode);
    guest.regs.rdi = Guest::kData;
    guest.regs.rsi = program.rounds;
    const double start = seconds();
    const Emulator::Stop stop = guest.run();
    const double took = seconds() - start;
    CHECK_EQUAL(static_cast<int>(stop), static_cast<int>(Emulator::Stop::halted));
    std::vector<uint64_t> table(2048);
    CHECK_EQUAL(guest.regs.rax, program.run(reinterpret_cast<uint8_t*>(table.data()), program.rounds));
    const auto instructions = static_cast<double>(guest.processor->instructionsRetired());
    std::printf("%-10s %6.1f million instructions/s\n", program.name, instructions / took / 1e6);
    allSeconds += took;
    allInstructions += instructions;
  }
  std::printf("%-10s %6.1f million instructions/s\n", "all", allInstructions / allSeconds / 1e6);
}
