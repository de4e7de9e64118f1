// Shifts, rotates, multiplication, division and bit operations (SDM Vol. 1, 7.3.2, 7.3.5, 7.3.6).
#include <type_traits>

#include "emulator/families.h"

namespace vtkit::emulator {

namespace {

enum class Shift { rol, ror, rcl, rcr, shl, shr, sar };

/** A shift or rotate by a count that is already masked and not 0. Undefined OF (count over 1) is as Intel computes it.
 */
template <Shift Kind, typename T>
T shifted(Cpu& cpu, T value, unsigned count) {
  constexpr unsigned bits = sizeof(T) * 8;
  const auto top = [](T v) { return (v >> (bits - 1) & 1) != 0; };
  if constexpr (Kind == Shift::rol || Kind == Shift::ror) {
    const unsigned n = count % bits;
    T result;
    bool carry, overflow;
    if constexpr (Kind == Shift::rol) {
      result = n == 0 ? value : static_cast<T>(value << n | value >> (bits - n));
      carry = (result & 1) != 0;
      overflow = top(result) != carry;
    } else {
      result = n == 0 ? value : static_cast<T>(value >> n | value << (bits - n));
      carry = top(result);
      overflow = top(result) != ((result >> (bits - 2) & 1) != 0);
    }
    setFlags(cpu, kCf | kOf, (carry ? kCf : 0) | (overflow ? kOf : 0));
    return result;
  } else if constexpr (Kind == Shift::rcl || Kind == Shift::rcr) {
    const unsigned n = count % (bits + 1);
    T result = value;
    bool carry = cf(cpu);
    for (unsigned i = 0; i < n; i++) {
      const bool out = Kind == Shift::rcl ? top(result) : (result & 1) != 0;
      result = Kind == Shift::rcl ? static_cast<T>(result << 1 | (carry ? 1 : 0))
                                  : static_cast<T>(result >> 1 | static_cast<T>(carry ? T{1} << (bits - 1) : T{0}));
      carry = out;
    }
    const bool overflow = Kind == Shift::rcl ? top(result) != carry : top(result) != ((result >> (bits - 2) & 1) != 0);
    setFlags(cpu, kCf | kOf, (carry ? kCf : 0) | (overflow ? kOf : 0));
    return result;
  } else {
    T result;
    bool carry, overflow;
    if constexpr (Kind == Shift::shl) {
      result = count >= bits ? T{0} : static_cast<T>(value << count);
      carry = count <= bits && (value >> (bits - count) & 1) != 0;
      overflow = top(result) != carry;
    } else if constexpr (Kind == Shift::shr) {
      result = count >= bits ? T{0} : static_cast<T>(value >> count);
      carry = count <= bits && (value >> (count - 1) & 1) != 0;
      overflow = top(value);
    } else {
      using Signed = std::make_signed_t<T>;
      const auto wide = static_cast<int64_t>(static_cast<Signed>(value));
      const unsigned n = count >= bits ? bits - 1 : count;
      result = static_cast<T>(wide >> n);
      carry = (wide >> (count >= bits ? bits - 1 : count - 1) & 1) != 0;
      overflow = false;
    }
    keepResultFlags<T>(cpu, result, carry, overflow);
    return result;
  }
}

template <Shift Kind, typename T, bool Mem>
bool shiftRm(Cpu& cpu, const MicroOp& op, unsigned rawCount) {
  const unsigned count = rawCount & (sizeof(T) == 8 ? 63 : 31);
  T value;
  if (!readForWrite<T, Mem>(cpu, op, value)) return false;
  if (count == 0) return writeRm<T, Mem>(cpu, op, value);
  return writeRm<T, Mem>(cpu, op, shifted<Kind, T>(cpu, value, count));
}

template <Shift Kind>
struct Shifts {
  template <typename T, bool Mem>
  struct ByOne {
    static bool run(Cpu& cpu, const MicroOp& op) { return shiftRm<Kind, T, Mem>(cpu, op, 1); }
  };
  template <typename T, bool Mem>
  struct ByImm {
    static bool run(Cpu& cpu, const MicroOp& op) {
      return shiftRm<Kind, T, Mem>(cpu, op, static_cast<unsigned>(op.immediate & 0xff));
    }
  };
  template <typename T, bool Mem>
  struct ByCl {
    static bool run(Cpu& cpu, const MicroOp& op) { return shiftRm<Kind, T, Mem>(cpu, op, readGpr<uint8_t>(cpu, RCX)); }
  };
};

/** SHLD and SHRD; a 16-bit count over 16 is undefined: the operands are seen as one ring, as Intel processors do. */
template <bool Left, typename T, bool Mem>
bool shiftDouble(Cpu& cpu, const MicroOp& op, unsigned rawCount) {
  constexpr unsigned bits = sizeof(T) * 8;
  if constexpr (bits == 8) return raise(cpu, kUd);
  unsigned count = rawCount & (bits == 64 ? 63 : 31);
  T value;
  if (!readForWrite<T, Mem>(cpu, op, value)) return false;
  if (count == 0) return writeRm<T, Mem>(cpu, op, value);
  const T other = readAt<T>(cpu, op.reg);
  T first = value, second = other;
  if (count > bits) {
    first = other;
    second = value;
    count -= bits;
  }
  T result;
  bool carry;
  if constexpr (Left) {
    result = count == bits ? second : static_cast<T>(first << count | second >> (bits - count));
    carry = (first >> (bits - count) & 1) != 0;
  } else {
    result = count == bits ? second : static_cast<T>(first >> count | second << (bits - count));
    carry = (first >> (count - 1) & 1) != 0;
  }
  if (!writeRm<T, Mem>(cpu, op, result)) return false;
  keepResultFlags<T>(cpu, result, carry, ((result ^ value) >> (bits - 1) & 1) != 0);
  return true;
}
template <bool Left>
struct Doubles {
  template <typename T, bool Mem>
  struct ByImm {
    static bool run(Cpu& cpu, const MicroOp& op) {
      return shiftDouble<Left, T, Mem>(cpu, op, static_cast<unsigned>(op.immediate & 0xff));
    }
  };
  template <typename T, bool Mem>
  struct ByCl {
    static bool run(Cpu& cpu, const MicroOp& op) {
      return shiftDouble<Left, T, Mem>(cpu, op, readGpr<uint8_t>(cpu, RCX));
    }
  };
};

// Multiplication and division
// ------------------------------------------------------------------------------------------

template <typename T>
struct Wide;
template <>
struct Wide<uint8_t> {
  using U = uint16_t;
  using S = int16_t;
};
template <>
struct Wide<uint16_t> {
  using U = uint32_t;
  using S = int32_t;
};
template <>
struct Wide<uint32_t> {
  using U = uint64_t;
  using S = int64_t;
};
template <>
struct Wide<uint64_t> {
  using U = unsigned __int128;
  using S = __int128;
};

/** The double-width accumulator: AX, or rDX:rAX. */
template <typename T>
typename Wide<T>::U readPair(const Cpu& cpu) {
  if constexpr (sizeof(T) == 1) return readGpr<uint16_t>(cpu, RAX);
  using U = typename Wide<T>::U;
  return static_cast<U>(static_cast<U>(readGpr<T>(cpu, RDX)) << (sizeof(T) * 8) | readGpr<T>(cpu, RAX));
}

template <typename T>
void writePair(Cpu& cpu, T low, T high) {
  if constexpr (sizeof(T) == 1) {
    writeAt<uint16_t>(cpu, 0, static_cast<uint16_t>(high << 8 | low));
  } else {
    writeGpr<T>(cpu, RAX, low);
    writeGpr<T>(cpu, RDX, high);
  }
}

/** CF and OF tell whether the upper half counts; SF, ZF, AF and PF are undefined: of the low half, AF clear. */
template <typename T>
void multiplyFlags(Cpu& cpu, T low, bool significant) {
  keepResultFlags<T>(cpu, low, significant, significant);
}

template <typename T, bool Mem>
struct Mul {
  static bool run(Cpu& cpu, const MicroOp& op) {
    T factor;
    if (!readRm<T, Mem>(cpu, op, factor)) return false;
    using U = typename Wide<T>::U;
    const U product = static_cast<U>(static_cast<U>(readGpr<T>(cpu, RAX)) * factor);
    const auto high = static_cast<T>(product >> (sizeof(T) * 8));
    writePair<T>(cpu, static_cast<T>(product), high);
    multiplyFlags<T>(cpu, static_cast<T>(product), high != 0);
    return true;
  }
};

template <typename T>
T multiplySigned(Cpu& cpu, T a, T b, T* high) {
  using S = typename Wide<T>::S;
  using Signed = std::make_signed_t<T>;
  const S product = static_cast<S>(static_cast<S>(static_cast<Signed>(a)) * static_cast<Signed>(b));
  const auto low = static_cast<T>(product);
  if (high != nullptr) *high = static_cast<T>(product >> (sizeof(T) * 8));
  multiplyFlags<T>(cpu, low, product != static_cast<S>(static_cast<Signed>(low)));
  return low;
}

template <typename T, bool Mem>
struct Imul1 {
  static bool run(Cpu& cpu, const MicroOp& op) {
    T factor, high;
    if (!readRm<T, Mem>(cpu, op, factor)) return false;
    const T low = multiplySigned<T>(cpu, readGpr<T>(cpu, RAX), factor, &high);
    writePair<T>(cpu, low, high);
    return true;
  }
};
template <typename T, bool Mem>
struct Imul2 {
  static bool run(Cpu& cpu, const MicroOp& op) {
    T factor;
    if (!readRm<T, Mem>(cpu, op, factor)) return false;
    writeAt<T>(cpu, op.reg, multiplySigned<T>(cpu, readAt<T>(cpu, op.reg), factor, nullptr));
    return true;
  }
};
template <typename T, bool Mem>
struct Imul3 {
  static bool run(Cpu& cpu, const MicroOp& op) {
    T factor;
    if (!readRm<T, Mem>(cpu, op, factor)) return false;
    writeAt<T>(cpu, op.reg, multiplySigned<T>(cpu, factor, static_cast<T>(op.immediate), nullptr));
    return true;
  }
};

template <typename T, bool Mem>
struct Div {
  static bool run(Cpu& cpu, const MicroOp& op) {
    T divisor;
    if (!readRm<T, Mem>(cpu, op, divisor)) return false;
    const auto dividend = readPair<T>(cpu);
    if (divisor == 0 || static_cast<T>(dividend >> (sizeof(T) * 8)) >= divisor) return raise(cpu, kDe);
    writePair<T>(cpu, static_cast<T>(dividend / divisor), static_cast<T>(dividend % divisor));
    return true;  // all flags are undefined: they stay
  }
};
template <typename T, bool Mem>
struct Idiv {
  static bool run(Cpu& cpu, const MicroOp& op) {
    using U = typename Wide<T>::U;
    using Signed = std::make_signed_t<T>;
    T value;
    if (!readRm<T, Mem>(cpu, op, value)) return false;
    const U pair = readPair<T>(cpu);
    const auto divisor = static_cast<Signed>(value);
    if (divisor == 0) return raise(cpu, kDe);
    // On magnitudes: the most negative dividend has no positive counterpart in its own type.
    const bool negative = (pair >> (sizeof(U) * 8 - 1) & 1) != 0;
    const U dividend = negative ? static_cast<U>(U{0} - pair) : pair;
    const U magnitude = divisor < 0 ? static_cast<U>(T{0} - value) & static_cast<U>(static_cast<T>(~T{0})) : U{value};
    const U quotient = static_cast<U>(dividend / magnitude);
    const U remainder = static_cast<U>(dividend % magnitude);
    const bool negativeQuotient = negative != (divisor < 0);
    const U limit = (U{1} << (sizeof(T) * 8 - 1)) - (negativeQuotient ? 0 : 1);
    if (quotient > limit) return raise(cpu, kDe);
    writePair<T>(cpu, static_cast<T>(negativeQuotient ? U{0} - quotient : quotient),
                 static_cast<T>(negative ? U{0} - remainder : remainder));
    return true;
  }
};

// Bits
// -------------------------------------------------------------------------------------------------------------------

enum class Bit { test, set, reset, complement };

template <Bit Kind, typename T, bool Mem>
bool bitOperation(Cpu& cpu, const MicroOp& op, unsigned bit, uint64_t offset) {
  T value;
  constexpr bool writes = Kind != Bit::test;
  if constexpr (Mem) {
    if (writes && !probeWrite(cpu, op.segment, offset, sizeof(T))) return false;
    if (!load<T>(cpu, op.segment, offset, value)) return false;
  } else {
    value = readAt<T>(cpu, op.rm);
  }
  const T mask = static_cast<T>(T{1} << bit);
  const bool was = (value & mask) != 0;
  if constexpr (writes) {
    const T result = Kind == Bit::set     ? static_cast<T>(value | mask)
                     : Kind == Bit::reset ? static_cast<T>(value & ~mask)
                                          : static_cast<T>(value ^ mask);
    if constexpr (Mem) {
      if (!store<T>(cpu, op.segment, offset, result)) return false;
    } else {
      writeAt<T>(cpu, op.rm, result);
    }
  }
  setFlags(cpu, kCf, was ? kCf : 0);
  return true;
}

template <Bit Kind>
struct Bits {
  /** With a register, the bit may lie far from the operand: a bit string. */
  template <typename T, bool Mem>
  struct ByReg {
    static bool run(Cpu& cpu, const MicroOp& op) {
      using Signed = std::make_signed_t<T>;
      const auto index = static_cast<int64_t>(static_cast<Signed>(readAt<T>(cpu, op.reg)));
      const unsigned bit = static_cast<unsigned>(index) & (sizeof(T) * 8 - 1);
      const int64_t words = index >> (sizeof(T) == 2 ? 4 : sizeof(T) == 4 ? 5 : 6);
      const uint64_t offset =
          (addressOf(cpu, op) + static_cast<uint64_t>(words * static_cast<int64_t>(sizeof(T)))) & op.addressMask;
      return bitOperation<Kind, T, Mem>(cpu, op, bit, offset);
    }
  };
  template <typename T, bool Mem>
  struct ByImm {
    static bool run(Cpu& cpu, const MicroOp& op) {
      return bitOperation<Kind, T, Mem>(cpu, op, static_cast<unsigned>(op.immediate) & (sizeof(T) * 8 - 1),
                                        addressOf(cpu, op));
    }
  };
};

/** A zero source sets ZF and leaves the destination; the other flags, undefined, are those of the source as a result.
 */
template <bool Reverse, typename T, bool Mem>
bool scan(Cpu& cpu, const MicroOp& op) {
  T value;
  if (!readRm<T, Mem>(cpu, op, value)) return false;
  setResultFlags<T>(cpu, value, false, false);
  if (value == 0) return true;
  const auto wide = static_cast<uint64_t>(value);
  writeAt<T>(cpu, op.reg, static_cast<T>(Reverse ? 63 - __builtin_clzll(wide) : __builtin_ctzll(wide)));
  return true;
}
template <typename T, bool Mem>
struct Bsf {
  static bool run(Cpu& cpu, const MicroOp& op) { return scan<false, T, Mem>(cpu, op); }
};
template <typename T, bool Mem>
struct Bsr {
  static bool run(Cpu& cpu, const MicroOp& op) { return scan<true, T, Mem>(cpu, op); }
};

template <typename T, bool Mem>
struct Popcnt {
  static bool run(Cpu& cpu, const MicroOp& op) {
    if (op.repeat != 0xf3) return raise(cpu, kUd);
    T value;
    if (!readRm<T, Mem>(cpu, op, value)) return false;
    const auto count = static_cast<T>(__builtin_popcountll(value));
    writeAt<T>(cpu, op.reg, count);
    setFlags(cpu, kArithmetic, value == 0 ? kZf : 0);
    return true;
  }
};

}  // namespace

#define SHIFTS_OF(NAME, KIND)                                                                \
  const ShiftHandlers k##NAME = {kFamily<Shifts<KIND>::ByOne>, kFamily<Shifts<KIND>::ByImm>, \
                                 kFamily<Shifts<KIND>::ByCl>}
SHIFTS_OF(Rol, Shift::rol);
SHIFTS_OF(Ror, Shift::ror);
SHIFTS_OF(Rcl, Shift::rcl);
SHIFTS_OF(Rcr, Shift::rcr);
SHIFTS_OF(Shl, Shift::shl);
SHIFTS_OF(Shr, Shift::shr);
SHIFTS_OF(Sar, Shift::sar);
#undef SHIFTS_OF

#define BITS_OF(NAME, KIND) const BitHandlers k##NAME = {kFamily<Bits<KIND>::ByReg>, kFamily<Bits<KIND>::ByImm>}
BITS_OF(Bt, Bit::test);
BITS_OF(Bts, Bit::set);
BITS_OF(Btr, Bit::reset);
BITS_OF(Btc, Bit::complement);
#undef BITS_OF

const Handlers kShldImm = kFamily<Doubles<true>::ByImm>, kShldCl = kFamily<Doubles<true>::ByCl>,
               kShrdImm = kFamily<Doubles<false>::ByImm>, kShrdCl = kFamily<Doubles<false>::ByCl>, kMul = kFamily<Mul>,
               kImul1 = kFamily<Imul1>, kImul2 = kFamily<Imul2>, kImul3 = kFamily<Imul3>, kDiv = kFamily<Div>,
               kIdiv = kFamily<Idiv>, kBsf = kFamily<Bsf>, kBsr = kFamily<Bsr>, kPopcnt = kFamily<Popcnt>;

}  // namespace vtkit::emulator
