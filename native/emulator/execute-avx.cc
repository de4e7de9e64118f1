// What AVX and AVX2 added: broadcasts, permutations across lanes, masked moves, gathers (SDM Vol. 1, 14.2 and 14.6).
#include "emulator/vector-families.h"
#include "emulator/vector.h"

namespace vtkit::emulator {

namespace {

/** VBROADCAST and VPBROADCAST. */
template <typename T>
struct Broadcast {
  template <Encoding E, bool Mem>
  struct Form {
    static bool run(Cpu& cpu, const MicroOp& op) {
      constexpr unsigned N = bytesOf(E);
      if (!usable<E>(cpu)) return false;
      Chunk<N> source, result;
      if (!readVectorRm<E, Mem, sizeof(T), false>(cpu, op, source)) return false;
      for (unsigned i = 0; i < N / sizeof(T); i++) setLane<T>(result, i, laneOf<T>(source, 0));
      writeVector<E>(cpu, op.regIndex, result);
      return true;
    }
  };
};
template <Encoding E, bool Mem>
struct BroadcastHalf {
  static bool run(Cpu& cpu, const MicroOp& op) {
    if (!usable<kVex256>(cpu)) return false;
    Chunk<16> half;
    Chunk<32> result;
    if (!readVectorRm<kVex256, Mem, 16, false>(cpu, op, half)) return false;
    for (unsigned i = 0; i < 4; i++) result.u64[i] = half.u64[i & 1];
    writeVector<kVex256>(cpu, op.regIndex, result);
    return true;
  }
};

/** VINSERTF128, VINSERTI128. */
template <Encoding E, bool Mem>
struct InsertHalf {
  static bool run(Cpu& cpu, const MicroOp& op) {
    if (!usable<kVex256>(cpu)) return false;
    Chunk<16> half;
    Chunk<32> result;
    if (!readVectorRm<kVex256, Mem, 16, false>(cpu, op, half)) return false;
    readVector<kVex256>(cpu, op.vvvv, result);
    std::memcpy(result.u8 + (op.immediate & 1) * 16, half.u8, 16);
    writeVector<kVex256>(cpu, op.regIndex, result);
    return true;
  }
};
template <Encoding E, bool Mem>
struct ExtractHalf {
  static bool run(Cpu& cpu, const MicroOp& op) {
    if (!usable<kVex256>(cpu)) return false;
    Chunk<16> half;
    std::memcpy(half.u8, cpu.vectors[op.regIndex].u8 + (op.immediate & 1) * 16, 16);
    if constexpr (Mem) return storeVector(cpu, op.segment, addressOf(cpu, op), half);
    writeVector<kVex128>(cpu, op.rmIndex, half);
    return true;
  }
};

/** VPERM2F128, VPERM2I128: halves of two vectors, or zeros. */
template <Encoding E, bool Mem>
struct PermuteHalves {
  static bool run(Cpu& cpu, const MicroOp& op) {
    if (!usable<kVex256>(cpu)) return false;
    Chunk<32> a, b, result = {};
    if (!readVectorRm<kVex256, Mem, 32, false>(cpu, op, b)) return false;
    readVector<kVex256>(cpu, op.vvvv, a);
    for (unsigned i = 0; i < 2; i++) {
      const unsigned control = static_cast<unsigned>(op.immediate) >> 4 * i;
      if ((control & 8) != 0) continue;
      std::memcpy(result.u8 + 16 * i, ((control & 2) != 0 ? b : a).u8 + 16 * (control & 1), 16);
    }
    writeVector<kVex256>(cpu, op.regIndex, result);
    return true;
  }
};

/** VPERMILPS and VPERMILPD by a vector: within 128-bit lanes. */
struct PermutePs {
  template <unsigned N>
  static void run(Chunk<N>& r, const Chunk<N>& a, const Chunk<N>& b, uint8_t) {
    for (unsigned i = 0; i < N / 4; i++) r.u32[i] = a.u32[b.u32[i] & (N / 4 - 1)];
  }
};
struct PermutePd {
  template <unsigned N>
  static void run(Chunk<N>& r, const Chunk<N>& a, const Chunk<N>& b, uint8_t) {
    for (unsigned i = 0; i < N / 8; i++) r.u64[i] = a.u64[b.u64[i] >> 1 & (N / 8 - 1)];
  }
};
/** By an immediate: VPERMILPS four times two bits for each lane, VPERMILPD one bit for each number. */
struct PermutePsBy {
  template <unsigned N>
  static void run(Chunk<N>& r, const Chunk<N>&, const Chunk<N>& b, uint8_t order) {
    for (unsigned i = 0; i < N / 4; i++) r.u32[i] = b.u32[(order >> 2 * i & 3) & (N / 4 - 1)];
  }
};
template <Encoding E, bool Mem>
struct PermutePdBy {
  static bool run(Cpu& cpu, const MicroOp& op) {
    constexpr unsigned N = bytesOf(E);
    if (!usable<E>(cpu)) return false;
    Chunk<N> b, result = {};
    if (!readVectorRm<E, Mem, N, false>(cpu, op, b)) return false;
    for (unsigned i = 0; i < N / 8; i++) result.u64[i] = b.u64[((i & ~1u) + (op.immediate >> i & 1)) % (N / 8)];
    writeVector<E>(cpu, op.regIndex, result);
    return true;
  }
};

/** VPERMD, VPERMPS: any of eight by a vector. VPERMQ, VPERMPD: any of four by an immediate. */
template <Encoding E, bool Mem>
struct PermuteWords {
  static bool run(Cpu& cpu, const MicroOp& op) {
    if (!usable<kVex256>(cpu)) return false;
    Chunk<32> order, b, result;
    if (!readVectorRm<kVex256, Mem, 32, false>(cpu, op, b)) return false;
    readVector<kVex256>(cpu, op.vvvv, order);
    for (unsigned i = 0; i < 8; i++) result.u32[i] = b.u32[order.u32[i] & 7];
    writeVector<kVex256>(cpu, op.regIndex, result);
    return true;
  }
};
template <Encoding E, bool Mem>
struct PermuteQuads {
  static bool run(Cpu& cpu, const MicroOp& op) {
    if (!usable<kVex256>(cpu)) return false;
    Chunk<32> b, result;
    if (!readVectorRm<kVex256, Mem, 32, false>(cpu, op, b)) return false;
    for (unsigned i = 0; i < 4; i++) result.u64[i] = b.u64[op.immediate >> 2 * i & 3];
    writeVector<kVex256>(cpu, op.regIndex, result);
    return true;
  }
};

/** VMASKMOV and VPMASKMOV: only lanes whose mask has its sign set touch memory. */
template <typename T>
struct MaskedLoad {
  template <Encoding E, bool Mem>
  struct Form {
    static bool run(Cpu& cpu, const MicroOp& op) {
      constexpr unsigned N = bytesOf(E);
      if (!usable<E>(cpu)) return false;
      Chunk<N> mask, result = {};
      readVector<E>(cpu, op.vvvv, mask);
      const uint64_t offset = addressOf(cpu, op);
      for (unsigned i = 0; i < N / sizeof(T); i++) {
        if (laneOf<T>(mask, i) >> (sizeof(T) * 8 - 1) == 0) continue;
        T value;
        if (!load<T>(cpu, op.segment, (offset + i * sizeof(T)) & op.addressMask, value)) return false;
        setLane<T>(result, i, value);
      }
      writeVector<E>(cpu, op.regIndex, result);
      return true;
    }
  };
};
template <typename T>
struct MaskedStore {
  template <Encoding E, bool Mem>
  struct Form {
    static bool run(Cpu& cpu, const MicroOp& op) {
      constexpr unsigned N = bytesOf(E);
      if (!usable<E>(cpu)) return false;
      Chunk<N> mask, value;
      readVector<E>(cpu, op.vvvv, mask);
      readVector<E>(cpu, op.regIndex, value);
      const uint64_t offset = addressOf(cpu, op);
      const auto each = [&](auto part) {
        for (unsigned i = 0; i < N / sizeof(T); i++) {
          const bool set = laneOf<T>(mask, i) >> (sizeof(T) * 8 - 1) != 0;
          if (set && !part((offset + i * sizeof(T)) & op.addressMask, laneOf<T>(value, i))) return false;
        }
        return true;
      };
      return each([&](uint64_t at, T) { return probeWrite(cpu, op.segment, at, sizeof(T)); }) &&
             each([&](uint64_t at, T lane) { return store<T>(cpu, op.segment, at, lane); });
    }
  };
};

/**
 * VGATHER and VPGATHER: lanes of T at a base and an index each.
 *
 * What is done is done: a fault leaves the lanes that were loaded, with their masks cleared, and goes on from there.
 */
template <typename T, typename Index>
struct Gather {
  template <Encoding E, bool Mem>
  struct Form {
    static bool run(Cpu& cpu, const MicroOp& op) {
      constexpr unsigned N = bytesOf(E);
      if (!usable<E>(cpu)) return false;
      constexpr unsigned wide = sizeof(T) > sizeof(Index) ? sizeof(T) : sizeof(Index), lanes = N / wide;
      uint8_t* const to = cpu.vectors[op.regIndex].u8;
      uint8_t* const masks = cpu.vectors[op.vvvv].u8;
      const uint8_t* const indices = cpu.vectors[op.index].u8;
      using Signed = std::make_signed_t<T>;
      Signed mask[lanes];
      for (unsigned i = 0; i < lanes; i++) {
        std::memcpy(&mask[i], masks + i * sizeof(T), sizeof(T));
        mask[i] = static_cast<Signed>(mask[i] >> (sizeof(T) * 8 - 1));
        std::memcpy(masks + i * sizeof(T), &mask[i], sizeof(T));
      }
      for (unsigned i = 0; i < lanes; i++) {
        if (mask[i] == 0) continue;
        Index index;
        std::memcpy(&index, indices + i * sizeof(Index), sizeof(Index));
        const uint64_t offset = (cpu.gpr[op.base] + (static_cast<uint64_t>(int64_t{index}) << op.scale) +
                                 static_cast<uint64_t>(op.displacement)) &
                                op.addressMask;
        T value;
        if (!load<T>(cpu, op.segment, offset, value)) return false;
        std::memcpy(to + i * sizeof(T), &value, sizeof(T));
        std::memset(masks + i * sizeof(T), 0, sizeof(T));
      }
      std::memset(to + lanes * sizeof(T), 0, 32 - lanes * sizeof(T));
      std::memset(masks, 0, 32);
      return true;
    }
  };
};

}  // namespace

#define FORMS(NAME, ...) const Handlers NAME = kVectorForms<__VA_ARGS__::template Form>
FORMS(kBroadcast8, Broadcast<uint8_t>);
FORMS(kBroadcast16, Broadcast<uint16_t>);
FORMS(kBroadcast32, Broadcast<uint32_t>);
FORMS(kBroadcast64, Broadcast<uint64_t>);
FORMS(kMaskedLoad32, MaskedLoad<uint32_t>);
FORMS(kMaskedLoad64, MaskedLoad<uint64_t>);
FORMS(kMaskedStore32, MaskedStore<uint32_t>);
FORMS(kMaskedStore64, MaskedStore<uint64_t>);
FORMS(kGatherDd, Gather<uint32_t, int32_t>);
FORMS(kGatherDq, Gather<uint64_t, int32_t>);
FORMS(kGatherQd, Gather<uint32_t, int64_t>);
FORMS(kGatherQq, Gather<uint64_t, int64_t>);
#undef FORMS
const Handlers kBroadcast128 = kVectorForms<BroadcastHalf>, kInsert128 = kVectorForms<InsertHalf>,
               kExtract128 = kVectorForms<ExtractHalf>, kPerm2x128 = kVectorForms<PermuteHalves>,
               kVpermilps = Packed<PermutePs>::handlers, kVpermilpd = Packed<PermutePd>::handlers,
               kVpermilpsBy = Packed<PermutePsBy>::handlers, kVpermilpdBy = kVectorForms<PermutePdBy>,
               kVpermd = kVectorForms<PermuteWords>, kVpermq = kVectorForms<PermuteQuads>;

}  // namespace vtkit::emulator
