// Fused multiply-add and half precision: FMA and F16C (SDM Vol. 1, 14.4 and 14.5).
#include "emulator/float-forms.h"
#include "emulator/soft-float.h"
#include "emulator/vector-families.h"

namespace vtkit::emulator {

namespace {

/** Which of the three operands are multiplied: the digits of the mnemonic. */
enum class Digits { of132, of213, of231 };
/** Whether product and addend are negated; ADDSUB and SUBADD do it by the lane. */
enum class Sign { add, subtract, negateAdd, negateSubtract, addsub, subadd };

template <Digits D, Sign S, typename T, bool Scalar>
struct Fma {
  template <Encoding E, bool Mem>
  struct Form {
    static bool run(Cpu& cpu, const MicroOp& op) {
      constexpr Encoding To = Scalar || E == kMmx64 ? kXmmOf<E> : E;
      constexpr unsigned N = bytesOf(To);
      if (!usable<To>(cpu)) return false;
      Chunk<N> first, second, third;
      if (!readVectorRm < To, Mem, Scalar ? sizeof(T) : N, false > (cpu, op, third)) return false;
      readVector<To>(cpu, op.regIndex, first);
      readVector<To>(cpu, op.vvvv, second);
      uint32_t flags = 0;
      for (unsigned i = 0; i < (Scalar ? 1 : N / sizeof(T)); i++) {
        const T x = laneOf<T>(first, i), y = laneOf<T>(second, i), z = laneOf<T>(third, i);
        const bool odd = i % 2 != 0;
        const bool negateProduct = S == Sign::negateAdd || S == Sign::negateSubtract;
        const bool negateAddend = S == Sign::subtract || S == Sign::negateSubtract || (S == Sign::addsub && !odd) ||
                                  (S == Sign::subadd && odd);
        const T a = D == Digits::of132 ? x : y, b = D == Digits::of213 ? x : z;
        const T c = D == Digits::of132 ? y : D == Digits::of213 ? z : x;
        setLane<T>(first, i, multiplyAdd<T>(a, b, c, negateProduct, negateAddend, cpu.mxcsr, flags));
      }
      if (!finishFloat(cpu, flags)) return false;
      writeVector<To>(cpu, op.regIndex, first);
      return true;
    }
  };
};

template <typename T, bool Scalar, Digits D, Sign S>
inline constexpr Handlers kFma = kVectorForms<Fma<D, S, T, Scalar>::template Form>;

/** VCVTPH2PS: exact; only a signaling NaN raises something, and DAZ does not count. */
uint32_t singleOf(uint16_t half, uint32_t& flags) {
  using H = Format<uint16_t>;
  using F = Format<uint32_t>;
  const uint32_t sign = (half & H::kSign) != 0 ? F::kSign : 0;
  if (H::isNan(half)) {
    if (H::isSignaling(half)) flags |= kFloatInvalid;
    return sign | F::kInfinity | F::kQuiet | static_cast<uint32_t>(half & H::kFractionMask) << 13;
  }
  if (H::magnitude(half) == H::kInfinity) return sign | F::kInfinity;
  if (H::magnitude(half) == 0) return sign;
  const Unpacked<uint16_t> number = unpack(half);
  return sign | static_cast<uint32_t>(number.exponent + F::kBias) << 23 |
         (static_cast<uint32_t>(number.significand) & H::kFractionMask) << 13;
}
uint16_t halfOf(uint32_t single, uint32_t mxcsr, uint8_t immediate, uint32_t& flags) {
  using H = Format<uint16_t>;
  using F = Format<uint32_t>;
  const auto sign = static_cast<uint16_t>((single & F::kSign) != 0 ? H::kSign : 0);
  if (F::isNan(single)) {
    if (F::isSignaling(single)) flags |= kFloatInvalid;
    return static_cast<uint16_t>(sign | H::kInfinity | H::kQuiet | (single >> 13 & H::kFractionMask));
  }
  if (F::magnitude(single) == F::kInfinity) return static_cast<uint16_t>(sign | H::kInfinity);
  if (F::isDenormal(single)) {
    if ((mxcsr & kMxcsrDaz) != 0) return sign;
    flags |= kFloatDenormal;
  }
  if (F::magnitude(single) == 0) return sign;
  const Unpacked<uint32_t> number = unpack(single);
  const Rounding rounding = roundingOf(mxcsr, (immediate & 4) != 0 ? mxcsr >> 13 & 3 : immediate & 3u, false);
  return roundTo<uint16_t>(number.negative, number.exponent, static_cast<Wide128>(number.significand) << (126 - 23),
                           rounding, flags);
}

template <Encoding E, bool Mem>
struct HalfToSingle {
  static bool run(Cpu& cpu, const MicroOp& op) {
    constexpr Encoding To = E == kMmx64 ? kSse128 : E;
    constexpr unsigned N = bytesOf(To);
    if (!usable<To>(cpu)) return false;
    Chunk<16> source;
    Chunk<N> result;
    if (!readVectorRm<To, Mem, N / 2, false>(cpu, op, source)) return false;
    uint32_t flags = 0;
    for (unsigned i = 0; i < N / 4; i++) setLane<uint32_t>(result, i, singleOf(source.u16[i], flags));
    if (!finishFloat(cpu, flags)) return false;
    writeVector<To>(cpu, op.regIndex, result);
    return true;
  }
};
template <Encoding E, bool Mem>
struct SingleToHalf {
  static bool run(Cpu& cpu, const MicroOp& op) {
    constexpr Encoding From = E == kMmx64 ? kSse128 : E;
    constexpr unsigned N = bytesOf(From);
    if (!usable<From>(cpu)) return false;
    Chunk<N> source;
    Chunk<16> result = {};
    readVector<From>(cpu, op.regIndex, source);
    uint32_t flags = 0;
    for (unsigned i = 0; i < N / 4; i++) {
      result.u16[i] = halfOf(source.u32[i], cpu.mxcsr, static_cast<uint8_t>(op.immediate), flags);
    }
    if (Mem && !probeWrite(cpu, op.segment, addressOf(cpu, op), N / 2)) return false;
    if (!finishFloat(cpu, flags)) return false;
    if constexpr (!Mem) {
      writeVector<kXmmOf<From>>(cpu, op.rmIndex, result);
      return true;
    } else if constexpr (N == 32) {
      return storeVector(cpu, op.segment, addressOf(cpu, op), result);
    } else {
      return store(cpu, op.segment, addressOf(cpu, op), result.u64[0]);
    }
  }
};

}  // namespace

#define ORDER(DIGITS, SIGN)                                                                                       \
  {                                                                                                               \
    kFma<uint32_t, false, DIGITS, SIGN>, kFma<uint64_t, false, DIGITS, SIGN>, kFma<uint32_t, true, DIGITS, SIGN>, \
        kFma<uint64_t, true, DIGITS, SIGN>                                                                        \
  }
#define FMA(NAME, SIGN) \
  const FmaHandlers NAME = {ORDER(Digits::of132, SIGN), ORDER(Digits::of213, SIGN), ORDER(Digits::of231, SIGN)}
FMA(kFmadd, Sign::add);
FMA(kFmsub, Sign::subtract);
FMA(kFnmadd, Sign::negateAdd);
FMA(kFnmsub, Sign::negateSubtract);
FMA(kFmaddsub, Sign::addsub);
FMA(kFmsubadd, Sign::subadd);
#undef FMA
#undef ORDER
const Handlers kVcvtph2ps = kVectorForms<HalfToSingle>, kVcvtps2ph = kVectorForms<SingleToHalf>;

}  // namespace vtkit::emulator
