// The shapes of floating-point vector instructions.
#pragma once

#include "emulator/float-lanes.h"
#include "emulator/host-float.h"
#include "emulator/vector.h"

namespace vtkit::emulator {

/** Whether an operation is one instruction of the host from one lane of T to another. */
template <class Op, typename T, class = void>
struct IsLane : std::false_type {};
template <class Op, typename T>
struct IsLane<Op, T, std::void_t<typename Op::Instruction>>
    : std::bool_constant<Op::kLanes == 1 && std::is_same_v<typename Op::Lane, T>> {};

/**
 * An operation of two vectors: `uint32_t Op::run(cpu, result, a, b, immediate)` on 128 bits gives the flags raised.
 * Scalar ones take `sizeof(T)` bytes of memory, change the first lane, and keep the rest of the first source.
 */
template <class Op, typename T, bool Scalar>
struct FloatForm {
  template <Encoding E, bool Mem>
  struct Form {
    static bool run(Cpu& cpu, const MicroOp& op) {
      constexpr Encoding To = Scalar || E == kMmx64 ? kXmmOf<E> : E;
      constexpr unsigned N = bytesOf(To);
      if (!usable<To>(cpu)) return false;
      if constexpr (Scalar && To == kSse128 && IsLane<Op, T>::value) {
        if (plainFloat(cpu)) return firstLane<Mem>(cpu, op);
      }
      Chunk<N> a, b, result;
      if (!readVectorRm < To, Mem, Scalar ? sizeof(T) : N, !Scalar && E == kSse128 > (cpu, op, b)) return false;
      readVector<To>(cpu, firstSource<To>(op), a);
      const auto immediate = static_cast<uint8_t>(op.immediate);
      uint32_t flags = 0;
      if constexpr (N == 16) {
        flags = Op::run(cpu, result, a, b, immediate);
      } else {
        for (unsigned i = 0; i < 2; i++) {
          Chunk<16> x, y, r;
          std::memcpy(x.u8, a.u8 + 16 * i, 16);
          std::memcpy(y.u8, b.u8 + 16 * i, 16);
          flags |= Op::run(cpu, r, x, y, immediate);
          std::memcpy(result.u8 + 16 * i, r.u8, 16);
        }
      }
      if (!finishFloat(cpu, flags)) return false;
      writeVector<To>(cpu, op.regIndex, result);
      return true;
    }
  };

  /** The usual case: nothing but the first lane is touched, and no exception can come of it. */
  template <bool Mem>
  VTKIT_HOT static bool firstLane(Cpu& cpu, const MicroOp& op) {
    T a, b;
    if constexpr (Mem) {
      if (!load<T>(cpu, op.segment, addressOf(cpu, op), b)) return false;
    } else {
      std::memcpy(&b, cpu.vectors[op.rmIndex].u8, sizeof(T));
    }
    std::memcpy(&a, cpu.vectors[op.regIndex].u8, sizeof(T));
    Xmm x = {a}, y = {b};
    Op::Instruction::on(x, y);
    a = static_cast<T>(x[0]);
    std::memcpy(cpu.vectors[op.regIndex].u8, &a, sizeof(T));
    return true;
  }
};

/** A host instruction `a = op(a, b)`, or `a = op(b)`. */
#ifdef VTKIT_HOST_FLOAT
#define VTKIT_HOST_OP(NAME, INSTRUCTION)                                                             \
  struct NAME {                                                                                      \
    static void on(Xmm& a, const Xmm& b) { asm volatile(INSTRUCTION " %1, %0" : "+x"(a) : "x"(b)); } \
  }
#else
#define VTKIT_HOST_OP(NAME, INSTRUCTION) \
  struct NAME {                          \
    static void on(Xmm&, const Xmm&) {}  \
  }
#endif

inline Xmm xmmOf(const Chunk<16>& chunk) {
  Xmm value;
  std::memcpy(&value, chunk.u8, 16);
  return value;
}

template <class Host>
VTKIT_HOT inline uint32_t flagsOf(const Cpu& cpu, Chunk<16>& result, const Chunk<16>& a, const Chunk<16>& b) {
  Xmm x = xmmOf(a);
  const Xmm y = xmmOf(b);
  const uint32_t flags = onHost(cpu, [&] { Host::on(x, y); });
  std::memcpy(result.u8, &x, 16);
  return flags;
}

/** The number with an exponent of 0: what a product or quotient loses in precision does not depend on exponents. */
template <typename T>
T withoutExponent(T value) {
  using F = Format<T>;
  if (F::magnitude(value) == 0) return value;
  while (F::exponent(value) == 0) value = static_cast<T>((value & F::kSign) | F::magnitude(value) << 1);
  return static_cast<T>((value & (F::kSign | F::kFractionMask)) | static_cast<T>(F::kBias) << F::kFraction);
}

/** A quarter of a great number; of a small one, some small number. */
template <typename T>
T quartered(T value) {
  using F = Format<T>;
  return F::exponent(value) > 2 ? static_cast<T>(value - (T{2} << F::kFraction)) : value;
}

/**
 * The flags of an operation whose overflow or underflow is not masked (SDM Vol. 1, 4.9.1.4 and 4.9.1.5): every tiny
 * result raises underflow, and is inexact, as one too great, only if it would be with an exponent without bounds. Lane
 * by lane, each in all places.
 */
template <class Host, bool IsSum, typename From, typename To>
uint32_t flagsUnbounded(const Cpu& cpu, const Chunk<16>& a, const Chunk<16>& b, unsigned lanes) {
  const uint32_t unmasked = ~(cpu.mxcsr >> 7);
  const auto everywhere = [](From value) {
    Chunk<16> result;
    for (unsigned k = 0; k < 16 / sizeof(From); k++) setLane<From>(result, k, value);
    return result;
  };
  uint32_t all = 0;
  for (unsigned i = 0; i < lanes; i++) {
    const From first = laneOf<From>(a, i), second = laneOf<From>(b, i);
    Chunk<16> result;
    uint32_t flags = flagsOf<Host>(cpu, result, everywhere(first), everywhere(second));
    const bool small = (flags & kFloatUnderflow) != 0 || Format<To>::isDenormal(laneOf<To>(result, 0));
    const bool tiny = (unmasked & kFloatUnderflow) != 0 && small;
    const bool great = (unmasked & flags & kFloatOverflow) != 0;
    if (tiny || great) {
      const auto scaled = [&](From value) { return everywhere(IsSum ? quartered(value) : withoutExponent(value)); };
      const uint32_t again = flagsOf<Host>(cpu, result, scaled(first), scaled(second));
      const bool exact = (IsSum && tiny) || (again & kFloatInexact) == 0;  // a tiny sum is
      flags = (flags & ~kFloatInexact) | (tiny ? uint32_t{kFloatUnderflow} : 0) | (exact ? 0 : uint32_t{kFloatInexact});
    }
    all |= flags;
  }
  return all;
}

/** Whether a lane is tiny. */
template <typename T>
bool anyTiny(const Chunk<16>& value, unsigned lanes) {
  for (unsigned i = 0; i < lanes; i++) {
    if (Format<T>::isDenormal(laneOf<T>(value, i))) return true;
  }
  return false;
}

/** Whether results may leave the range of their format, and how. */
enum class Range { kept, sum, product };

/** An operation of the host on lanes of `From`, of which `Count` matter, to lanes of `To`. */
template <class Host, Range Kind = Range::kept, typename From = uint32_t, unsigned Count = 0, typename To = From>
struct HostOp {
  using Instruction = Host;
  using Lane = std::conditional_t<std::is_same_v<From, To>, From, void>;
  static constexpr unsigned kLanes = Count;
  VTKIT_HOT static uint32_t run(const Cpu& cpu, Chunk<16>& result, const Chunk<16>& a, const Chunk<16>& b, uint8_t) {
    const uint32_t flags = flagsOf<Host>(cpu, result, a, b);
    if constexpr (Kind != Range::kept) {
      if (__builtin_expect(watchesRange(cpu), false) &&
          ((flags & (kFloatOverflow | kFloatUnderflow)) != 0 || anyTiny<To>(result, Count))) {
        return flagsUnbounded<Host, Kind == Range::sum, From, To>(cpu, a, b, Count);
      }
    }
    return flags;
  }
};
template <class Host, typename T, unsigned Count = 16 / sizeof(T)>
using Sum = HostOp<Host, Range::sum, T, Count>;
template <class Host, typename T, unsigned Count = 16 / sizeof(T)>
using Product = HostOp<Host, Range::product, T, Count>;

}  // namespace vtkit::emulator
