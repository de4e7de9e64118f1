// Vector operands: MMX, XMM and YMM registers and memory, and the shapes that packed instructions have.
#pragma once

#include <type_traits>

#include "emulator/families.h"
#include "emulator/mmu.h"

namespace vtkit::emulator {

/** N bytes of a vector, as lanes of any size. */
template <unsigned N>
union alignas(N < 16 ? N : 16) Chunk {
  static_assert(N == 8 || N == 16 || N == 32);
  uint8_t u8[N];
  int8_t s8[N];
  uint16_t u16[N / 2];
  int16_t s16[N / 2];
  uint32_t u32[N / 4];
  int32_t s32[N / 4];
  uint64_t u64[N / 8];
  int64_t s64[N / 8];
};

/** Unsigned integers by their size. */
template <unsigned Bytes>
using Bits =
    std::conditional_t<Bytes == 1, uint8_t,
                       std::conditional_t<Bytes == 2, uint16_t, std::conditional_t<Bytes == 4, uint32_t, uint64_t>>>;

/** The lanes of a chunk by their type. */
template <typename T, unsigned N>
inline T laneOf(const Chunk<N>& chunk, unsigned i) {
  T value;
  std::memcpy(&value, chunk.u8 + i * sizeof(T), sizeof(T));
  return value;
}
template <typename T, unsigned N>
inline void setLane(Chunk<N>& chunk, unsigned i, T value) {
  std::memcpy(chunk.u8 + i * sizeof(T), &value, sizeof(T));
}

constexpr unsigned bytesOf(Encoding e) { return e == kMmx64 ? 8 : e == kVex256 ? 32 : 16; }

/** What has but one 128-bit form writes so: VEX.L is ignored. */
template <Encoding E>
inline constexpr Encoding kXmmOf = E == kVex256  ? kVex128
                                   : E == kMmx64 ? kSse128
                                                 : E;

/** Why the registers may not be used: #UD, #NM or #MF (SDM Vol. 3A, table 12-1; Vol. 2A, 2.4). False, a fault pending.
 */
bool notUsable(Cpu& cpu, Encoding encoding);
/** Makes MMX registers of the x87 stack: TOP is 0, nothing is empty. */
void enterMmx(Cpu& cpu);

template <Encoding E>
inline bool usable(Cpu& cpu) {
  constexpr unsigned needed = E == kMmx64 ? kUsableMmx : E == kSse128 ? kUsableSse : kUsableAvx;
  const bool pending = E == kMmx64 && (cpu.x87.status & kX87Summary) != 0;
  return __builtin_expect((cpu.usable & needed) != 0 && !pending, true) || notUsable(cpu, E);
}

// Registers -----------------------------------------------------------------------------------------------------------

template <Encoding E, unsigned N>
inline void readVector(const Cpu& cpu, unsigned index, Chunk<N>& value) {
  std::memcpy(value.u8, E == kMmx64 ? cpu.x87.st[index & 7] : cpu.vectors[index].u8, N);
}

/** Writes a whole register. Without VEX the upper half of a YMM register stays, with VEX it becomes 0. */
template <Encoding E, unsigned N>
inline void writeVector(Cpu& cpu, unsigned index, const Chunk<N>& value) {
  static_assert(N == bytesOf(E));
  if constexpr (E == kMmx64) {
    uint8_t* st = cpu.x87.st[index & 7];
    std::memcpy(st, value.u8, 8);
    st[8] = st[9] = 0xff;  // as a NaN or infinity, so that x87 code notices
  } else {
    std::memcpy(cpu.vectors[index].u8, value.u8, N);
    if constexpr (E == kVex128) std::memset(cpu.vectors[index].u8 + 16, 0, 16);
  }
}

// Memory --------------------------------------------------------------------------------------------------------------

template <unsigned N>
inline bool loadVector(Cpu& cpu, unsigned segment, uint64_t offset, Chunk<N>& value) {
  return load(cpu, segment, offset, value);
}
template <unsigned N>
inline bool storeVector(Cpu& cpu, unsigned segment, uint64_t offset, const Chunk<N>& value) {
  return store(cpu, segment, offset, value);
}

/** SSE operands of 16 bytes have to be aligned, as have those of MOVAPS and its kind with VEX. */
template <unsigned N>
inline bool aligned(Cpu& cpu, const MicroOp& op) {
  const uint64_t offset = addressOf(cpu, op);
  const bool based = !cpu.code64() || op.segment >= FS;
  if (((based ? cpu.seg[op.segment].base : 0) + offset) % N == 0) return true;
  uint64_t linear;
  return linearOf(cpu, op.segment, offset, N, false, linear) && gp(cpu);
}

/** The operand of ModRM.rm, of which memory gives `Bytes`, and the rest is 0. */
template <Encoding E, bool Mem, unsigned Bytes, bool Aligned, unsigned N>
VTKIT_HOT inline bool readVectorRm(Cpu& cpu, const MicroOp& op, Chunk<N>& value) {
  if constexpr (Mem) {
    if constexpr (Aligned) {
      if (!aligned<Bytes>(cpu, op)) return false;
    }
    if constexpr (Bytes == N) {
      return loadVector<N>(cpu, op.segment, addressOf(cpu, op), value);
    } else {
      std::conditional_t<Bytes == 16, Chunk<16>, Bits<Bytes>> part;
      value = {};
      if (!load(cpu, op.segment, addressOf(cpu, op), part)) return false;
      std::memcpy(value.u8, &part, Bytes);
      return true;
    }
  }
  if constexpr (E == kMmx64) enterMmx(cpu);
  readVector<E, N>(cpu, op.rmIndex, value);
  return true;
}

/** The first source: the destination itself, or what VEX names. */
template <Encoding E>
inline unsigned firstSource(const MicroOp& op) {
  return E == kVex128 || E == kVex256 ? op.vvvv : op.regIndex;
}

// Shapes --------------------------------------------------------------------------------------------------------------

#define VTKIT_VECTOR_FORM(MEMORY)                                                                                    \
  {                                                                                                                  \
    reaching<Form<kMmx64, MEMORY>::run>, reaching<Form<kSse128, MEMORY>::run>, reaching<Form<kVex128, MEMORY>::run>, \
        reaching<Form<kVex256, MEMORY>::run>                                                                         \
  }
/** `template <Encoding, bool> struct Form { static bool run(Cpu&, const MicroOp&); }` for all encodings. */
template <template <Encoding, bool> class Form>
inline constexpr Handlers kVectorForms = {{VTKIT_VECTOR_FORM(false), VTKIT_VECTOR_FORM(true)}, {false, false}};
#undef VTKIT_VECTOR_FORM

/** 128-bit lanes of one operation: `Op::run(result, first, second, immediate)` on chunks of 8 or 16 bytes. */
template <class Op, Encoding E, unsigned N>
inline void eachLane(Chunk<N>& result, const Chunk<N>& a, const Chunk<N>& b, uint8_t immediate) {
  if constexpr (N <= 16) {
    Op::template run<N>(result, a, b, immediate);
  } else {
    for (unsigned i = 0; i < 2; i++) {
      Chunk<16> x, y, r;
      std::memcpy(x.u8, a.u8 + 16 * i, 16);
      std::memcpy(y.u8, b.u8 + 16 * i, 16);
      Op::template run<16>(r, x, y, immediate);
      std::memcpy(result.u8 + 16 * i, r.u8, 16);
    }
  }
}

/**
 * reg = op(first source, rm), lane by lane; an operation on rm alone does not look at the first source. Of MMX, some
 * read half of their operand's size from memory.
 */
template <class Op, unsigned MmxBytes = 8>
struct Packed {
  template <Encoding E, bool Mem>
  struct Form {
    static bool run(Cpu& cpu, const MicroOp& op) {
      constexpr unsigned N = bytesOf(E);
      if (!usable<E>(cpu)) return false;
      Chunk<N> a, b, result;
      if (!readVectorRm < E, Mem, E == kMmx64 ? MmxBytes : N, E == kSse128 > (cpu, op, b)) return false;
      if constexpr (E == kMmx64 && Mem) enterMmx(cpu);
      readVector<E>(cpu, firstSource<E>(op), a);
      eachLane<Op, E>(result, a, b, static_cast<uint8_t>(op.immediate));
      writeVector<E>(cpu, op.regIndex, result);
      return true;
    }
  };
  static constexpr const Handlers& handlers = kVectorForms<Form>;
};

// Lanes ---------------------------------------------------------------------------------------------------------------

/** An operation of each pair of lanes. */
template <typename T, T (*Of)(T, T)>
struct Lanes {
  template <unsigned N>
  static void run(Chunk<N>& result, const Chunk<N>& a, const Chunk<N>& b, uint8_t) {
    for (unsigned i = 0; i < N / sizeof(T); i++) setLane<T>(result, i, Of(laneOf<T>(a, i), laneOf<T>(b, i)));
  }
};

/** An operation of XMM registers alone, as a lane operation: MMX has none of these. */
template <class Op>
struct Whole {
  template <unsigned N>
  static void run(Chunk<N>& r, const Chunk<N>& a, const Chunk<N>& b, uint8_t immediate) {
    if constexpr (N == 16) {
      Op::run(r, a, b, immediate);
    } else {
      r = a;
    }
  }
};

template <typename To, typename From>
inline To saturate(From value) {
  constexpr From low = std::is_signed_v<To> ? -(From{1} << (sizeof(To) * 8 - 1)) : 0;
  constexpr From high = static_cast<From>((From{1} << (sizeof(To) * 8 - (std::is_signed_v<To> ? 1 : 0))) - 1);
  return static_cast<To>(value < low ? low : value > high ? high : value);
}

}  // namespace vtkit::emulator
