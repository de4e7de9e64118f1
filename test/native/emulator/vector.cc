// x87, vector and extended general instructions against this processor: the same operands, the same registers, memory
// and exception flags.
#include <sys/mman.h>

#include <random>

#include "emulator/extended-state.h"
#include "test/native/emulator/guest.h"
#include "test/native/emulator/host-processor.h"
#include "test/native/emulator/vector-encodings.h"
#include "test/native/emulator/vector-list.h"

using namespace vtkit;
using namespace vtkit::test;

namespace {

#define LIST(NAME, ENTRIES)                                                         \
  asm(".pushsection .rodata\nvtkit_" #NAME ":\n" ENTRIES ".byte 0\n.popsection\n"); \
  const uint8_t* NAME() {                                                           \
    const uint8_t* at;                                                              \
    asm("lea vtkit_" #NAME "(%%rip), %0" : "=r"(at));                               \
    return at;                                                                      \
  }
LIST(packedIntegers, PACKED_INTEGERS)
LIST(shuffles, SHUFFLES)
LIST(moves, MOVES)
LIST(floats, FLOATS)
LIST(conversions, CONVERSIONS)
LIST(fused, FUSED)
LIST(crypto, CRYPTO)
LIST(general, GENERAL)
LIST(x87, X87)
LIST(otherMoves, LOADS_AND_STORES GATHERS)
LIST(otherIntegers, OTHER_WIDTHS)
LIST(otherFloats, OTHER_FLOATS)

constexpr unsigned kControl = 0, kStatus = 2, kTags = 4, kMxcsr = 24, kSt = 32, kXmm = 160, kComponents = 512,
                   kUpper = 576, kMemory = 128;
constexpr uint64_t kCf = 1, kPf = 4, kAf = 0x10, kZf = 0x40, kSf = 0x80, kOf = 0x800;
constexpr uint64_t kAll = kCf | kPf | kAf | kZf | kSf | kOf;

using Random = std::mt19937_64;

/** Numbers at and around what floating point treats apart, among plain ones. */
template <typename T>
T number(Random& random, unsigned fraction) {
  const T sign = static_cast<T>(T{1} << (sizeof(T) * 8 - 1));
  const T infinity = static_cast<T>(static_cast<T>(~sign) >> fraction << fraction);
  const auto bits = static_cast<T>(random());
  const T bias = static_cast<T>(infinity >> 1 & infinity);
  switch (random() % 12) {
    case 0:
      return bits & sign;
    case 1:
      return static_cast<T>((bits & sign) | infinity);
    case 2:
      return static_cast<T>(bits | infinity);  // a NaN, nearly always
    case 3:
      return static_cast<T>(bits & ~infinity);  // denormal
    case 4:
      return static_cast<T>((bits & sign) | bias);
    case 5:
      return static_cast<T>((bits & ~infinity) | (T{1} << fraction));  // just normal
    case 6:
      return static_cast<T>((bits & ~infinity) | (infinity - (T{1} << fraction)));  // the greatest
    case 7:
      // A half, a few whole numbers and their halves.
      return static_cast<T>((bits & sign) | (bias - (T{1} << fraction)) | (bits & (T{15} << (fraction - 1))));
    default:
      return static_cast<T>((bits & ~infinity) | static_cast<T>((bias >> fraction) + random() % 40 - 20) << fraction);
  }
}

void fill(Random& random, uint8_t* to, unsigned bytes) {
  const unsigned kind = random() % 5;
  for (unsigned i = 0; i + 8 <= bytes; i += 8) {
    uint64_t value = random();
    if (kind == 1) value = number<uint64_t>(random, 52);
    if (kind == 2) value = uint64_t{number<uint32_t>(random, 23)} << 32 | number<uint32_t>(random, 23);
    if (kind == 3) {
      value = 0;
      for (unsigned k = 0; k < 4; k++) value = value << 16 | number<uint16_t>(random, 10);
    }
    if (kind == 4) value &= 0x0303030303030303;  // texts with ends
    std::memcpy(to + i, &value, 8);
  }
}

/** A register of the x87 stack: all kinds of numbers, those that only 80 bits have too. */
void fillX87(Random& random, uint8_t* to) {
  uint64_t significand = random();
  auto exponent = static_cast<uint16_t>(random());
  switch (random() % 8) {
    case 0:
      significand = 0;
      exponent &= 0x8000;
      break;
    case 1:
      exponent |= 0x7fff;
      significand |= uint64_t{1} << 63;
      if (random() % 2 != 0) significand = uint64_t{1} << 63;
      break;
    case 2:
      exponent &= 0x8000;  // denormal or pseudo-denormal
      break;
    case 3:
      break;  // perhaps unnormal: not valid since the 80387
    default:
      exponent = static_cast<uint16_t>((exponent & 0x8000) | (0x3fff + random() % 70 - 30));
      significand |= uint64_t{1} << 63;
      if (random() % 2 != 0) significand = significand >> 56 << 56;
  }
  std::memcpy(to, &significand, 8);
  std::memcpy(to + 8, &exponent, 2);
}

struct Case {
  Registers registers = {};
  alignas(64) uint8_t memory[kMemory] = {};
};

Case randomCase(Random& random) {
  Case c;
  Registers& r = c.registers;
  r.put<uint16_t>(kControl, static_cast<uint16_t>(0x7f | (random() & 0xf00)));
  r.put<uint16_t>(kStatus, static_cast<uint16_t>(random() & 0x7f7f));
  r.put<uint8_t>(kTags, random() % 3 == 0 ? static_cast<uint8_t>(random()) : 0xff);
  r.put<uint32_t>(kMxcsr, static_cast<uint32_t>(random() % 3 == 0 ? 0x1f80 : 0x1f80 | (random() & 0xe07f)));
  for (unsigned i = 0; i < 8; i++) fillX87(random, r.area + kSt + 16 * i);
  for (unsigned i = 0; i < 16; i++) {
    fill(random, r.area + kXmm + 16 * i, 16);
    fill(random, r.area + kUpper + 16 * i, 16);
  }
  r.put<uint64_t>(kComponents, 7);
  r.rax = random();
  r.rcx = random() >> random() % 64;
  r.rdx = random() % 2 != 0 ? random() & 0x3f3f : random();
  r.rbx = random();
  r.flags = (random() & kAll) | 0x202;
  fill(random, c.memory, kMemory);
  if (random() % 2 != 0) fillX87(random, c.memory + 1);
  return c;
}

struct Entry {
  uint64_t flags;
  std::string bytes;
  const char* text;
};

std::vector<Entry> entriesOf(const uint8_t* at) {
  std::vector<Entry> entries;
  while (*at != 0) {
    Entry entry;
    entry.flags = *at == 'a' ? kAll : *at == 'b' ? kAll & ~(kAf | kPf) : kCf | kZf;
    entry.bytes.assign(reinterpret_cast<const char*>(at + 2), at[1]);
    entry.text = reinterpret_cast<const char*>(at + 2 + at[1]);
    at += 2 + at[1] + std::strlen(entry.text) + 1;
    entries.push_back(entry);
  }
  return entries;
}

/** What LDMXCSR and FLDCW load: masked, or they would trap. */
struct Words {
  uint32_t mxcsr;
  uint32_t pad;
  uint16_t control;
};

class Comparison {
 public:
  Comparison() : guest_(64) {
    code_ = static_cast<uint8_t*>(
        mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    guest_.enable(0x40600);  // OSFXSR, OSXMMEXCPT, OSXSAVE
    guest_.processor->setXcr0(7);
  }
  ~Comparison() { munmap(code_, 4096); }

  /** Stops at the first operands that did not give the same. */
  void run(const Entry& entry, unsigned rounds, bool masked = true) {
    std::memcpy(code_, entry.bytes.data(), entry.bytes.size());
    code_[entry.bytes.size()] = 0xc3;
    // MASKMOV writes where RDI points in both; the guest's data page stands for ours.
    guest_.write(Guest::kCode, entry.bytes + '\xf4');
    for (unsigned round = 0; round < rounds; round++) {
      Case before = randomCase(random_);
      if (!masked) {  // nothing pends before, and what pends behind is not waited for
        before.registers.put<uint16_t>(kControl, static_cast<uint16_t>(0x40 | (random_() & 0xf3f)));
        before.registers.put<uint16_t>(kStatus, before.registers.get<uint16_t>(kStatus) & 0x7f00);
      }
      const Words words = {static_cast<uint32_t>(0x1f80 | (random_() & 0xe07f)), 0,
                           static_cast<uint16_t>(0x7f | (random_() & 0xf00))};
      Case here = before, there = before;
      runHere(code_, here.registers, here.memory, &words);
      if (!emulate(there, words)) {
        CHECK_EQUAL(entry.text, "executed");
        return;
      }
      if (!same(entry, here, there)) {
        describe(before, here, there);
        return;
      }
    }
  }

  /** With exceptions that are not masked: whether one is raised, and what MXCSR says then. */
  void runUnmasked(const Entry& entry, unsigned rounds) {
    std::memcpy(code_, entry.bytes.data(), entry.bytes.size());
    code_[entry.bytes.size()] = 0xc3;
    guest_.write(Guest::kCode, entry.bytes + '\xf4');
    for (unsigned round = 0; round < rounds; round++) {
      Case before = randomCase(random_);
      before.registers.put<uint32_t>(kMxcsr, static_cast<uint32_t>(random_() & 0xffc0));
      before.registers.put<uint16_t>(kStatus, 0);
      Case here = before, there = before;
      const Words words = {0x1f80, 0, 0x37f};
      const bool raised = raisesHere(code_, here.registers, here.memory, &words);
      const bool emulated = !emulate(there, words);
      bool agrees = checkEqual(emulated, raised, __FILE__, __LINE__, std::string(entry.text) + ": an exception");
      if (agrees && raised) {
        agrees = checkEqual(there.registers.get<uint32_t>(kMxcsr), faultMxcsr, __FILE__, __LINE__,
                            std::string(entry.text) + ": MXCSR") &&
                 checkEqual(std::memcmp(there.registers.area + kXmm, before.registers.area + kXmm, 256), 0, __FILE__,
                            __LINE__, std::string(entry.text) + ": a change of XMM");
      } else if (agrees) {
        agrees = same(entry, here, there);
      }
      if (!agrees) {
        describe(before, here, there);
        return;
      }
    }
  }

 private:
  bool emulate(Case& c, const Words& words) {
    guest_.processor->setXsave(c.registers.area);
    guest_.memory.write(Guest::kData, c.memory, kMemory);
    guest_.memory.write(Guest::kData + 0x100, &words, sizeof(words));
    guest_.regs = {};
    guest_.regs.rip = Guest::kCode;
    guest_.regs.rsp = Guest::kStack;
    guest_.regs.rdi = Guest::kData;
    guest_.regs.rsi = Guest::kData + 0x100;
    guest_.regs.rax = c.registers.rax;
    guest_.regs.rcx = c.registers.rcx;
    guest_.regs.rdx = c.registers.rdx;
    guest_.regs.rbx = c.registers.rbx;
    guest_.regs.rflags = c.registers.flags;
    const bool halted = guest_.run() == Emulator::Stop::halted;
    guest_.processor->getXsave(c.registers.area, sizeof(c.registers.area));
    if (!halted) return false;
    c.registers.rax = guest_.regs.rax;
    c.registers.rcx = guest_.regs.rcx;
    c.registers.rdx = guest_.regs.rdx;
    c.registers.rbx = guest_.regs.rbx;
    c.registers.flags = guest_.regs.rflags;
    guest_.memory.read(Guest::kData, c.memory, kMemory);
    return true;
  }

  bool same(const Entry& entry, Case& here, Case& there) {
    // XSAVE leaves what is in its initial state to the header: it stands as zeros then.
    const auto components = here.registers.get<uint64_t>(kComponents);
    if ((components & 2) == 0) std::memset(here.registers.area + kXmm, 0, 256);
    if ((components & 4) == 0) std::memset(here.registers.area + kUpper, 0, 256);
    if ((components & 1) == 0) {  // empty registers count for nothing then, whatever they hold
      std::memset(here.registers.area, 0, 24);
      std::memcpy(here.registers.area + kSt, there.registers.area + kSt, 128);
      here.registers.put<uint16_t>(kControl, 0x37f);
    }
    for (unsigned i = 0; i < 8; i++) {  // what lies behind the ten bytes of a register is nobody's
      std::memset(here.registers.area + kSt + 16 * i + 10, 0, 6);
      std::memset(there.registers.area + kSt + 16 * i + 10, 0, 6);
    }
    const auto differs = [&](unsigned at, unsigned bytes) {
      return std::memcmp(here.registers.area + at, there.registers.area + at, bytes) != 0;
    };
    const char* what = nullptr;
    if (differs(kControl, 2)) what = "the x87 control word";
    if (differs(kStatus, 2)) what = "the x87 status word";
    if (differs(kTags, 1)) what = "the x87 tags";
    if (differs(kSt, 128)) what = "the x87 registers";
    if (differs(kMxcsr, 4)) what = "MXCSR";
    if (differs(kXmm, 256)) what = "XMM";
    if (differs(kUpper, 256)) what = "YMM";
    if (here.registers.rax != there.registers.rax) what = "RAX";
    if (here.registers.rcx != there.registers.rcx) what = "RCX";
    if (here.registers.rdx != there.registers.rdx) what = "RDX";
    if (here.registers.rbx != there.registers.rbx) what = "RBX";
    if (((here.registers.flags ^ there.registers.flags) & entry.flags) != 0) what = "RFLAGS";
    if (std::memcmp(here.memory, there.memory, kMemory) != 0) what = "memory";
    return what == nullptr || checkEqual(std::string(what), std::string("the same"), __FILE__, __LINE__, entry.text);
  }

  static void dump(const char* name, const uint8_t* bytes, unsigned count) {
    std::printf("  %s ", name);
    for (unsigned i = count; i-- > 0;) std::printf("%02x%s", bytes[i], i % 8 == 0 && i != 0 ? "_" : "");
    std::printf("\n");
  }
  static void describe(const Case& before, const Case& here, const Case& there) {
    const Case* cases[] = {&before, &here, &there};
    const char* names[] = {"before", "here", "emulated"};
    for (unsigned i = 0; i < 3; i++) {
      const Registers& r = cases[i]->registers;
      std::printf(" %s: fcw %04x fsw %04x tags %02x mxcsr %04x rax %llx rcx %llx rdx %llx rbx %llx flags %llx\n",
                  names[i], r.get<uint16_t>(kControl), r.get<uint16_t>(kStatus), r.get<uint8_t>(kTags),
                  r.get<uint32_t>(kMxcsr), static_cast<unsigned long long>(r.rax),
                  static_cast<unsigned long long>(r.rcx), static_cast<unsigned long long>(r.rdx),
                  static_cast<unsigned long long>(r.rbx), static_cast<unsigned long long>(r.flags));
      for (unsigned k = 0; k < 4; k++) dump("st ", r.area + kSt + 16 * k, 10);
      for (unsigned k = 1; k < 4; k++) {
        uint8_t ymm[32];
        std::memcpy(ymm, r.area + kXmm + 16 * k, 16);
        std::memcpy(ymm + 16, r.area + kUpper + 16 * k, 16);
        dump("ymm", ymm, 32);
      }
      dump("mem", cases[i]->memory, 32);
    }
  }

  Guest guest_;
  uint8_t* code_;
  Random random_{1};
};

void compareAll(const uint8_t* list) {
  if (!hostHasAll()) {
    std::printf("skipped: this processor does not have all of the instructions\n");
    return;
  }
  Comparison comparison;
  const std::vector<Entry> entries = entriesOf(list);
  for (const Entry& entry : entries) comparison.run(entry, 400);
  std::printf("%zu instructions compared\n", entries.size());
}

}  // namespace

TEST("packed integer arithmetic is the processor's") { compareAll(packedIntegers()); }
TEST("shuffles, blends and permutations are the processor's") { compareAll(shuffles()); }
TEST("moves of vector registers are the processor's") { compareAll(moves()); }
TEST("floating-point arithmetic and comparison are the processor's, with their flags") { compareAll(floats()); }
TEST("conversions are the processor's") { compareAll(conversions()); }
TEST("fused multiply-add is the processor's") { compareAll(fused()); }
TEST("AES, carry-less multiplication, SHA and text comparison are the processor's") { compareAll(crypto()); }
TEST("BMI, ADX, MOVBE, CRC32 and bit counts are the processor's") { compareAll(general()); }
TEST("exceptions that MXCSR does not mask are raised as the processor raises them, and change nothing else") {
  if (!hostHasAll()) return;
  Comparison comparison;
  for (const uint8_t* list : {floats(), conversions(), fused(), otherFloats()}) {
    for (const Entry& entry : entriesOf(list)) comparison.runUnmasked(entry, 200);
  }
}
TEST("the other widths, and scalars with VEX.L set, are the processor's") {
  for (const uint8_t* list : {otherMoves(), otherIntegers(), otherFloats()}) compareAll(list);
}
TEST("x87 instructions are the processor's") { compareAll(x87()); }
TEST("exceptions that the x87 control word does not mask pend as on the processor, with the same results") {
  if (!hostHasAll()) return;
  Comparison comparison;
  for (const Entry& entry : entriesOf(x87())) comparison.run(entry, 400, false);
}
