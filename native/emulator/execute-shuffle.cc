// Packing, unpacking, shuffling, blending and extending of vector lanes (SDM Vol. 1, 5.4.2, 5.6.1.3, 5.10, 5.11).
#include "emulator/vector-families.h"
#include "emulator/vector.h"

namespace vtkit::emulator {

namespace {

/** PACK: the first operand's lanes, then the second's, saturated to half their size. */
template <typename From, typename To>
struct Pack {
  template <unsigned N>
  static void run(Chunk<N>& r, const Chunk<N>& a, const Chunk<N>& b, uint8_t) {
    constexpr unsigned lanes = N / sizeof(From);
    for (unsigned i = 0; i < lanes; i++) {
      setLane<To>(r, i, saturate<To>(int64_t{laneOf<From>(a, i)}));
      setLane<To>(r, lanes + i, saturate<To>(int64_t{laneOf<From>(b, i)}));
    }
  }
};

/** PUNPCK and UNPCK: lanes of the low or the high halves in turn. */
template <typename T, bool High>
struct Unpack {
  template <unsigned N>
  static void run(Chunk<N>& r, const Chunk<N>& a, const Chunk<N>& b, uint8_t) {
    constexpr unsigned half = N / sizeof(T) / 2, from = High ? half : 0;
    for (unsigned i = 0; i < half; i++) {
      setLane<T>(r, 2 * i, laneOf<T>(a, from + i));
      setLane<T>(r, 2 * i + 1, laneOf<T>(b, from + i));
    }
  }
};

struct ShuffleBytes {
  template <unsigned N>
  static void run(Chunk<N>& r, const Chunk<N>& a, const Chunk<N>& b, uint8_t) {
    for (unsigned i = 0; i < N; i++) r.u8[i] = (b.u8[i] & 0x80) != 0 ? uint8_t{0} : a.u8[b.u8[i] & (N - 1)];
  }
};
struct AlignRight {
  template <unsigned N>
  static void run(Chunk<N>& r, const Chunk<N>& a, const Chunk<N>& b, uint8_t count) {
    for (unsigned i = 0; i < N; i++) {
      const unsigned from = i + count;
      r.u8[i] = from < N ? b.u8[from] : from < 2 * N ? a.u8[from - N] : uint8_t{0};
    }
  }
};

/** PSHUFD, PSHUFW, PSHUFLW and PSHUFHW: four lanes from `First` on, by two bits each; the rest stays. */
template <typename T, unsigned First>
struct Shuffle {
  template <unsigned N>
  static void run(Chunk<N>& r, const Chunk<N>&, const Chunk<N>& b, uint8_t order) {
    r = b;
    for (unsigned i = 0; i < 4; i++) {
      // MMX has no second half: that form does not exist.
      if ((First + i) * sizeof(T) < N) setLane<T>(r, First + i, laneOf<T>(b, First + (order >> 2 * i & 3)));
    }
  }
};
struct ShufflePs {
  template <unsigned N>
  static void run(Chunk<N>& r, const Chunk<N>& a, const Chunk<N>& b, uint8_t order) {
    for (unsigned i = 0; i < N / 4; i++) {
      setLane<uint32_t>(r, i, laneOf<uint32_t>(i < N / 8 ? a : b, (order >> 2 * i & 3) % (N / 4)));
    }
  }
};
/** SHUFPD: one bit of the immediate for each lane of the whole vector. */
struct ShufflePd {
  template <Encoding E, bool Mem>
  struct Form {
    static bool run(Cpu& cpu, const MicroOp& op) {
      constexpr unsigned N = bytesOf(E);
      if (!usable<E>(cpu)) return false;
      Chunk<N> a, b, r = {};
      if (!readVectorRm<E, Mem, N, E == kSse128>(cpu, op, b)) return false;
      readVector<E>(cpu, firstSource<E>(op), a);
      for (unsigned i = 0; i < N / 8; i++) {
        const unsigned lane = (i & ~1u) + (op.immediate >> i & 1);
        setLane<uint64_t>(r, i, laneOf<uint64_t>((i & 1) == 0 ? a : b, lane % (N / 8)));
      }
      writeVector<E>(cpu, op.regIndex, r);
      return true;
    }
  };
};

/** BLENDPS, BLENDPD, PBLENDD: one bit for each lane of the whole vector. PBLENDW: eight bits for each 128-bit lane. */
template <typename T>
struct Blend {
  template <Encoding E, bool Mem>
  struct Form {
    static bool run(Cpu& cpu, const MicroOp& op) {
      constexpr unsigned N = bytesOf(E);
      if (!usable<E>(cpu)) return false;
      Chunk<N> a, b;
      if (!readVectorRm<E, Mem, N, E == kSse128>(cpu, op, b)) return false;
      readVector<E>(cpu, firstSource<E>(op), a);
      for (unsigned i = 0; i < N / sizeof(T); i++) {
        if ((op.immediate >> (i & 7) & 1) != 0) setLane<T>(a, i, laneOf<T>(b, i));
      }
      writeVector<E>(cpu, op.regIndex, a);
      return true;
    }
  };
};

/** PBLENDVB, BLENDVPS, BLENDVPD: by the sign bits of XMM0, or of the register that the immediate of VEX names. */
template <typename T>
struct BlendVariable {
  template <Encoding E, bool Mem>
  struct Form {
    static bool run(Cpu& cpu, const MicroOp& op) {
      constexpr unsigned N = bytesOf(E);
      if (!usable<E>(cpu)) return false;
      Chunk<N> a, b, mask;
      if (!readVectorRm<E, Mem, N, E == kSse128>(cpu, op, b)) return false;
      readVector<E>(cpu, firstSource<E>(op), a);
      const unsigned fourth = op.immediate >> 4 & (cpu.code64() ? 15 : 7);
      readVector<E>(cpu, E == kSse128 ? 0 : fourth, mask);
      for (unsigned i = 0; i < N / sizeof(T); i++) {
        if (laneOf<T>(mask, i) >> (sizeof(T) * 8 - 1) != 0) setLane<T>(a, i, laneOf<T>(b, i));
      }
      writeVector<E>(cpu, op.regIndex, a);
      return true;
    }
  };
};

/** PMOVSX and PMOVZX: as many lanes of the source as the destination has. */
template <typename From, typename To>
struct Extended {
  template <Encoding E, bool Mem>
  struct Form {
    static bool run(Cpu& cpu, const MicroOp& op) {
      constexpr unsigned N = bytesOf(E), M = N * sizeof(From) / sizeof(To);
      if (!usable<E>(cpu)) return false;
      Chunk<(M < 8 ? 8 : M)> b;
      Chunk<N> r = {};
      if (!readVectorRm<E, Mem, M, false>(cpu, op, b)) return false;
      for (unsigned i = 0; i < N / sizeof(To); i++) setLane<To>(r, i, static_cast<To>(laneOf<From>(b, i)));
      writeVector<E>(cpu, op.regIndex, r);
      return true;
    }
  };
};

/** MPSADBW: eight sums of differences of four bytes; three bits of the immediate for each 128-bit lane. */
struct MultipleSums {
  template <Encoding E, bool Mem>
  struct Form {
    static bool run(Cpu& cpu, const MicroOp& op) {
      constexpr unsigned N = bytesOf(E);
      if (!usable<E>(cpu)) return false;
      Chunk<N> a, b, r = {};
      if (!readVectorRm<E, Mem, N, E == kSse128>(cpu, op, b)) return false;
      readVector<E>(cpu, firstSource<E>(op), a);
      for (unsigned lane = 0; lane < N / 16; lane++) {
        const unsigned control = static_cast<unsigned>(op.immediate) >> 3 * lane;
        const unsigned first = 16 * lane + (control & 4), second = 16 * lane + 4 * (control & 3);
        for (unsigned i = 0; i < 8; i++) {
          int sum = 0;
          for (unsigned k = 0; k < 4; k++) {
            const int difference = a.u8[first + i + k] - b.u8[second + k];
            sum += difference < 0 ? -difference : difference;
          }
          r.u16[8 * lane + i] = static_cast<uint16_t>(sum);
        }
      }
      writeVector<E>(cpu, op.regIndex, r);
      return true;
    }
  };
};

/** MOVDDUP, MOVSLDUP, MOVSHDUP: every lane from the even, or the odd, one of its pair. */
template <typename T, unsigned Which>
struct Duplicate {
  template <unsigned N>
  static void run(Chunk<N>& r, const Chunk<N>&, const Chunk<N>& b, uint8_t) {
    for (unsigned i = 0; i < N / sizeof(T); i++) setLane<T>(r, i, laneOf<T>(b, (i & ~1u) + Which));
  }
};
/** MOVDDUP of 128 bits reads 8 bytes of memory. */
template <Encoding E, bool Mem>
struct MovddupForm {
  static bool run(Cpu& cpu, const MicroOp& op) {
    constexpr unsigned N = bytesOf(E);
    if (!usable<E>(cpu)) return false;
    Chunk<N> b, r;
    if (!readVectorRm < E, Mem, N == 32 ? 32 : 8, false > (cpu, op, b)) return false;
    eachLane<Duplicate<uint64_t, 0>, E>(r, b, b, 0);
    writeVector<E>(cpu, op.regIndex, r);
    return true;
  }
};

}  // namespace

#define PACKED(NAME, ...) const Handlers NAME = Packed<__VA_ARGS__>::handlers
#define FORMS(NAME, ...) const Handlers NAME = kVectorForms<__VA_ARGS__::template Form>
PACKED(kPacksswb, Pack<int16_t, int8_t>);
PACKED(kPackssdw, Pack<int32_t, int16_t>);
PACKED(kPackuswb, Pack<int16_t, uint8_t>);
PACKED(kPackusdw, Pack<int32_t, uint16_t>);
PACKED(kPunpcklbw, Unpack<uint8_t, false>, 4);
PACKED(kPunpcklwd, Unpack<uint16_t, false>, 4);
PACKED(kPunpckldq, Unpack<uint32_t, false>, 4);
PACKED(kPunpckhbw, Unpack<uint8_t, true>);
PACKED(kPunpckhwd, Unpack<uint16_t, true>);
PACKED(kPunpckhdq, Unpack<uint32_t, true>);
PACKED(kPshufb, ShuffleBytes);
PACKED(kPalignr, AlignRight);
PACKED(kPshufw, Shuffle<uint16_t, 0>);
PACKED(kPshufd, Shuffle<uint32_t, 0>);
PACKED(kPshuflw, Shuffle<uint16_t, 0>);
PACKED(kPshufhw, Shuffle<uint16_t, 4>);
PACKED(kShufps, ShufflePs);
PACKED(kMovsldup, Duplicate<uint32_t, 0>);
PACKED(kMovshdup, Duplicate<uint32_t, 1>);
FORMS(kShufpd, ShufflePd);
FORMS(kBlendps, Blend<uint32_t>);
FORMS(kBlendpd, Blend<uint64_t>);
FORMS(kPblendw, Blend<uint16_t>);
FORMS(kPblendvb, BlendVariable<uint8_t>);
FORMS(kBlendvps, BlendVariable<uint32_t>);
FORMS(kBlendvpd, BlendVariable<uint64_t>);
FORMS(kPmovsxbw, Extended<int8_t, int16_t>);
FORMS(kPmovsxbd, Extended<int8_t, int32_t>);
FORMS(kPmovsxbq, Extended<int8_t, int64_t>);
FORMS(kPmovsxwd, Extended<int16_t, int32_t>);
FORMS(kPmovsxwq, Extended<int16_t, int64_t>);
FORMS(kPmovsxdq, Extended<int32_t, int64_t>);
FORMS(kPmovzxbw, Extended<uint8_t, uint16_t>);
FORMS(kPmovzxbd, Extended<uint8_t, uint32_t>);
FORMS(kPmovzxbq, Extended<uint8_t, uint64_t>);
FORMS(kPmovzxwd, Extended<uint16_t, uint32_t>);
FORMS(kPmovzxwq, Extended<uint16_t, uint64_t>);
FORMS(kPmovzxdq, Extended<uint32_t, uint64_t>);
FORMS(kMpsadbw, MultipleSums);
#undef FORMS
#undef PACKED
const Handlers kPunpcklqdq = Packed<Whole<Unpack<uint64_t, false>>>::handlers,
               kPunpckhqdq = Packed<Whole<Unpack<uint64_t, true>>>::handlers, kMovddup = kVectorForms<MovddupForm>;

}  // namespace vtkit::emulator
