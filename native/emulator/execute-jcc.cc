// Jcc (SDM Vol. 2A): which flags it tests, and of what kind of result they are, is chosen when it is decoded.
#include <array>
#include <type_traits>
#include <utility>

#include "emulator/conditional-jumps.h"
#include "emulator/families.h"
#include "emulator/jump.h"

namespace vtkit::emulator {

namespace {

template <unsigned Code>
bool holds(const Cpu& cpu) {
  return condition(cpu, Code);
}

/** Behind CMP and SUB of T: the operands say it. */
template <unsigned Code, typename T>
bool holdsCompared(const Cpu& cpu) {
  using Signed = std::make_signed_t<T>;
  const auto a = static_cast<T>(cpu.lazy.a), b = static_cast<T>(cpu.lazy.b);
  const bool inverted = (Code & 1) != 0;
  switch (Code >> 1) {
    case 1:
      return (a < b) != inverted;
    case 2:
      return (a == b) != inverted;
    case 3:
      return (a <= b) != inverted;
    case 4:
      return (static_cast<Signed>(cpu.lazy.result) < 0) != inverted;
    case 6:
      return (static_cast<Signed>(a) < static_cast<Signed>(b)) != inverted;
    case 7:
      return (static_cast<Signed>(a) <= static_cast<Signed>(b)) != inverted;
    default:
      return condition(cpu, Code);
  }
}

/** Behind AND, OR, XOR and TEST of T: CF and OF are clear. */
template <unsigned Code, typename T>
bool holdsLogical(const Cpu& cpu) {
  const auto result = static_cast<std::make_signed_t<T>>(cpu.lazy.result);
  const bool inverted = (Code & 1) != 0;
  switch (Code >> 1) {
    case 0:
    case 1:
      return inverted;
    case 2:
    case 3:
      return (result == 0) != inverted;
    case 4:
    case 6:
      return (result < 0) != inverted;
    case 7:
      return (result <= 0) != inverted;
    default:
      return condition(cpu, Code);
  }
}

template <typename T, bool (*Holds)(const Cpu&)>
Flow jcc(Cpu& cpu, const MicroOp* op) {
  synchronise(cpu, op);
  if (!Holds(cpu)) return follow(cpu, 0);
  if (!jumpTo<T>(cpu, cpu.rip() + op->immediate)) return refuseEnding(cpu, op);
  return follow(cpu, 1);
}

using Row = std::array<Handler, 16>;
using Codes = std::make_index_sequence<16>;

template <typename T, std::size_t... Code>
constexpr Row plain(std::index_sequence<Code...>) {
  return {jcc<T, holds<Code>>...};
}
template <typename T, typename Of, std::size_t... Code>
constexpr Row compared(std::index_sequence<Code...>) {
  return {jcc<T, holdsCompared<Code, Of>>...};
}
template <typename T, typename Of, std::size_t... Code>
constexpr Row logical(std::index_sequence<Code...>) {
  return {jcc<T, holdsLogical<Code, Of>>...};
}

/** By operand size of the jump (16, 32, 64 bits), then by that of what stands before it. */
template <typename T>
struct Jumps {
  static constexpr Row kPlain = plain<T>(Codes());
  static constexpr Row kCompared[4] = {compared<T, uint8_t>(Codes()), compared<T, uint16_t>(Codes()),
                                       compared<T, uint32_t>(Codes()), compared<T, uint64_t>(Codes())};
  static constexpr Row kLogical[4] = {logical<T, uint8_t>(Codes()), logical<T, uint16_t>(Codes()),
                                      logical<T, uint32_t>(Codes()), logical<T, uint64_t>(Codes())};

  static Handler choose(unsigned code, Result before, unsigned size) {
    if (before == Result::compared) return kCompared[size][code];
    if (before == Result::logical) return kLogical[size][code];
    return kPlain[code];
  }
};

}  // namespace

Handler conditionalJump(const MicroOp& op, Result before, unsigned operandBytes) {
  const unsigned code = op.opcode & 15, size = static_cast<unsigned>(__builtin_ctz(operandBytes));
  if (op.operandBytes == 8) return Jumps<uint64_t>::choose(code, before, size);
  if (op.operandBytes == 4) return Jumps<uint32_t>::choose(code, before, size);
  return Jumps<uint16_t>::choose(code, before, size);
}

const Handlers kJcc = {
    {{Jumps<uint16_t>::kPlain[0], Jumps<uint16_t>::kPlain[0], Jumps<uint32_t>::kPlain[0], Jumps<uint64_t>::kPlain[0]},
     {}},
    {true, true}};

}  // namespace vtkit::emulator
