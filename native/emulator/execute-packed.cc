// Packed integer arithmetic, logic, comparison and shifts, of MMX to AVX2 (SDM Vol. 1, 5.4, 5.6.3, 5.10 to 5.12, 14.6).
#include "emulator/vector-families.h"
#include "emulator/vector.h"

namespace vtkit::emulator {

namespace {

using std::is_signed_v;

template <typename T>
T add(T a, T b) {
  return static_cast<T>(a + b);
}
template <typename T>
T subtract(T a, T b) {
  return static_cast<T>(a - b);
}
template <typename T>
T addSaturated(T a, T b) {
  return saturate<T>(int32_t{a} + int32_t{b});
}
template <typename T>
T subtractSaturated(T a, T b) {
  return saturate<T>(int32_t{a} - int32_t{b});
}
template <typename T>
T average(T a, T b) {
  return static_cast<T>((a + b + 1) >> 1);
}
template <typename T>
T minimum(T a, T b) {
  return a < b ? a : b;
}
template <typename T>
T maximum(T a, T b) {
  return a > b ? a : b;
}
template <typename T>
T equal(T a, T b) {
  return static_cast<T>(a == b ? -1 : 0);
}
template <typename T>
T greater(T a, T b) {
  return static_cast<T>(a > b ? -1 : 0);
}
uint64_t bitAnd(uint64_t a, uint64_t b) { return a & b; }
uint64_t bitAndNot(uint64_t a, uint64_t b) { return ~a & b; }
uint64_t bitOr(uint64_t a, uint64_t b) { return a | b; }
uint64_t bitXor(uint64_t a, uint64_t b) { return a ^ b; }

int16_t multiplyHigh(int16_t a, int16_t b) { return static_cast<int16_t>(a * b >> 16); }
uint16_t multiplyHighUnsigned(uint16_t a, uint16_t b) { return static_cast<uint16_t>(uint32_t{a} * b >> 16); }
uint16_t multiplyLow(uint16_t a, uint16_t b) { return static_cast<uint16_t>(uint32_t{a} * b); }
uint32_t multiplyLow32(uint32_t a, uint32_t b) { return a * b; }
int16_t multiplyRounded(int16_t a, int16_t b) { return static_cast<int16_t>(((a * b >> 14) + 1) >> 1); }
uint64_t multiplyEven(uint64_t a, uint64_t b) { return (a & 0xffffffff) * (b & 0xffffffff); }
uint64_t multiplyEvenSigned(uint64_t a, uint64_t b) {
  return static_cast<uint64_t>(int64_t{static_cast<int32_t>(a)} * static_cast<int32_t>(b));
}
template <typename T>
T absolute(T, T b) {
  return static_cast<T>(b < 0 ? 0 - static_cast<std::make_unsigned_t<T>>(b) : b);
}
template <typename T>
T sign(T a, T b) {
  return static_cast<T>(b < 0 ? 0 - static_cast<std::make_unsigned_t<T>>(a) : b == 0 ? 0 : a);
}

/** PMADDWD. */
struct MultiplyAdd {
  template <unsigned N>
  static void run(Chunk<N>& r, const Chunk<N>& a, const Chunk<N>& b, uint8_t) {
    for (unsigned i = 0; i < N / 4; i++) {
      const int32_t low = a.s16[2 * i] * b.s16[2 * i], high = a.s16[2 * i + 1] * b.s16[2 * i + 1];
      r.u32[i] = static_cast<uint32_t>(low) + static_cast<uint32_t>(high);  // 8000 * 8000 twice wraps
    }
  }
};
/** PMADDUBSW. */
struct MultiplyAddBytes {
  template <unsigned N>
  static void run(Chunk<N>& r, const Chunk<N>& a, const Chunk<N>& b, uint8_t) {
    for (unsigned i = 0; i < N / 2; i++) {
      r.s16[i] = saturate<int16_t>(a.u8[2 * i] * b.s8[2 * i] + a.u8[2 * i + 1] * b.s8[2 * i + 1]);
    }
  }
};
struct SumOfDifferences {
  template <unsigned N>
  static void run(Chunk<N>& r, const Chunk<N>& a, const Chunk<N>& b, uint8_t) {
    for (unsigned i = 0; i < N / 8; i++) {
      unsigned sum = 0;
      for (unsigned k = 8 * i; k < 8 * i + 8; k++) sum += a.u8[k] > b.u8[k] ? a.u8[k] - b.u8[k] : b.u8[k] - a.u8[k];
      r.u64[i] = sum;
    }
  }
};

/** PHADD and PHSUB: neighbours of the first operand, then of the second. */
template <typename T, T (*Of)(T, T)>
struct Horizontal {
  template <unsigned N>
  static void run(Chunk<N>& r, const Chunk<N>& a, const Chunk<N>& b, uint8_t) {
    constexpr unsigned half = N / sizeof(T) / 2;
    for (unsigned i = 0; i < half; i++) {
      setLane<T>(r, i, Of(laneOf<T>(a, 2 * i), laneOf<T>(a, 2 * i + 1)));
      setLane<T>(r, half + i, Of(laneOf<T>(b, 2 * i), laneOf<T>(b, 2 * i + 1)));
    }
  }
};

struct MinimumPosition {
  template <unsigned N>
  static void run(Chunk<N>& r, const Chunk<N>&, const Chunk<N>& b, uint8_t) {
    unsigned least = 0;
    for (unsigned i = 1; i < N / 2; i++) {
      if (b.u16[i] < b.u16[least]) least = i;
    }
    r = {};
    r.u16[0] = b.u16[least];
    r.u16[1] = static_cast<uint16_t>(least);
  }
};

// Shifts --------------------------------------------------------------------------------------------------------------

/** A count of the lane's size or more gives 0, or the sign everywhere. */
template <typename T>
T left(T value, uint64_t count) {
  return count >= sizeof(T) * 8 ? T{0} : static_cast<T>(value << count);
}
template <typename T>
T right(T value, uint64_t count) {
  constexpr unsigned bits = sizeof(T) * 8;
  constexpr bool keepsSign = is_signed_v<T>;
  if (count < bits) return static_cast<T>(value >> count);
  return keepsSign ? static_cast<T>(value >> (bits - 1)) : T{0};
}

template <typename T, T (*Of)(T, uint64_t), unsigned N>
void shiftAll(Chunk<N>& result, const Chunk<N>& a, uint64_t count) {
  for (unsigned i = 0; i < N / sizeof(T); i++) setLane<T>(result, i, Of(laneOf<T>(a, i), count));
}

/** By the low 64 bits of an MMX or XMM register or as much memory, whatever the length. */
template <typename T, T (*Of)(T, uint64_t)>
struct ShiftByRm {
  template <Encoding E, bool Mem>
  struct Form {
    static bool run(Cpu& cpu, const MicroOp& op) {
      constexpr unsigned N = bytesOf(E), M = E == kMmx64 ? 8 : 16;
      if (!usable<E>(cpu)) return false;
      Chunk<M> count;
      if (!readVectorRm<E, Mem, M, E == kSse128>(cpu, op, count)) return false;
      if constexpr (E == kMmx64 && Mem) enterMmx(cpu);
      Chunk<N> a, result;
      readVector<E>(cpu, firstSource<E>(op), a);
      shiftAll<T, Of>(result, a, count.u64[0]);
      writeVector<E>(cpu, op.regIndex, result);
      return true;
    }
  };
};

/** By an immediate, of ModRM.rm, to itself or to what VEX names. */
template <typename T, T (*Of)(T, uint64_t)>
struct ShiftByImmediate {
  template <Encoding E, bool Mem>
  struct Form {
    static bool run(Cpu& cpu, const MicroOp& op) {
      if (!usable<E>(cpu)) return false;
      if constexpr (E == kMmx64) enterMmx(cpu);
      Chunk<bytesOf(E)> a, result;
      readVector<E>(cpu, op.rmIndex, a);
      shiftAll<T, Of>(result, a, op.immediate & 0xff);
      writeVector<E>(cpu, E == kVex128 || E == kVex256 ? op.vvvv : op.rmIndex, result);
      return true;
    }
  };
};

/** PSLLDQ and PSRLDQ: whole bytes of each 128-bit lane. */
template <bool Left>
struct ShiftBytes {
  template <unsigned N>
  static void run(Chunk<N>& r, const Chunk<N>&, const Chunk<N>& b, uint8_t count) {
    for (unsigned i = 0; i < N; i++) {
      const unsigned from = Left ? i - count : i + count;
      r.u8[i] = from < N ? b.u8[from] : uint8_t{0};
    }
  }
  template <Encoding E, bool Mem>
  struct Form {
    static bool run(Cpu& cpu, const MicroOp& op) {
      if (!usable<E>(cpu)) return false;
      Chunk<bytesOf(E)> b, result;
      readVector<E>(cpu, op.rmIndex, b);
      eachLane<ShiftBytes, E>(result, b, b, static_cast<uint8_t>(op.immediate));
      writeVector<E>(cpu, E == kVex128 || E == kVex256 ? op.vvvv : op.rmIndex, result);
      return true;
    }
  };
};

/** VPSLLV, VPSRLV, VPSRAV: each lane by a count of its own. */
template <typename T, T (*Of)(T, uint64_t)>
struct ShiftEach {
  template <unsigned N>
  static void run(Chunk<N>& r, const Chunk<N>& a, const Chunk<N>& b, uint8_t) {
    for (unsigned i = 0; i < N / sizeof(T); i++) {
      setLane<T>(r, i, Of(laneOf<T>(a, i), static_cast<uint64_t>(laneOf<std::make_unsigned_t<T>>(b, i))));
    }
  }
};

/** PTEST: ZF for no bit in common, CF for no bit of rm outside. VTESTPS and VTESTPD look at sign bits alone. */
template <uint64_t Mask>
struct Test {
  template <Encoding E, bool Mem>
  struct Form {
    static bool run(Cpu& cpu, const MicroOp& op) {
      constexpr unsigned N = bytesOf(E);
      if (!usable<E>(cpu)) return false;
      Chunk<N> a, b;
      if (!readVectorRm<E, Mem, N, E == kSse128>(cpu, op, b)) return false;
      readVector<E>(cpu, op.regIndex, a);
      uint64_t both = 0, outside = 0;
      for (unsigned i = 0; i < N / 8; i++) {
        both |= a.u64[i] & b.u64[i] & Mask;
        outside |= ~a.u64[i] & b.u64[i] & Mask;
      }
      setFlags(cpu, kArithmetic, (both == 0 ? kZf : 0) | (outside == 0 ? kCf : 0));
      return true;
    }
  };
};

}  // namespace

#define PACKED(NAME, ...) const Handlers NAME = Packed<__VA_ARGS__>::handlers
#define LANES(NAME, TYPE, OF) PACKED(NAME, Lanes<TYPE, OF<TYPE>>)
LANES(kPaddb, uint8_t, add);
LANES(kPaddw, uint16_t, add);
LANES(kPaddd, uint32_t, add);
LANES(kPaddq, uint64_t, add);
LANES(kPsubb, uint8_t, subtract);
LANES(kPsubw, uint16_t, subtract);
LANES(kPsubd, uint32_t, subtract);
LANES(kPsubq, uint64_t, subtract);
LANES(kPaddusb, uint8_t, addSaturated);
LANES(kPaddusw, uint16_t, addSaturated);
LANES(kPaddsb, int8_t, addSaturated);
LANES(kPaddsw, int16_t, addSaturated);
LANES(kPsubusb, uint8_t, subtractSaturated);
LANES(kPsubusw, uint16_t, subtractSaturated);
LANES(kPsubsb, int8_t, subtractSaturated);
LANES(kPsubsw, int16_t, subtractSaturated);
LANES(kPavgb, uint8_t, average);
LANES(kPavgw, uint16_t, average);
LANES(kPminub, uint8_t, minimum);
LANES(kPminuw, uint16_t, minimum);
LANES(kPminud, uint32_t, minimum);
LANES(kPminsb, int8_t, minimum);
LANES(kPminsw, int16_t, minimum);
LANES(kPminsd, int32_t, minimum);
LANES(kPmaxub, uint8_t, maximum);
LANES(kPmaxuw, uint16_t, maximum);
LANES(kPmaxud, uint32_t, maximum);
LANES(kPmaxsb, int8_t, maximum);
LANES(kPmaxsw, int16_t, maximum);
LANES(kPmaxsd, int32_t, maximum);
LANES(kPcmpeqb, uint8_t, equal);
LANES(kPcmpeqw, uint16_t, equal);
LANES(kPcmpeqd, uint32_t, equal);
LANES(kPcmpeqq, uint64_t, equal);
LANES(kPcmpgtb, int8_t, greater);
LANES(kPcmpgtw, int16_t, greater);
LANES(kPcmpgtd, int32_t, greater);
LANES(kPcmpgtq, int64_t, greater);
LANES(kPabsb, int8_t, absolute);
LANES(kPabsw, int16_t, absolute);
LANES(kPabsd, int32_t, absolute);
LANES(kPsignb, int8_t, sign);
LANES(kPsignw, int16_t, sign);
LANES(kPsignd, int32_t, sign);
PACKED(kPand, Lanes<uint64_t, bitAnd>);
PACKED(kPandn, Lanes<uint64_t, bitAndNot>);
PACKED(kPor, Lanes<uint64_t, bitOr>);
PACKED(kPxor, Lanes<uint64_t, bitXor>);
PACKED(kPmullw, Lanes<uint16_t, multiplyLow>);
PACKED(kPmulld, Lanes<uint32_t, multiplyLow32>);
PACKED(kPmulhw, Lanes<int16_t, multiplyHigh>);
PACKED(kPmulhuw, Lanes<uint16_t, multiplyHighUnsigned>);
PACKED(kPmulhrsw, Lanes<int16_t, multiplyRounded>);
PACKED(kPmuludq, Lanes<uint64_t, multiplyEven>);
PACKED(kPmuldq, Lanes<uint64_t, multiplyEvenSigned>);
PACKED(kPmaddwd, MultiplyAdd);
PACKED(kPmaddubsw, MultiplyAddBytes);
PACKED(kPsadbw, SumOfDifferences);
PACKED(kPhaddw, Horizontal<uint16_t, add<uint16_t>>);
PACKED(kPhaddd, Horizontal<uint32_t, add<uint32_t>>);
PACKED(kPhaddsw, Horizontal<int16_t, addSaturated<int16_t>>);
PACKED(kPhsubw, Horizontal<uint16_t, subtract<uint16_t>>);
PACKED(kPhsubd, Horizontal<uint32_t, subtract<uint32_t>>);
PACKED(kPhsubsw, Horizontal<int16_t, subtractSaturated<int16_t>>);
PACKED(kPhminposuw, MinimumPosition);
PACKED(kPsllvd, ShiftEach<uint32_t, left<uint32_t>>);
PACKED(kPsllvq, ShiftEach<uint64_t, left<uint64_t>>);
PACKED(kPsrlvd, ShiftEach<uint32_t, right<uint32_t>>);
PACKED(kPsrlvq, ShiftEach<uint64_t, right<uint64_t>>);
PACKED(kPsravd, ShiftEach<int32_t, right<int32_t>>);
#undef LANES
#undef PACKED

#define SHIFT(NAME, TYPE, OF)                                              \
  const PackedShift NAME = {kVectorForms<ShiftByRm<TYPE, OF<TYPE>>::Form>, \
                            kVectorForms<ShiftByImmediate<TYPE, OF<TYPE>>::Form>}
SHIFT(kPsllw, uint16_t, left);
SHIFT(kPslld, uint32_t, left);
SHIFT(kPsllq, uint64_t, left);
SHIFT(kPsrlw, uint16_t, right);
SHIFT(kPsrld, uint32_t, right);
SHIFT(kPsrlq, uint64_t, right);
SHIFT(kPsraw, int16_t, right);
SHIFT(kPsrad, int32_t, right);
#undef SHIFT
const Handlers kPslldq = kVectorForms<ShiftBytes<true>::Form>, kPsrldq = kVectorForms<ShiftBytes<false>::Form>,
               kPtest = kVectorForms<Test<~uint64_t{0}>::Form>, kVtestps = kVectorForms<Test<0x8000000080000000>::Form>,
               kVtestpd = kVectorForms<Test<0x8000000000000000>::Form>;

}  // namespace vtkit::emulator
