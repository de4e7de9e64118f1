// Single and double precision numbers as bits: their classes, and how they compare (SDM Vol. 1, 4.8).
#pragma once

#include "emulator/extended-state.h"

namespace vtkit::emulator {

/** `T` is uint32_t for single, uint64_t for double and uint16_t for half precision. */
template <typename T>
struct Format {
  static constexpr unsigned kFraction = sizeof(T) == 2 ? 10 : sizeof(T) == 4 ? 23 : 52;
  static constexpr T kSign = static_cast<T>(T{1} << (sizeof(T) * 8 - 1));
  static constexpr T kQuiet = static_cast<T>(T{1} << (kFraction - 1));
  static constexpr T kFractionMask = static_cast<T>((T{1} << kFraction) - 1);
  static constexpr T kInfinity = static_cast<T>(~kSign & ~kFractionMask);
  static constexpr T kDefaultNan = static_cast<T>(kSign | kInfinity | kQuiet);
  static constexpr int kBias = sizeof(T) == 2 ? 15 : sizeof(T) == 4 ? 127 : 1023;

  static constexpr T magnitude(T value) { return static_cast<T>(value & ~kSign); }
  static constexpr bool isNan(T value) { return magnitude(value) > kInfinity; }
  static constexpr bool isSignaling(T value) { return isNan(value) && (value & kQuiet) == 0; }
  static constexpr bool isDenormal(T value) { return magnitude(value) != 0 && magnitude(value) <= kFractionMask; }
  static constexpr int exponent(T value) { return static_cast<int>(magnitude(value) >> kFraction); }
};

enum class Order : uint8_t { less, equal, greater, unordered };

/** What two numbers are to each other; `flags` gets #D, and #I for a signaling NaN or, if asked, for any. */
template <typename T>
Order compare(T a, T b, uint32_t mxcsr, bool signals, uint32_t& flags) {
  using F = Format<T>;
  if (F::isNan(a) || F::isNan(b)) {
    if (signals || F::isSignaling(a) || F::isSignaling(b)) flags |= kFloatInvalid;
    return Order::unordered;
  }
  if ((mxcsr & kMxcsrDaz) != 0) {
    if (F::isDenormal(a)) a &= F::kSign;
    if (F::isDenormal(b)) b &= F::kSign;
  } else if (F::isDenormal(a) || F::isDenormal(b)) {
    flags |= kFloatDenormal;
  }
  if (F::magnitude(a) == 0 && F::magnitude(b) == 0) return Order::equal;
  if (a == b) return Order::equal;
  const bool negativeA = (a & F::kSign) != 0, negativeB = (b & F::kSign) != 0;
  if (negativeA != negativeB) return negativeA ? Order::less : Order::greater;
  return (a < b) != negativeA ? Order::less : Order::greater;
}

}  // namespace vtkit::emulator
