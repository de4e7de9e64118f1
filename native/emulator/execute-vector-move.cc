// Moves of MMX, XMM and YMM registers: whole, in part, from and to general registers (SDM Vol. 1, 5.4.1, 5.5.1, 5.6.1).
#include "emulator/save-area.h"
#include "emulator/vector-families.h"
#include "emulator/vector.h"

namespace vtkit::emulator {

namespace {

/** MOVAPS and MOVUPS and their kind: reg = rm. */
template <bool Aligned>
struct Load {
  template <Encoding E, bool Mem>
  struct Form {
    static bool run(Cpu& cpu, const MicroOp& op) {
      constexpr unsigned N = bytesOf(E);
      if (!usable<E>(cpu)) return false;
      Chunk<N> value;
      if (!readVectorRm < E, Mem, N, Aligned && E != kMmx64 > (cpu, op, value)) return false;
      if constexpr (E == kMmx64 && Mem) enterMmx(cpu);
      writeVector<E>(cpu, op.regIndex, value);
      return true;
    }
  };
};

/** rm = reg. */
template <bool Aligned>
struct Store {
  template <Encoding E, bool Mem>
  struct Form {
    static bool run(Cpu& cpu, const MicroOp& op) {
      constexpr unsigned N = bytesOf(E);
      if (!usable<E>(cpu)) return false;
      if constexpr (Mem && Aligned && E != kMmx64) {
        if (!aligned<N>(cpu, op)) return false;
      }
      Chunk<N> value;
      if constexpr (E == kMmx64) {
        if (Mem && !probeWrite(cpu, op.segment, addressOf(cpu, op), 8)) return false;
        enterMmx(cpu);
      }
      readVector<E>(cpu, op.regIndex, value);
      if constexpr (Mem) return storeVector<N>(cpu, op.segment, addressOf(cpu, op), value);
      writeVector<E>(cpu, op.rmIndex, value);
      return true;
    }
  };
};

/** MOVSS and MOVSD: from memory the rest becomes 0, from a register it stays (or comes from VEX.vvvv). */
template <unsigned Bytes>
struct LoadScalar {
  template <Encoding E, bool Mem>
  struct Form {
    static bool run(Cpu& cpu, const MicroOp& op) {
      if (Mem && op.vvvv != 0 && (E == kVex128 || E == kVex256)) return raise(cpu, kUd);
      if (!usable<E>(cpu)) return false;
      Chunk<16> source, result = {};
      if (!readVectorRm<E, Mem, Bytes, false>(cpu, op, source)) return false;
      if constexpr (!Mem) readVector<E>(cpu, firstSource<E>(op), result);
      std::memcpy(result.u8, source.u8, Bytes);
      writeVector<kXmmOf<E>>(cpu, op.regIndex, result);
      return true;
    }
  };
};
template <unsigned Bytes>
struct StoreScalar {
  template <Encoding E, bool Mem>
  struct Form {
    static bool run(Cpu& cpu, const MicroOp& op) {
      if (Mem && op.vvvv != 0 && (E == kVex128 || E == kVex256)) return raise(cpu, kUd);
      if (!usable<E>(cpu)) return false;
      Chunk<16> value;
      readVector<E>(cpu, op.regIndex, value);
      if constexpr (Mem) return store(cpu, op.segment, addressOf(cpu, op), laneOf<Bits<Bytes>>(value, 0));
      Chunk<16> result;
      readVector<E>(cpu, E == kSse128 ? op.rmIndex : op.vvvv, result);
      std::memcpy(result.u8, value.u8, Bytes);
      writeVector<kXmmOf<E>>(cpu, op.rmIndex, result);
      return true;
    }
  };
};

/** MOVLPS, MOVHPS, MOVLPD, MOVHPD from memory; with a register MOVHLPS and MOVLHPS. */
template <bool High>
struct LoadHalf {
  template <Encoding E, bool Mem>
  struct Form {
    static bool run(Cpu& cpu, const MicroOp& op) {
      if constexpr (E == kSse128 || E == kVex128) {
        if (!usable<E>(cpu)) return false;
        Chunk<16> source, result;
        if (!readVectorRm<E, Mem, 8, false>(cpu, op, source)) return false;
        readVector<E>(cpu, firstSource<E>(op), result);
        result.u64[High ? 1 : 0] = source.u64[Mem || High ? 0 : 1];
        writeVector<E>(cpu, op.regIndex, result);
        return true;
      }
      return raise(cpu, kUd);
    }
  };
};
template <bool High>
struct StoreHalf {
  template <Encoding E, bool Mem>
  struct Form {
    static bool run(Cpu& cpu, const MicroOp& op) {
      if (!usable<E>(cpu)) return false;
      return store(cpu, op.segment, addressOf(cpu, op), cpu.vectors[op.regIndex].u64[High ? 1 : 0]);
    }
  };
};

/** MOVD and MOVQ from a general register or memory: the rest becomes 0. */
template <Encoding E, bool Mem>
struct FromGeneral {
  static bool run(Cpu& cpu, const MicroOp& op) {
    if (!usable<E>(cpu)) return false;
    uint32_t narrow = 0;
    uint64_t wide = 0;
    if (!(op.operandBytes == 8 ? readRm<uint64_t, Mem>(cpu, op, wide) : readRm<uint32_t, Mem>(cpu, op, narrow))) {
      return false;
    }
    if constexpr (E == kMmx64) enterMmx(cpu);
    Chunk<bytesOf(E)> value = {};
    value.u64[0] = op.operandBytes == 8 ? wide : narrow;
    writeVector<E>(cpu, op.regIndex, value);
    return true;
  }
};
template <Encoding E, bool Mem>
struct ToGeneral {
  static bool run(Cpu& cpu, const MicroOp& op) {
    if (!usable<E>(cpu)) return false;
    if constexpr (E == kMmx64) {
      if (Mem && !probeWrite(cpu, op.segment, addressOf(cpu, op), op.operandBytes)) return false;
      enterMmx(cpu);
    }
    Chunk<8> value;
    readVector<E>(cpu, op.regIndex, value);
    return op.operandBytes == 8 ? writeRm<uint64_t, Mem>(cpu, op, value.u64[0])
                                : writeRm<uint32_t, Mem>(cpu, op, value.u32[0]);
  }
};

/** MOVQ between XMM registers and memory. */
template <Encoding E, bool Mem>
struct LoadQuad {
  static bool run(Cpu& cpu, const MicroOp& op) {
    if (!usable<E>(cpu)) return false;
    Chunk<16> value;
    if (!readVectorRm<E, Mem, 8, false>(cpu, op, value)) return false;
    value.u64[1] = 0;
    writeVector<kXmmOf<E>>(cpu, op.regIndex, value);
    return true;
  }
};
template <Encoding E, bool Mem>
struct StoreQuad {
  static bool run(Cpu& cpu, const MicroOp& op) {
    if (!usable<E>(cpu)) return false;
    const uint64_t value = cpu.vectors[op.regIndex].u64[0];
    if constexpr (Mem) return store(cpu, op.segment, addressOf(cpu, op), value);
    Chunk<16> result = {};
    result.u64[0] = value;
    writeVector<kXmmOf<E>>(cpu, op.rmIndex, result);
    return true;
  }
};

// MOVDQ2Q and MOVQ2DQ use both register files: the rules of MMX hold, then those of SSE.
template <Encoding E, bool Mem>
struct ToMmx {
  static bool run(Cpu& cpu, const MicroOp& op) {
    if (!usable<kSse128>(cpu) || !usable<kMmx64>(cpu)) return false;
    enterMmx(cpu);
    Chunk<8> value;
    readVector<kSse128>(cpu, op.rmIndex, value);
    writeVector<kMmx64>(cpu, op.regIndex, value);
    return true;
  }
};
template <Encoding E, bool Mem>
struct FromMmx {
  static bool run(Cpu& cpu, const MicroOp& op) {
    if (!usable<kSse128>(cpu) || !usable<kMmx64>(cpu)) return false;
    enterMmx(cpu);
    Chunk<16> value = {};
    Chunk<8> low;
    readVector<kMmx64>(cpu, op.rmIndex, low);
    value.u64[0] = low.u64[0];
    writeVector<kSse128>(cpu, op.regIndex, value);
    return true;
  }
};

/** PMOVMSKB, MOVMSKPS, MOVMSKPD: the sign bits of all lanes. */
template <typename T>
struct SignBits {
  template <Encoding E, bool Mem>
  struct Form {
    static bool run(Cpu& cpu, const MicroOp& op) {
      constexpr unsigned N = bytesOf(E);
      if (!usable<E>(cpu)) return false;
      if constexpr (E == kMmx64) enterMmx(cpu);
      Chunk<N> value;
      readVector<E>(cpu, op.rmIndex, value);
      uint32_t bits = 0;
      for (unsigned i = 0; i < N / sizeof(T); i++) {
        bits |= static_cast<uint32_t>(laneOf<T>(value, i) >> (sizeof(T) * 8 - 1)) << i;
      }
      writeGpr<uint32_t>(cpu, op.regIndex, bits);
      return true;
    }
  };
};

/** MASKMOVQ and MASKMOVDQU: bytes with their mask's sign bit set go to DS:rDI. */
template <Encoding E, bool Mem>
struct MaskedBytes {
  static bool run(Cpu& cpu, const MicroOp& op) {
    constexpr unsigned N = E == kVex256 ? 16 : bytesOf(E);
    if (!usable<E>(cpu)) return false;
    const uint64_t offset = cpu.gpr[RDI] & op.addressMask;
    Chunk<N> value, mask;
    if constexpr (E == kMmx64) enterMmx(cpu);
    readVector<E>(cpu, op.regIndex, value);
    readVector<E>(cpu, op.rmIndex, mask);
    for (unsigned i = 0; i < N; i++) {
      if ((mask.u8[i] & 0x80) != 0 && !probeWrite(cpu, op.segment, (offset + i) & op.addressMask, 1)) return false;
    }
    for (unsigned i = 0; i < N; i++) {
      if ((mask.u8[i] & 0x80) != 0 && !store(cpu, op.segment, (offset + i) & op.addressMask, value.u8[i])) return false;
    }
    return true;
  }
};

// Single lanes --------------------------------------------------------------------------------------------------------

/** PINSRB, PINSRW, PINSRD, PINSRQ. */
template <typename T>
struct Insert {
  template <Encoding E, bool Mem>
  struct Form {
    static bool run(Cpu& cpu, const MicroOp& op) {
      constexpr unsigned N = bytesOf(E);
      if (!usable<E>(cpu)) return false;
      T value;
      if constexpr (Mem) {
        if (!load<T>(cpu, op.segment, addressOf(cpu, op), value)) return false;
      } else {
        value = readGpr<T>(cpu, op.rmIndex);
      }
      if constexpr (E == kMmx64) enterMmx(cpu);
      Chunk<N> result;
      readVector<E>(cpu, firstSource<E>(op), result);
      setLane<T>(result, op.immediate & (N / sizeof(T) - 1), value);
      writeVector<E>(cpu, op.regIndex, result);
      return true;
    }
  };
};
/** PEXTRB, PEXTRW, PEXTRD, PEXTRQ, EXTRACTPS: a register takes it zero-extended. */
template <typename T>
struct Extract {
  template <Encoding E, bool Mem>
  struct Form {
    static bool run(Cpu& cpu, const MicroOp& op) {
      constexpr unsigned N = bytesOf(E);
      if (!usable<E>(cpu)) return false;
      Chunk<N> value;
      readVector<E>(cpu, op.regIndex, value);
      const T lane = laneOf<T>(value, op.immediate & (N / sizeof(T) - 1));
      if constexpr (Mem) return store<T>(cpu, op.segment, addressOf(cpu, op), lane);
      cpu.gpr[op.rmIndex] = lane;
      return true;
    }
  };
};
/** PINSRD and PINSRQ, PEXTRD and PEXTRQ: one opcode by W. */
template <template <typename> class Kind>
struct ByWidth {
  template <Encoding E, bool Mem>
  struct Form {
    static bool run(Cpu& cpu, const MicroOp& op) {
      return op.operandBytes == 8 ? Kind<uint64_t>::template Form<E, Mem>::run(cpu, op)
                                  : Kind<uint32_t>::template Form<E, Mem>::run(cpu, op);
    }
  };
};
/** PEXTRW of MMX and SSE2: to the register of ModRM.reg. */
template <Encoding E, bool Mem>
struct ExtractWord {
  static bool run(Cpu& cpu, const MicroOp& op) {
    constexpr unsigned N = bytesOf(E);
    if (!usable<E>(cpu)) return false;
    if constexpr (E == kMmx64) enterMmx(cpu);
    Chunk<N> value;
    readVector<E>(cpu, op.rmIndex, value);
    cpu.gpr[op.regIndex] = value.u16[op.immediate & (N / 2 - 1)];
    return true;
  }
};
/** INSERTPS: a lane of the source (of memory: the only one), to a lane, and zeros where the immediate says. */
template <Encoding E, bool Mem>
struct InsertPs {
  static bool run(Cpu& cpu, const MicroOp& op) {
    if (!usable<E>(cpu)) return false;
    Chunk<16> source, result;
    if (!readVectorRm<E, Mem, 4, false>(cpu, op, source)) return false;
    readVector<E>(cpu, firstSource<E>(op), result);
    result.u32[op.immediate >> 4 & 3] = source.u32[Mem ? 0 : op.immediate >> 6 & 3];
    for (unsigned i = 0; i < 4; i++) {
      if ((op.immediate >> i & 1) != 0) result.u32[i] = 0;
    }
    writeVector<kXmmOf<E>>(cpu, op.regIndex, result);
    return true;
  }
};

/** 0F 77: EMMS, VZEROUPPER and, with VEX.L, VZEROALL: of the registers that the mode has. */
template <Encoding E, bool Mem>
struct Clear {
  static bool run(Cpu& cpu, const MicroOp&) {
    if (!usable<E>(cpu)) return false;
    if constexpr (E == kMmx64) {
      enterMmx(cpu);
      cpu.x87.used = 0;
      return true;
    }
    for (unsigned i = 0; i < (cpu.code64() ? 16u : 8u); i++) {
      if (E == kVex256) cpu.vectors[i].u64[0] = cpu.vectors[i].u64[1] = 0;
      cpu.vectors[i].u64[2] = cpu.vectors[i].u64[3] = 0;
    }
    return true;
  }
};

}  // namespace

bool notUsable(Cpu& cpu, Encoding encoding) {
  if (encoding == kVex128 || encoding == kVex256) {
    const bool enabled = (cpu.cr4 & kCr4Osxsave) != 0 && (cpu.xcr0 & (kXcr0Sse | kXcr0Avx)) == (kXcr0Sse | kXcr0Avx);
    if (!enabled || !cpu.protectedMode() || cpu.v86()) return raise(cpu, kUd);
  } else {
    if ((cpu.cr0 & kCr0Em) != 0 || (encoding == kSse128 && (cpu.cr4 & kCr4Osfxsr) == 0)) return raise(cpu, kUd);
  }
  if ((cpu.cr0 & kCr0Ts) != 0) return raise(cpu, kNm);
  return raise(cpu, kMf);
}

void enterMmx(Cpu& cpu) {
  cpu.x87.used = 0xff;
  if (cpu.x87.top() != 0) moveTop(cpu.x87, 0);
}

#define FORMS(NAME, ...) const Handlers NAME = kVectorForms<__VA_ARGS__::template Form>
FORMS(kLoadAligned, Load<true>);
FORMS(kLoadUnaligned, Load<false>);
FORMS(kStoreAligned, Store<true>);
FORMS(kStoreUnaligned, Store<false>);
FORMS(kMovssLoad, LoadScalar<4>);
FORMS(kMovsdLoad, LoadScalar<8>);
FORMS(kMovssStore, StoreScalar<4>);
FORMS(kMovsdStore, StoreScalar<8>);
FORMS(kMovlpsLoad, LoadHalf<false>);
FORMS(kMovhpsLoad, LoadHalf<true>);
FORMS(kMovlpsStore, StoreHalf<false>);
FORMS(kMovhpsStore, StoreHalf<true>);
FORMS(kPmovmskb, SignBits<uint8_t>);
FORMS(kMovmskps, SignBits<uint32_t>);
FORMS(kMovmskpd, SignBits<uint64_t>);
FORMS(kPinsrb, Insert<uint8_t>);
FORMS(kPinsrw, Insert<uint16_t>);
FORMS(kPinsrd, ByWidth<Insert>);
FORMS(kPextrb, Extract<uint8_t>);
FORMS(kPextrw, Extract<uint16_t>);
FORMS(kPextrd, ByWidth<Extract>);
FORMS(kExtractps, Extract<uint32_t>);
#undef FORMS
const Handlers kMovdLoad = kVectorForms<FromGeneral>, kMovdStore = kVectorForms<ToGeneral>,
               kMovqLoad = kVectorForms<LoadQuad>, kMovqStore = kVectorForms<StoreQuad>, kMovdq2q = kVectorForms<ToMmx>,
               kMovq2dq = kVectorForms<FromMmx>, kMaskmov = kVectorForms<MaskedBytes>,
               kPextrwReg = kVectorForms<ExtractWord>, kInsertps = kVectorForms<InsertPs>,
               kClearVectors = kVectorForms<Clear>;

}  // namespace vtkit::emulator
