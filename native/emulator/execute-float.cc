// Arithmetic and comparison of single and double precision numbers, of SSE to AVX (SDM Vol.
// 1, 5.5.1, 5.6.1, 5.7.1, 5.10).
#include "emulator/float-forms.h"
#include "emulator/vector-families.h"

namespace vtkit::emulator {

namespace {

VTKIT_HOST_OP(AddPs, "addps");
VTKIT_HOST_OP(AddPd, "addpd");
VTKIT_HOST_OP(AddSs, "addss");
VTKIT_HOST_OP(AddSd, "addsd");
VTKIT_HOST_OP(SubPs, "subps");
VTKIT_HOST_OP(SubPd, "subpd");
VTKIT_HOST_OP(SubSs, "subss");
VTKIT_HOST_OP(SubSd, "subsd");
VTKIT_HOST_OP(MulPs, "mulps");
VTKIT_HOST_OP(MulPd, "mulpd");
VTKIT_HOST_OP(MulSs, "mulss");
VTKIT_HOST_OP(MulSd, "mulsd");
VTKIT_HOST_OP(DivPs, "divps");
VTKIT_HOST_OP(DivPd, "divpd");
VTKIT_HOST_OP(DivSs, "divss");
VTKIT_HOST_OP(DivSd, "divsd");
VTKIT_HOST_OP(SqrtPs, "sqrtps");
VTKIT_HOST_OP(SqrtPd, "sqrtpd");
VTKIT_HOST_OP(SqrtSs, "sqrtss");
VTKIT_HOST_OP(SqrtSd, "sqrtsd");
VTKIT_HOST_OP(RcpPs, "rcpps");
VTKIT_HOST_OP(RcpSs, "rcpss");
VTKIT_HOST_OP(RsqrtPs, "rsqrtps");
VTKIT_HOST_OP(RsqrtSs, "rsqrtss");

/** Software lanes: `T Lane::of(cpu, a, b, immediate, flags)`. */
template <class Lane, typename T, bool Scalar>
struct SoftOp {
  static uint32_t run(const Cpu& cpu, Chunk<16>& result, const Chunk<16>& a, const Chunk<16>& b, uint8_t immediate) {
    uint32_t flags = 0;
    result = a;
    for (unsigned i = 0; i < (Scalar ? 1 : 16 / sizeof(T)); i++) {
      setLane<T>(result, i, Lane::of(cpu, laneOf<T>(a, i), laneOf<T>(b, i), immediate, flags));
    }
    return flags;
  }
};

/** MIN and MAX: the second operand if a NaN is there, or for two zeros. */
template <typename T, Order Wanted>
struct Extreme {
  static T of(const Cpu& cpu, T a, T b, uint8_t, uint32_t& flags) {
    const bool first = compare(a, b, cpu.mxcsr, true, flags) == Wanted;
    const T value = first ? a : b;
    const bool flushed = (cpu.mxcsr & kMxcsrDaz) != 0 && Format<T>::isDenormal(value);
    return flushed ? value & Format<T>::kSign : value;
  }
};

/** The 32 predicates of CMP (SDM Vol. 2A, table 3-1): for which orders they hold, and whether a quiet NaN is invalid.
 */
constexpr uint8_t kLess = 1 << static_cast<unsigned>(Order::less), kEqual = 1 << static_cast<unsigned>(Order::equal),
                  kGreater = 1 << static_cast<unsigned>(Order::greater),
                  kUnordered = 1 << static_cast<unsigned>(Order::unordered);
struct Predicate {
  uint8_t holds;
  bool signals;
};
constexpr uint8_t kHolds[16] = {
    kEqual,                                  // EQ
    kLess,                                   // LT
    kLess | kEqual,                          // LE
    kUnordered,                              // UNORD
    kLess | kGreater | kUnordered,           // NEQ
    kEqual | kGreater | kUnordered,          // NLT
    kGreater | kUnordered,                   // NLE
    kLess | kEqual | kGreater,               // ORD
    kEqual | kUnordered,                     // EQ, unordered too
    kLess | kUnordered,                      // NGE
    kLess | kEqual | kUnordered,             // NGT
    0,                                       // FALSE
    kLess | kGreater,                        // NEQ, ordered
    kEqual | kGreater,                       // GE
    kGreater,                                // GT
    kLess | kEqual | kGreater | kUnordered,  // TRUE
};
/** LT, LE, NLT, NLE and their kind signal below 16; above it the others do. */
constexpr uint32_t kSignals = 1u << 1 | 1u << 2 | 1u << 5 | 1u << 6 | 1u << 9 | 1u << 10 | 1u << 13 | 1u << 14;

template <typename T>
struct Compare {
  static T of(const Cpu& cpu, T a, T b, uint8_t immediate, uint32_t& flags) {
    const bool signals = ((kSignals >> (immediate & 15) & 1) != 0) != ((immediate & 16) != 0);
    const Order order = compare(a, b, cpu.mxcsr, signals, flags);
    return (kHolds[immediate & 15] >> static_cast<unsigned>(order) & 1) != 0 ? static_cast<T>(~T{0}) : T{0};
  }
};
/** Without VEX there are eight predicates. */
template <typename T, bool Scalar>
struct CompareForm {
  template <Encoding E, bool Mem>
  struct Form {
    static bool run(Cpu& cpu, const MicroOp& op) {
      MicroOp masked = op;
      masked.immediate &= E == kSse128 ? 7 : 31;
      return FloatForm<SoftOp<Compare<T>, T, Scalar>, T, Scalar>::template Form<E, Mem>::run(cpu, masked);
    }
  };
};

/** COMIS and UCOMIS: to ZF, PF and CF. */
template <typename T, bool Signals>
struct CompareFlags {
  template <Encoding E, bool Mem>
  struct Form {
    static bool run(Cpu& cpu, const MicroOp& op) {
      if (!usable<kXmmOf<E>>(cpu)) return false;
      Chunk<16> b, a;
      if (!readVectorRm<kXmmOf<E>, Mem, sizeof(T), false>(cpu, op, b)) return false;
      readVector<kXmmOf<E>>(cpu, op.regIndex, a);
      uint32_t flags = 0;
      const Order order = compare(laneOf<T>(a, 0), laneOf<T>(b, 0), cpu.mxcsr, Signals, flags);
      if (!finishFloat(cpu, flags)) return false;
      static constexpr uint64_t kResult[] = {kCf, kZf, 0, kZf | kPf | kCf};
      setFlags(cpu, kArithmetic, kResult[static_cast<unsigned>(order)]);
      return true;
    }
  };
};

/** Lanes `Mask` of the operands, the others 0: they raise nothing. */
template <typename T>
Chunk<16> only(const Chunk<16>& value, unsigned mask) {
  Chunk<16> result = {};
  for (unsigned i = 0; i < 16 / sizeof(T); i++) {
    if ((mask >> i & 1) != 0) setLane<T>(result, i, laneOf<T>(value, i));
  }
  return result;
}

/** ADDSUB: odd lanes are added, even ones subtracted. */
template <typename T, class Add, class Sub>
struct AddSub {
  static uint32_t run(const Cpu& cpu, Chunk<16>& result, const Chunk<16>& a, const Chunk<16>& b, uint8_t) {
    Chunk<16> sums, differences;
    uint32_t flags = Sum<Add, T>::run(cpu, sums, only<T>(a, 0xa), only<T>(b, 0xa), 0);
    flags |= Sum<Sub, T>::run(cpu, differences, only<T>(a, 0x5), only<T>(b, 0x5), 0);
    for (unsigned i = 0; i < 16 / sizeof(T); i++) setLane<T>(result, i, laneOf<T>(i % 2 != 0 ? sums : differences, i));
    return flags;
  }
};

/** HADD and HSUB: neighbours of the first operand, then of the second. */
template <typename T, class Host>
struct HorizontalFloat {
  static uint32_t run(const Cpu& cpu, Chunk<16>& result, const Chunk<16>& a, const Chunk<16>& b, uint8_t) {
    constexpr unsigned half = 8 / sizeof(T);
    Chunk<16> even, odd;
    for (unsigned i = 0; i < half; i++) {
      setLane<T>(even, i, laneOf<T>(a, 2 * i));
      setLane<T>(odd, i, laneOf<T>(a, 2 * i + 1));
      setLane<T>(even, half + i, laneOf<T>(b, 2 * i));
      setLane<T>(odd, half + i, laneOf<T>(b, 2 * i + 1));
    }
    return Sum<Host, T>::run(cpu, result, even, odd, 0);
  }
};

/** DPPS and DPPD: products that the immediate's upper half selects, summed in pairs, to lanes that the lower selects.
 */
template <typename T, class Mul, class Add>
struct DotProduct {
  template <Encoding E, bool Mem>
  struct Form {
    static bool run(Cpu& cpu, const MicroOp& op) {
      constexpr unsigned N = bytesOf(E), lanes = 16 / sizeof(T), parts = N / 16;
      if (!usable<E>(cpu)) return false;
      Chunk<N> a, b, result = {};
      if (!readVectorRm<E, Mem, N, E == kSse128>(cpu, op, b)) return false;
      readVector<E>(cpu, firstSource<E>(op), a);
      const auto selected = static_cast<unsigned>(op.immediate) >> 4 & 15;
      Chunk<16> first[2] = {}, second[2] = {}, values[2] = {};
      for (unsigned i = 0; i < parts; i++) {
        std::memcpy(values[i].u8, a.u8 + 16 * i, 16);
        first[i] = only<T>(values[i], selected);
        std::memcpy(values[i].u8, b.u8 + 16 * i, 16);
        second[i] = only<T>(values[i], selected);
      }
      // Each step raises its exceptions before the next one begins.
      if (!step<Product<Mul, T>>(cpu, values, first, second, parts)) return false;
      for (unsigned left = lanes; left > 1; left /= 2) {
        for (unsigned i = 0; i < parts; i++) {
          first[i] = second[i] = {};
          for (unsigned k = 0; k < left / 2; k++) {
            setLane<T>(first[i], k, laneOf<T>(values[i], 2 * k));
            setLane<T>(second[i], k, laneOf<T>(values[i], 2 * k + 1));
          }
        }
        if (!step<Sum<Add, T>>(cpu, values, first, second, parts)) return false;
      }
      for (unsigned i = 0; i < N / sizeof(T); i++) {
        if ((op.immediate >> i % lanes & 1) != 0) setLane<T>(result, i, laneOf<T>(values[i / lanes], 0));
      }
      writeVector<E>(cpu, op.regIndex, result);
      return true;
    }
    template <class Operation>
    static bool step(Cpu& cpu, Chunk<16> (&to)[2], const Chunk<16> (&a)[2], const Chunk<16> (&b)[2], unsigned parts) {
      uint32_t flags = 0;
      for (unsigned i = 0; i < parts; i++) flags |= Operation::run(cpu, to[i], a[i], b[i], 0);
      return finishFloat(cpu, flags);
    }
  };
};

/** ROUND: to an integer, as the immediate says or MXCSR (SDM Vol. 2B, ROUNDPD). */
template <typename T>
struct Round {
  static T of(const Cpu& cpu, T, T b, uint8_t immediate, uint32_t& flags) {
    using F = Format<T>;
    if (F::isNan(b)) {
      if (F::isSignaling(b)) flags |= kFloatInvalid;
      return b | F::kQuiet;
    }
    if ((cpu.mxcsr & kMxcsrDaz) != 0 && F::isDenormal(b)) b &= F::kSign;
    const int exponent = F::exponent(b) - F::kBias;
    if (exponent >= static_cast<int>(F::kFraction) || F::magnitude(b) == 0) return b;
    const unsigned mode = (immediate & 4) != 0 ? cpu.mxcsr >> 13 & 3 : immediate & 3;
    const bool negative = (b & F::kSign) != 0;
    // Bits behind the point, of a number below one all of them.
    const T unit = exponent < 0 ? 0 : T{1} << (F::kFraction - static_cast<unsigned>(exponent));
    const T below = exponent < 0 ? F::magnitude(b) : b & (unit - 1);
    if (below == 0) return b;
    if ((immediate & 8) == 0) flags |= kFloatInexact;
    const T whole = exponent < 0 ? b & F::kSign : b & ~(unit - 1);
    bool away;  // from zero
    if (mode == 0) {
      const T half = exponent < 0 ? static_cast<T>(F::kBias - 1) << F::kFraction : unit >> 1;
      const bool odd = exponent >= 0 && (exponent == 0 || (whole & unit) != 0);
      away = below > half || (below == half && odd);
    } else {
      away = mode == 1 ? negative : mode == 2 ? !negative : false;
    }
    if (!away) return whole;
    return exponent < 0 ? whole | static_cast<T>(F::kBias) << F::kFraction : whole + unit;
  }
};

}  // namespace

bool raiseFloat(Cpu& cpu, uint32_t flags) {
  const uint32_t unmasked = flags & ~(cpu.mxcsr >> 7) & kMxcsrFlags;
  // Those of the operands are looked at before anything is computed (SDM Vol. 1, 11.5.2).
  constexpr uint32_t kBefore = kFloatInvalid | kFloatDenormal | kFloatDivide;
  cpu.mxcsr |= (unmasked & kBefore) != 0 ? flags & kBefore : flags;
  return raise(cpu, (cpu.cr4 & kCr4Osxmmexcpt) != 0 ? kXm : kUd);
}

template <class Op, typename T, bool Scalar>
inline constexpr Handlers kFloat = kVectorForms<FloatForm<Op, T, Scalar>::template Form>;
#define ARITHMETIC(NAME, KIND)                                                      \
  const Handlers k##NAME##ps = kFloat<KIND<NAME##Ps, uint32_t>, uint32_t, false>,   \
                 k##NAME##pd = kFloat<KIND<NAME##Pd, uint64_t>, uint64_t, false>,   \
                 k##NAME##ss = kFloat<KIND<NAME##Ss, uint32_t, 1>, uint32_t, true>, \
                 k##NAME##sd = kFloat<KIND<NAME##Sd, uint64_t, 1>, uint64_t, true>
ARITHMETIC(Add, Sum);
ARITHMETIC(Sub, Sum);
ARITHMETIC(Mul, Product);
ARITHMETIC(Div, Product);
#undef ARITHMETIC
const Handlers kSqrtps = kFloat<HostOp<SqrtPs>, uint32_t, false>, kSqrtpd = kFloat<HostOp<SqrtPd>, uint64_t, false>,
               kSqrtss = kFloat<HostOp<SqrtSs, Range::kept, uint32_t, 1>, uint32_t, true>,
               kSqrtsd = kFloat<HostOp<SqrtSd, Range::kept, uint64_t, 1>, uint64_t, true>;

template <class Lane, typename T, bool Scalar>
inline constexpr Handlers kSoft = kVectorForms<FloatForm<SoftOp<Lane, T, Scalar>, T, Scalar>::template Form>;
#define SOFT(NAME, LANE, ...)                                                      \
  const Handlers k##NAME##ps = kSoft<LANE<uint32_t __VA_ARGS__>, uint32_t, false>, \
                 k##NAME##pd = kSoft<LANE<uint64_t __VA_ARGS__>, uint64_t, false>, \
                 k##NAME##ss = kSoft<LANE<uint32_t __VA_ARGS__>, uint32_t, true>,  \
                 k##NAME##sd = kSoft<LANE<uint64_t __VA_ARGS__>, uint64_t, true>
SOFT(Min, Extreme, , Order::less);
SOFT(Max, Extreme, , Order::greater);
SOFT(Round, Round);
#undef SOFT

const Handlers kCmpps = kVectorForms<CompareForm<uint32_t, false>::Form>,
               kCmppd = kVectorForms<CompareForm<uint64_t, false>::Form>,
               kCmpss = kVectorForms<CompareForm<uint32_t, true>::Form>,
               kCmpsd = kVectorForms<CompareForm<uint64_t, true>::Form>,
               kComiss = kVectorForms<CompareFlags<uint32_t, true>::Form>,
               kComisd = kVectorForms<CompareFlags<uint64_t, true>::Form>,
               kUcomiss = kVectorForms<CompareFlags<uint32_t, false>::Form>,
               kUcomisd = kVectorForms<CompareFlags<uint64_t, false>::Form>,
               kAddsubps = kFloat<AddSub<uint32_t, AddPs, SubPs>, uint32_t, false>,
               kAddsubpd = kFloat<AddSub<uint64_t, AddPd, SubPd>, uint64_t, false>,
               kHaddps = kFloat<HorizontalFloat<uint32_t, AddPs>, uint32_t, false>,
               kHaddpd = kFloat<HorizontalFloat<uint64_t, AddPd>, uint64_t, false>,
               kHsubps = kFloat<HorizontalFloat<uint32_t, SubPs>, uint32_t, false>,
               kHsubpd = kFloat<HorizontalFloat<uint64_t, SubPd>, uint64_t, false>,
               kDpps = kVectorForms<DotProduct<uint32_t, MulPs, AddPs>::Form>,
               kDppd = kVectorForms<DotProduct<uint64_t, MulPd, AddPd>::Form>,
               kRcpps = kFloat<HostOp<RcpPs>, uint32_t, false>, kRsqrtps = kFloat<HostOp<RsqrtPs>, uint32_t, false>,
               kRcpss = kFloat<HostOp<RcpSs>, uint32_t, true>, kRsqrtss = kFloat<HostOp<RsqrtSs>, uint32_t, true>;

}  // namespace vtkit::emulator
