// Fused multiplication and addition, and rounding to a format, in integers: what not every host has.
#pragma once

#include "emulator/float-lanes.h"

namespace vtkit::emulator {

using Wide128 = unsigned __int128;

/** Shifts right, and keeps in the last bit whether anything was lost. */
inline Wide128 shiftSticky(Wide128 value, unsigned count) {
  if (count == 0) return value;
  if (count > 127) return value != 0 ? 1 : 0;
  const Wide128 lost = value & ((Wide128{1} << count) - 1);
  return value >> count | (lost != 0 ? 1 : 0);
}

/** How numbers are rounded and small ones treated. */
struct Rounding {
  unsigned mode;  // as MXCSR.RC: to nearest even, down, up, to zero
  bool flush;     // tiny results become 0
  bool tiny;      // underflow is not masked: every tiny result raises it
  bool great;     // overflow is not masked
};

inline Rounding roundingOf(uint32_t mxcsr, unsigned mode, bool flush) {
  const uint32_t unmasked = ~(mxcsr >> 7);
  return {mode, flush, (unmasked & kFloatUnderflow) != 0, (unmasked & kFloatOverflow) != 0};
}

/**
 * significand * 2^(exponent - 126), with bit 126 the highest that may be set, rounded to a format.
 *
 * Tininess is detected after rounding, as on every x86.
 */
template <typename T>
T roundTo(bool negative, int exponent, Wide128 significand, const Rounding& rounding, uint32_t& flags) {
  using F = Format<T>;
  const auto sign = negative ? F::kSign : T{0};
  if (significand == 0) return sign;
  while ((significand >> 126 & 1) == 0) {
    significand <<= 1;
    exponent--;
  }
  constexpr unsigned kBelow = 126 - F::kFraction;  // bits that do not fit
  const auto rounded = [&](Wide128 value, bool& inexact) {
    const Wide128 rest = value & ((Wide128{1} << kBelow) - 1), half = Wide128{1} << (kBelow - 1);
    Wide128 result = value >> kBelow;
    inexact = rest != 0;
    const bool up = rounding.mode == 0   ? rest > half || (rest == half && (result & 1) != 0)
                    : rounding.mode == 1 ? negative && inexact
                    : rounding.mode == 2 ? !negative && inexact
                                         : false;
    return result + (up ? 1 : 0);
  };
  bool inexact = false;
  int biased = exponent + F::kBias;
  if (biased <= 0) {
    bool ignored = false;
    const bool reaches = biased == 0 && (rounded(significand, ignored) >> (F::kFraction + 1)) != 0;
    const Wide128 value = rounded(shiftSticky(significand, static_cast<unsigned>(1 - biased)), inexact);
    const bool isTiny = !reaches;
    if (isTiny && rounding.tiny) {  // a handler gets the exponent unbounded: only a loss of precision is inexact
      rounded(significand, ignored);
      flags |= kFloatUnderflow | (ignored ? uint32_t{kFloatInexact} : 0);
      return static_cast<T>(sign | static_cast<T>(value));
    }
    if (isTiny && rounding.flush) {
      flags |= kFloatUnderflow | kFloatInexact;
      return sign;
    }
    if (isTiny && inexact) flags |= kFloatUnderflow;
    if (inexact) flags |= kFloatInexact;
    return static_cast<T>(sign | static_cast<T>(value));  // a carry makes it the smallest normal number
  }
  const Wide128 value = rounded(significand, inexact);
  if ((value >> (F::kFraction + 1)) != 0) biased++;
  if (biased >= static_cast<int>(F::kInfinity >> F::kFraction)) {
    flags |= kFloatOverflow | (inexact || !rounding.great ? uint32_t{kFloatInexact} : 0);
    const bool toInfinity = rounding.mode == 0 || (rounding.mode == 1 && negative) || (rounding.mode == 2 && !negative);
    return static_cast<T>(sign | (toInfinity ? F::kInfinity : F::kInfinity - 1));
  }
  if (inexact) flags |= kFloatInexact;
  const auto fraction = static_cast<T>((value >> (F::kFraction + 1)) != 0 ? value >> 1 : value) & F::kFractionMask;
  return static_cast<T>(sign | static_cast<T>(static_cast<T>(biased) << F::kFraction) | fraction);
}

/** A finite number that is not zero, with its highest bit as bit `F::kFraction`. */
template <typename T>
struct Unpacked {
  bool negative;
  int exponent;
  uint64_t significand;
};
template <typename T>
Unpacked<T> unpack(T value) {
  using F = Format<T>;
  Unpacked<T> result;
  result.negative = (value & F::kSign) != 0;
  result.exponent = F::exponent(value) - F::kBias;
  result.significand = uint64_t{value} & F::kFractionMask;
  if (F::exponent(value) != 0) {
    result.significand |= uint64_t{1} << F::kFraction;
    return result;
  }
  result.exponent = 1 - F::kBias;
  while ((result.significand >> F::kFraction) == 0) {
    result.significand <<= 1;
    result.exponent--;
  }
  return result;
}

/** a * b + c, rounded once. `c` and the product may be negated beforehand, NaNs not. */
template <typename T>
T multiplyAdd(T a, T b, T c, bool negateProduct, bool negateAddend, uint32_t mxcsr, uint32_t& flags) {
  using F = Format<T>;
  const bool product = (F::magnitude(a) == F::kInfinity && F::magnitude(b) == 0) ||
                       (F::magnitude(b) == F::kInfinity && F::magnitude(a) == 0);
  if ((mxcsr & kMxcsrDaz) != 0) {
    if (F::isDenormal(a)) a &= F::kSign;
    if (F::isDenormal(b)) b &= F::kSign;
    if (F::isDenormal(c)) c &= F::kSign;
  }
  if (F::isNan(a) || F::isNan(b) || F::isNan(c)) {
    if (F::isSignaling(a) || F::isSignaling(b) || F::isSignaling(c)) flags |= kFloatInvalid;
    return (F::isNan(a) ? a : F::isNan(b) ? b : c) | F::kQuiet;
  }
  const bool infiniteA = F::magnitude(a) == F::kInfinity, infiniteB = F::magnitude(b) == F::kInfinity;
  const bool zero = F::magnitude(a) == 0 || F::magnitude(b) == 0;
  if (product || ((infiniteA || infiniteB) && zero)) {
    flags |= kFloatInvalid;
    return F::kDefaultNan;
  }
  const bool negative = (((a ^ b) & F::kSign) != 0) != negateProduct;
  const bool negativeC = ((c & F::kSign) != 0) != negateAddend;
  if (F::magnitude(c) == F::kInfinity || infiniteA || infiniteB) {
    const bool infiniteC = F::magnitude(c) == F::kInfinity;
    if (infiniteC && (infiniteA || infiniteB) && negative != negativeC) {
      flags |= kFloatInvalid;
      return F::kDefaultNan;
    }
    if (F::isDenormal(a) || F::isDenormal(b) || F::isDenormal(c)) flags |= kFloatDenormal;
    return static_cast<T>((infiniteC ? negativeC : negative) ? F::kSign | F::kInfinity : F::kInfinity);
  }
  if (F::isDenormal(a) || F::isDenormal(b) || F::isDenormal(c)) flags |= kFloatDenormal;
  const Rounding rounding =
      roundingOf(mxcsr, mxcsr >> 13 & 3, (mxcsr & kMxcsrFtz) != 0 && (mxcsr >> 7 & kFloatUnderflow) != 0);
  const bool zeroC = F::magnitude(c) == 0;
  // A sum that is exactly 0 has both signs' sign, or that of the rounding mode.
  const bool zeroSign = negative == negativeC ? negative : rounding.mode == 1;
  if (zero && zeroC) return zeroSign ? F::kSign : T{0};

  Wide128 x = 0, y = 0;
  int exponentX = 0, exponentY = 0;
  if (!zero) {
    const Unpacked<T> ua = unpack(a), ub = unpack(b);
    x = static_cast<Wide128>(ua.significand) * ub.significand << (125 - 2 * F::kFraction);
    exponentX = ua.exponent + ub.exponent + 1;  // the product's highest bit is 125 or 126
  }
  if (!zeroC) {
    const Unpacked<T> uc = unpack(c);
    y = static_cast<Wide128>(uc.significand) << (125 - F::kFraction);
    exponentY = uc.exponent + 1;
  }
  int exponent = zero ? exponentY : exponentX;
  if (!zero && !zeroC) {
    if (exponentX >= exponentY) {
      y = shiftSticky(y, static_cast<unsigned>(exponentX - exponentY));
    } else {
      x = shiftSticky(x, static_cast<unsigned>(exponentY - exponentX));
      exponent = exponentY;
    }
  }
  // Both are below 2^127: their sum fits, one place above where roundTo() looks.
  bool sign = zero ? negativeC : negative;
  Wide128 sum;
  if (negative == negativeC || zero || zeroC) {
    sum = x + y;
  } else if (x == y) {
    return zeroSign ? F::kSign : T{0};
  } else {
    sum = x > y ? x - y : y - x;
    if (y > x) sign = negativeC;
  }
  return roundTo<T>(sign, exponent + 1, shiftSticky(sum, 1), rounding, flags);
}

}  // namespace vtkit::emulator
