// Conversions between integers and single and double precision numbers (SDM Vol. 1, 5.5.1.6, 5.6.1.6).
#include "emulator/float-forms.h"
#include "emulator/vector-families.h"

namespace vtkit::emulator {

namespace {

VTKIT_HOST_OP(Dq2Ps, "cvtdq2ps");
VTKIT_HOST_OP(Dq2Pd, "cvtdq2pd");
VTKIT_HOST_OP(Ps2Dq, "cvtps2dq");
VTKIT_HOST_OP(Tps2Dq, "cvttps2dq");
VTKIT_HOST_OP(Pd2Dq, "cvtpd2dq");
VTKIT_HOST_OP(Tpd2Dq, "cvttpd2dq");
VTKIT_HOST_OP(Ps2Pd, "cvtps2pd");
VTKIT_HOST_OP(Pd2Ps, "cvtpd2ps");
VTKIT_HOST_OP(Ss2Sd, "cvtss2sd");
VTKIT_HOST_OP(Sd2Ss, "cvtsd2ss");

/** Twice as wide results: of 128 bits from 64, of 256 from 128. */
template <class Host>
struct Widen {
  template <Encoding E, bool Mem>
  struct Form {
    static bool run(Cpu& cpu, const MicroOp& op) {
      constexpr Encoding To = E == kMmx64 ? kSse128 : E;
      constexpr unsigned N = bytesOf(To);
      if (!usable<To>(cpu)) return false;
      Chunk<16> source, part;
      Chunk<N> result;
      if (!readVectorRm<To, Mem, N / 2, false>(cpu, op, source)) return false;
      uint32_t flags = 0;
      for (unsigned i = 0; i < N / 16; i++) {
        Chunk<16> from = {};
        from.u64[0] = source.u64[i];
        flags |= HostOp<Host>::run(cpu, part, from, from, 0);
        std::memcpy(result.u8 + 16 * i, part.u8, 16);
      }
      if (!finishFloat(cpu, flags)) return false;
      writeVector<To>(cpu, op.regIndex, result);
      return true;
    }
  };
};

/** Half as wide results: 64 or 128 bits, and zeros. */
template <class Operation>
struct Narrow {
  template <Encoding E, bool Mem>
  struct Form {
    static bool run(Cpu& cpu, const MicroOp& op) {
      constexpr Encoding From = E == kMmx64 ? kSse128 : E;
      constexpr unsigned N = bytesOf(From);
      if (!usable<From>(cpu)) return false;
      Chunk<N> source;
      if (!readVectorRm<From, Mem, N, From == kSse128>(cpu, op, source)) return false;
      Chunk<16> result = {};
      uint32_t flags = 0;
      for (unsigned i = 0; i < N / 16; i++) {
        Chunk<16> from, part;
        std::memcpy(from.u8, source.u8 + 16 * i, 16);
        flags |= Operation::run(cpu, part, from, from, 0);
        result.u64[i] = part.u64[0];
      }
      if (!finishFloat(cpu, flags)) return false;
      writeVector<kXmmOf<From>>(cpu, op.regIndex, result);
      return true;
    }
  };
};

// MMX registers to XMM and back -----------------------------------------------------------------------------------

/** CVTPI2PS and CVTPI2PD: MMX state is touched only where the source is a register of it. */
template <class Host, bool KeepsHigh>
struct FromMmxIntegers {
  template <Encoding E, bool Mem>
  struct Form {
    static bool run(Cpu& cpu, const MicroOp& op) {
      if (!usable<kSse128>(cpu)) return false;
      if (!Mem && !usable<kMmx64>(cpu)) return false;
      Chunk<8> source;
      if (!readVectorRm<kMmx64, Mem, 8, false>(cpu, op, source)) return false;
      Chunk<16> from = {}, result;
      from.u64[0] = source.u64[0];
      const uint32_t flags = HostOp<Host>::run(cpu, result, from, from, 0);
      if (!finishFloat(cpu, flags)) return false;
      if constexpr (KeepsHigh) result.u64[1] = cpu.vectors[op.regIndex].u64[1];
      writeVector<kSse128>(cpu, op.regIndex, result);
      return true;
    }
  };
};
/** CVTPS2PI, CVTTPS2PI (of 8 bytes), CVTPD2PI and CVTTPD2PI (of 16). */
template <class Host, unsigned Bytes>
struct ToMmxIntegers {
  template <Encoding E, bool Mem>
  struct Form {
    static bool run(Cpu& cpu, const MicroOp& op) {
      if (!usable<kSse128>(cpu) || !usable<kMmx64>(cpu)) return false;
      Chunk<16> source, result;
      if (!readVectorRm<kSse128, Mem, Bytes, Bytes == 16>(cpu, op, source)) return false;
      if constexpr (Bytes == 8) source.u64[1] = 0;
      const uint32_t flags = HostOp<Host>::run(cpu, result, source, source, 0);
      enterMmx(cpu);
      if (!finishFloat(cpu, flags)) return false;
      Chunk<8> low;
      low.u64[0] = result.u64[0];
      writeVector<kMmx64>(cpu, op.regIndex, low);
      return true;
    }
  };
};

// General registers ---------------------------------------------------------------------------------------------------

#ifdef VTKIT_HOST_FLOAT
#define VTKIT_HOST_PAIR(NAME, BODY) \
  struct NAME {                     \
    static void on BODY             \
  }
#else
#define VTKIT_HOST_PAIR(NAME, BODY) \
  struct NAME {                     \
    template <typename... Any>      \
    static void on(Any&&...) {}     \
  }
#endif
#define FROM_INTEGER(NAME, INSTRUCTION)                          \
  VTKIT_HOST_PAIR(                                               \
      NAME,                                                      \
      (Xmm & x, uint32_t i) {                                    \
        asm volatile(INSTRUCTION "l %1, %0" : "+x"(x) : "r"(i)); \
      } static void on(Xmm& x, uint64_t i) {                     \
        asm volatile(INSTRUCTION "q %1, %0" : "+x"(x) : "r"(i)); \
      })
#define TO_INTEGER(NAME, INSTRUCTION)                           \
  VTKIT_HOST_PAIR(                                              \
      NAME,                                                     \
      (const Xmm& x, uint32_t& i) {                             \
        asm volatile(INSTRUCTION " %1, %0" : "=r"(i) : "x"(x)); \
      } static void on(const Xmm& x, uint64_t& i) {             \
        asm volatile(INSTRUCTION " %1, %0" : "=r"(i) : "x"(x)); \
      })
FROM_INTEGER(Si2Ss, "cvtsi2ss");
FROM_INTEGER(Si2Sd, "cvtsi2sd");
TO_INTEGER(Ss2Si, "cvtss2si");
TO_INTEGER(Sd2Si, "cvtsd2si");
TO_INTEGER(Tss2Si, "cvttss2si");
TO_INTEGER(Tsd2Si, "cvttsd2si");
#undef FROM_INTEGER
#undef TO_INTEGER
#undef VTKIT_HOST_PAIR

template <class Host>
struct FromInteger {
  template <Encoding E, bool Mem, typename T>
  static bool convert(Cpu& cpu, const MicroOp& op) {
    T integer;
    if (!readRm<T, Mem>(cpu, op, integer)) return false;
    Chunk<16> value;
    readVector<kXmmOf<E>>(cpu, firstSource<kXmmOf<E>>(op), value);
    Xmm x = xmmOf(value);
    if (!finishFloat(cpu, onHost(cpu, [&] { Host::on(x, integer); }))) return false;
    std::memcpy(value.u8, &x, 16);
    writeVector<kXmmOf<E>>(cpu, op.regIndex, value);
    return true;
  }
  template <Encoding E, bool Mem>
  struct Form {
    static bool run(Cpu& cpu, const MicroOp& op) {
      if (!usable<kXmmOf<E>>(cpu)) return false;
      return op.operandBytes == 8 ? convert<E, Mem, uint64_t>(cpu, op) : convert<E, Mem, uint32_t>(cpu, op);
    }
  };
};

template <class Host, unsigned Bytes>
struct ToInteger {
  template <typename T>
  static bool convert(Cpu& cpu, const MicroOp& op, const Chunk<16>& source) {
    const Xmm x = xmmOf(source);
    T integer = 0;
    if (!finishFloat(cpu, onHost(cpu, [&] { Host::on(x, integer); }))) return false;
    writeGpr<T>(cpu, op.regIndex, integer);
    return true;
  }
  template <Encoding E, bool Mem>
  struct Form {
    static bool run(Cpu& cpu, const MicroOp& op) {
      if (!usable<kXmmOf<E>>(cpu)) return false;
      Chunk<16> source;
      if (!readVectorRm<kXmmOf<E>, Mem, Bytes, false>(cpu, op, source)) return false;
      return op.operandBytes == 8 ? convert<uint64_t>(cpu, op, source) : convert<uint32_t>(cpu, op, source);
    }
  };
};

}  // namespace

template <class Host>
inline constexpr Handlers kSame = kVectorForms<FloatForm<HostOp<Host>, uint32_t, false>::template Form>;
const Handlers kCvtdq2ps = kSame<Dq2Ps>, kCvtps2dq = kSame<Ps2Dq>, kCvttps2dq = kSame<Tps2Dq>,
               kCvtdq2pd = kVectorForms<Widen<Dq2Pd>::Form>, kCvtps2pd = kVectorForms<Widen<Ps2Pd>::Form>,
               kCvtpd2dq = kVectorForms<Narrow<HostOp<Pd2Dq>>::Form>,
               kCvttpd2dq = kVectorForms<Narrow<HostOp<Tpd2Dq>>::Form>,
               kCvtpd2ps = kVectorForms<Narrow<HostOp<Pd2Ps, Range::product, uint64_t, 2, uint32_t>>::Form>,
               kCvtss2sd = kVectorForms<FloatForm<HostOp<Ss2Sd>, uint32_t, true>::Form>,
               kCvtpi2ps = kVectorForms<FromMmxIntegers<Dq2Ps, true>::Form>,
               kCvtpi2pd = kVectorForms<FromMmxIntegers<Dq2Pd, false>::Form>,
               kCvtps2pi = kVectorForms<ToMmxIntegers<Ps2Dq, 8>::Form>,
               kCvttps2pi = kVectorForms<ToMmxIntegers<Tps2Dq, 8>::Form>,
               kCvtpd2pi = kVectorForms<ToMmxIntegers<Pd2Dq, 16>::Form>,
               kCvttpd2pi = kVectorForms<ToMmxIntegers<Tpd2Dq, 16>::Form>,
               kCvtsi2ss = kVectorForms<FromInteger<Si2Ss>::Form>, kCvtsi2sd = kVectorForms<FromInteger<Si2Sd>::Form>,
               kCvtss2si = kVectorForms<ToInteger<Ss2Si, 4>::Form>,
               kCvttss2si = kVectorForms<ToInteger<Tss2Si, 4>::Form>,
               kCvtsd2si = kVectorForms<ToInteger<Sd2Si, 8>::Form>,
               kCvttsd2si = kVectorForms<ToInteger<Tsd2Si, 8>::Form>,
               kCvtsd2ss =
                   kVectorForms<FloatForm<HostOp<Sd2Ss, Range::product, uint64_t, 1, uint32_t>, uint64_t, true>::Form>;

}  // namespace vtkit::emulator
