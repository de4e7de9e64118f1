// Integer instructions against the processor that runs this test: the same operation, the same operands, the same
// result and defined flags.
#include <random>

#include "test/native/emulator/guest.h"

using namespace vtkit;
using namespace vtkit::test;

namespace {

constexpr uint64_t kCf = 1, kPf = 4, kAf = 0x10, kZf = 0x40, kSf = 0x80, kOf = 0x800;
constexpr uint64_t kAll = kCf | kPf | kAf | kZf | kSf | kOf, kLogic = kAll & ~kAf;

/** RAX and RDX are the operands, RCX the third; flags go in and come out. */
struct State {
  uint64_t rax, rdx, rcx, flags;
};
using Native = void (*)(State&);

struct Operation {
  const char* text;
  const char* bytes;
  unsigned length;
  Native native;
  /** The flags that the manual defines for these operands. */
  uint64_t (*defined)(const State& before);
};

/** One instruction on this processor, and its bytes as the assembler wrote them. */
#define OPERATION(TEXT, DEFINED)                                                                          \
  Operation {                                                                                             \
    TEXT, bytesOf([]() -> const char* {                                                                   \
      const char* at;                                                                                     \
      asm("lea 1f(%%rip), %0\n.pushsection .rodata\n1: .byte 3f-2f\n2: .intel_syntax noprefix\n" TEXT     \
          "\n.att_syntax\n3:\n.popsection"                                                                \
          : "=r"(at));                                                                                    \
      return at;                                                                                          \
    }()),                                                                                                 \
        lengthOf([]() -> const char* {                                                                    \
          const char* at;                                                                                 \
          asm("lea 1f(%%rip), %0\n.pushsection .rodata\n1: .byte 3f-2f\n2: .intel_syntax noprefix\n" TEXT \
              "\n.att_syntax\n3:\n.popsection"                                                            \
              : "=r"(at));                                                                                \
          return at;                                                                                      \
        }()),                                                                                             \
        [](State& s) {                                                                                    \
          asm volatile("push %3\npopfq\n.intel_syntax noprefix\n" TEXT "\n.att_syntax\npushfq\npop %3"    \
                       : "+a"(s.rax), "+d"(s.rdx), "+c"(s.rcx), "+r"(s.flags)                             \
                       :                                                                                  \
                       : "cc", "memory");                                                                 \
        },                                                                                                \
        [](const State& before) -> uint64_t {                                                             \
          (void)before;                                                                                   \
          return DEFINED;                                                                                 \
        }                                                                                                 \
  }

const char* bytesOf(const char* at) { return at + 1; }
unsigned lengthOf(const char* at) { return static_cast<uint8_t>(*at); }

/** Flags of a shift: none change for a count of 0; OF is defined for 1 alone, AF never. */
uint64_t shiftFlags(unsigned count, unsigned bits, bool carryAlways) {
  count &= bits == 64 ? 63 : 31;
  if (count == 0) return kAll;
  return (kSf | kZf | kPf) | (count == 1 ? kOf : 0) | (carryAlways || count <= bits ? kCf : 0);
}
uint64_t rotateFlags(unsigned count, unsigned bits) {
  count &= bits == 64 ? 63 : 31;
  return kAll & ~(count > 1 ? kOf : 0);
}

#define COUNT (before.rcx & 0xff)
#define SIZES(NAME, DEFINED)                                                                                    \
  OPERATION(NAME " al, dl", DEFINED), OPERATION(NAME " ax, dx", DEFINED), OPERATION(NAME " eax, edx", DEFINED), \
      OPERATION(NAME " rax, rdx", DEFINED)
#define UNARY(NAME, DEFINED)                                                                      \
  OPERATION(NAME " al", DEFINED), OPERATION(NAME " ah", DEFINED), OPERATION(NAME " ax", DEFINED), \
      OPERATION(NAME " eax", DEFINED), OPERATION(NAME " rax", DEFINED)
#define SHIFT(NAME, FLAGS)                                                                        \
  OPERATION(NAME " al, cl", FLAGS(COUNT, 8)), OPERATION(NAME " ax, cl", FLAGS(COUNT, 16)),        \
      OPERATION(NAME " eax, cl", FLAGS(COUNT, 32)), OPERATION(NAME " rax, cl", FLAGS(COUNT, 64)), \
      OPERATION(NAME " al, 1", FLAGS(1, 8)), OPERATION(NAME " eax, 1", FLAGS(1, 32)),             \
      OPERATION(NAME " ax, 5", FLAGS(5, 16)), OPERATION(NAME " rax, 37", FLAGS(37, 64))
#define LOGICAL(COUNT_, BITS) shiftFlags(COUNT_, BITS, false)
#define SIGNED(COUNT_, BITS) shiftFlags(COUNT_, BITS, true)
#define ROTATE(COUNT_, BITS) rotateFlags(COUNT_, BITS)
#define DOUBLE(COUNT_, BITS) shiftFlags(COUNT_, BITS, false)
#define BITOPS(NAME)                                                                 \
  OPERATION(NAME " ax, dx", kCf | kZf), OPERATION(NAME " eax, edx", kCf | kZf),      \
      OPERATION(NAME " rax, rdx", kCf | kZf), OPERATION(NAME " eax, 11", kCf | kZf), \
      OPERATION(NAME " rax, 45", kCf | kZf)
#define CONDITIONS(NAME)                                                                                \
  OPERATION(NAME "o" ARGS, kAll), OPERATION(NAME "no" ARGS, kAll), OPERATION(NAME "b" ARGS, kAll),      \
      OPERATION(NAME "ae" ARGS, kAll), OPERATION(NAME "e" ARGS, kAll), OPERATION(NAME "ne" ARGS, kAll), \
      OPERATION(NAME "be" ARGS, kAll), OPERATION(NAME "a" ARGS, kAll), OPERATION(NAME "s" ARGS, kAll),  \
      OPERATION(NAME "ns" ARGS, kAll), OPERATION(NAME "p" ARGS, kAll), OPERATION(NAME "np" ARGS, kAll), \
      OPERATION(NAME "l" ARGS, kAll), OPERATION(NAME "ge" ARGS, kAll), OPERATION(NAME "le" ARGS, kAll), \
      OPERATION(NAME "g" ARGS, kAll)

const std::vector<Operation>& additions() {
  static const std::vector<Operation> all = {SIZES("add", kAll),
                                             SIZES("adc", kAll),
                                             SIZES("sub", kAll),
                                             SIZES("sbb", kAll),
                                             SIZES("cmp", kAll),
                                             SIZES("and", kLogic),
                                             SIZES("or", kLogic),
                                             SIZES("xor", kLogic),
                                             SIZES("test", kLogic),
                                             UNARY("inc", kAll),
                                             UNARY("dec", kAll),
                                             UNARY("neg", kAll),
                                             UNARY("not", kAll),
                                             SIZES("xadd", kAll),
                                             OPERATION("add ah, dl", kAll),
                                             OPERATION("sub dh, ah", kAll),
                                             OPERATION("adc eax, 0x7fffffff", kAll),
                                             OPERATION("sbb rax, -1", kAll),
                                             OPERATION("cmp al, 0x80", kAll),
                                             OPERATION("add ax, 0x1234", kAll),
                                             OPERATION("test eax, 0x80000001", kLogic),
                                             OPERATION("xadd eax, eax", kAll),
                                             OPERATION("cmpxchg dl, cl", kAll),
                                             OPERATION("cmpxchg dx, cx", kAll),
                                             OPERATION("cmpxchg edx, ecx", kAll),
                                             OPERATION("cmpxchg rdx, rcx", kAll)};
  return all;
}

const std::vector<Operation>& shifts() {
  static const std::vector<Operation> all = {
      SHIFT("shl", LOGICAL), SHIFT("shr", LOGICAL), SHIFT("sar", SIGNED), SHIFT("rol", ROTATE), SHIFT("ror", ROTATE),
      SHIFT("rcl", ROTATE), SHIFT("rcr", ROTATE),
      // A count above 16 is undefined for 16-bit operands, result included: only by an immediate below.
      OPERATION("shld ax, dx, 7", DOUBLE(7, 16)), OPERATION("shrd ax, dx, 13", DOUBLE(13, 16)),
      OPERATION("shld eax, edx, cl", DOUBLE(COUNT, 32)), OPERATION("shrd eax, edx, cl", DOUBLE(COUNT, 32)),
      OPERATION("shld rax, rdx, cl", DOUBLE(COUNT, 64)), OPERATION("shrd rax, rdx, cl", DOUBLE(COUNT, 64)),
      OPERATION("shld eax, edx, 1", DOUBLE(1, 32)), OPERATION("shrd rax, rdx, 1", DOUBLE(1, 64))};
  return all;
}

const std::vector<Operation>& multiplications() {
  static const std::vector<Operation> all = {OPERATION("mul dl", kCf | kOf),
                                             OPERATION("mul dx", kCf | kOf),
                                             OPERATION("mul edx", kCf | kOf),
                                             OPERATION("mul rdx", kCf | kOf),
                                             OPERATION("imul dl", kCf | kOf),
                                             OPERATION("imul dx", kCf | kOf),
                                             OPERATION("imul edx", kCf | kOf),
                                             OPERATION("imul rdx", kCf | kOf),
                                             OPERATION("imul ax, dx", kCf | kOf),
                                             OPERATION("imul eax, edx", kCf | kOf),
                                             OPERATION("imul rax, rdx", kCf | kOf),
                                             OPERATION("imul eax, edx, -77", kCf | kOf),
                                             OPERATION("imul rax, rdx, 0x12345", kCf | kOf),
                                             OPERATION("imul ax, dx, 1234", kCf | kOf)};
  return all;
}

const std::vector<Operation>& bits() {
  static const std::vector<Operation> all = {BITOPS("bt"),
                                             BITOPS("bts"),
                                             BITOPS("btr"),
                                             BITOPS("btc"),
                                             OPERATION("bsf ax, dx", kZf),
                                             OPERATION("bsf eax, edx", kZf),
                                             OPERATION("bsf rax, rdx", kZf),
                                             OPERATION("bsr ax, dx", kZf),
                                             OPERATION("bsr eax, edx", kZf),
                                             OPERATION("bsr rax, rdx", kZf),
                                             OPERATION("popcnt ax, dx", kAll),
                                             OPERATION("popcnt eax, edx", kAll),
                                             OPERATION("popcnt rax, rdx", kAll),
                                             OPERATION("bswap eax", kAll),
                                             OPERATION("bswap rax", kAll)};
  return all;
}

const std::vector<Operation>& moves() {
  static const std::vector<Operation> all = {
#define ARGS " dl"
      CONDITIONS("set"),
#undef ARGS
#define ARGS " rax, rdx"
      CONDITIONS("cmov"),
#undef ARGS
#define ARGS " eax, edx"
      CONDITIONS("cmov"),
#undef ARGS
      OPERATION("movzx eax, dl", kAll),
      OPERATION("movzx ax, dh", kAll),
      OPERATION("movsx rax, dl", kAll),
      OPERATION("movsx eax, dx", kAll),
      OPERATION("movsxd rax, edx", kAll),
      OPERATION("movzx rax, dx", kAll),
      OPERATION("cbw", kAll),
      OPERATION("cwde", kAll),
      OPERATION("cdqe", kAll),
      OPERATION("cwd", kAll),
      OPERATION("cdq", kAll),
      OPERATION("cqo", kAll),
      OPERATION("lea rax, [rdx + rcx * 4 - 5]", kAll),
      OPERATION("lea eax, [rdx + rcx * 8 + 0x1234]", kAll),
      OPERATION("lea ax, [edx + ecx]", kAll),
      OPERATION("xchg ax, dx", kAll),
      OPERATION("xchg eax, eax", kAll),
      OPERATION("xchg dl, ah", kAll),
      OPERATION("mov ah, dl", kAll),
      OPERATION("mov eax, edx", kAll),
      OPERATION("mov dh, al", kAll),
      OPERATION("lahf", kAll),
      OPERATION("sahf", kAll),
      OPERATION("clc", kAll),
      OPERATION("stc", kAll),
      OPERATION("cmc", kAll),
      OPERATION("mov rax, 0x123456789abcdef0", kAll),
      OPERATION("mov rdx, -2", kAll)};
  return all;
}

std::mt19937_64& random64() {
  static std::mt19937_64 source(7);
  return source;
}

/** Operands where carries and signs turn, as often as any. */
uint64_t operand() {
  static constexpr uint64_t kEdges[] = {0,
                                        1,
                                        2,
                                        0x7f,
                                        0x80,
                                        0xff,
                                        0x7fff,
                                        0x8000,
                                        0xffff,
                                        0x7fffffff,
                                        0x80000000,
                                        0xffffffff,
                                        0x7fffffffffffffff,
                                        0x8000000000000000,
                                        ~uint64_t{0}};
  const uint64_t value = random64()();
  if ((value & 3) == 0) return kEdges[(value >> 8) % 15];
  return (value & 7) == 1 ? value >> (value >> 8 & 63) : random64()();
}

void check(const Operation& operation, Guest& guest, unsigned rounds) {
  guest.reset();
  for (unsigned i = 0; i < 16; i++) guest.put<uint8_t>(Guest::kCode + i, 0xf4);
  guest.write(Guest::kCode, std::string(operation.bytes, operation.length));
  for (unsigned round = 0; round < rounds; round++) {
    const State before = {operand(), operand(), operand(), 0x202 | (random64()() & kAll)};
    State native = before;
    operation.native(native);
    guest.regs.rax = before.rax;
    guest.regs.rdx = before.rdx;
    guest.regs.rcx = before.rcx;
    guest.regs.rflags = before.flags & ~uint64_t{0x200};
    guest.regs.rip = Guest::kCode;
    const Emulator::Stop stop = guest.run();
    const uint64_t defined = operation.defined(before);
    char what[160];
    std::snprintf(what, sizeof(what), "%s of rax %llx rdx %llx rcx %llx flags %llx:", operation.text,
                  static_cast<unsigned long long>(before.rax), static_cast<unsigned long long>(before.rdx),
                  static_cast<unsigned long long>(before.rcx), static_cast<unsigned long long>(before.flags));
    const std::string text = what;
    if (!checkEqual(static_cast<int>(stop), 0, __FILE__, __LINE__, text + " the stop") ||
        !checkEqual(guest.regs.rax, native.rax, __FILE__, __LINE__, text + " rax") ||
        !checkEqual(guest.regs.rdx, native.rdx, __FILE__, __LINE__, text + " rdx") ||
        !checkEqual(guest.regs.rcx, native.rcx, __FILE__, __LINE__, text + " rcx") ||
        !checkEqual(guest.regs.rflags & defined, native.flags & defined, __FILE__, __LINE__, text + " flags")) {
      return;
    }
  }
}

void checkAll(const std::vector<Operation>& operations) {
  Guest guest(64);
  for (const Operation& operation : operations) check(operation, guest, 3000);
}

}  // namespace

TEST("addition, subtraction, logic and comparison are this processor's") { checkAll(additions()); }
TEST("shifts and rotates are this processor's") { checkAll(shifts()); }
TEST("multiplications are this processor's") { checkAll(multiplications()); }
TEST("bit operations are this processor's") { checkAll(bits()); }
TEST("moves, extensions and conditions are this processor's") { checkAll(moves()); }

TEST("divisions are this processor's, and raise #DE where the quotient does not fit") {
  // Quotients are checked by arithmetic, not by the instruction: on this processor it would raise #DE as well.
  Guest guest(64);
  guest.write(Guest::kCode, "\x48\xf7\xf1\xf4");  // div rcx
  unsigned divided = 0;
  for (unsigned round = 0; round < 20000; round++) {
    const uint64_t low = operand(), high = operand() >> (random64()() & 63), divisor = operand();
    if (divisor == 0 || high >= divisor) continue;
    guest.reset();
    guest.regs.rax = low;
    guest.regs.rdx = high;
    guest.regs.rcx = divisor;
    guest.run();
    const unsigned __int128 dividend = static_cast<unsigned __int128>(high) << 64 | low;
    if (!CHECK_EQUAL(guest.regs.rax, static_cast<uint64_t>(dividend / divisor))) return;
    if (!CHECK_EQUAL(guest.regs.rdx, static_cast<uint64_t>(dividend % divisor))) return;
    divided++;
  }
  CHECK_EQUAL(divided > 5000, true);

  guest.write(Guest::kCode, "\x48\xf7\xf9\xf4");  // idiv rcx
  for (unsigned round = 0; round < 20000; round++) {
    const auto value = static_cast<int64_t>(operand());
    const auto divisor = static_cast<int64_t>(operand());
    const bool fits = divisor != 0 && !(value == INT64_MIN && divisor == -1);
    guest.reset();
    guest.regs.rax = static_cast<uint64_t>(value);
    guest.regs.rdx = value < 0 ? ~uint64_t{0} : 0;
    guest.regs.rcx = static_cast<uint64_t>(divisor);
    const Emulator::Stop stop = guest.run();
    // No interrupt table: #DE becomes a shutdown.
    if (!CHECK_EQUAL(static_cast<int>(stop),
                     static_cast<int>(fits ? Emulator::Stop::halted : Emulator::Stop::shutdown)))
      return;
    if (!fits) continue;
    if (!CHECK_EQUAL(guest.regs.rax, static_cast<uint64_t>(value / divisor))) return;
    if (!CHECK_EQUAL(guest.regs.rdx, static_cast<uint64_t>(value % divisor))) return;
  }
}

TEST("8-bit divisions give every quotient and remainder") {
  Guest guest(32);
  for (const bool isSigned : {false, true}) {
    guest.write(Guest::kCode, isSigned ? "\xf6\xf9\xf4" : "\xf6\xf1\xf4");  // idiv cl, div cl
    for (unsigned round = 0; round < 30000; round++) {
      const uint64_t bits = random64()();
      const auto dividend = static_cast<uint16_t>(bits >> (bits >> 60));
      const auto divisor = static_cast<uint8_t>(bits >> 16);
      const int value = isSigned ? static_cast<int16_t>(dividend) : dividend;
      const int by = isSigned ? static_cast<int8_t>(divisor) : divisor;
      const bool fits = by != 0 && (isSigned ? value / by >= -128 && value / by <= 127 : value / by <= 255);
      guest.reset();
      guest.regs.rax = dividend;
      guest.regs.rcx = divisor;
      const Emulator::Stop stop = guest.run();
      if (!CHECK_EQUAL(static_cast<int>(stop),
                       static_cast<int>(fits ? Emulator::Stop::halted : Emulator::Stop::shutdown)))
        return;
      if (!fits) continue;
      if (!CHECK_EQUAL(guest.regs.rax & 0xffff, static_cast<unsigned>((value % by & 0xff) << 8 | (value / by & 0xff))))
        return;
    }
  }
}
