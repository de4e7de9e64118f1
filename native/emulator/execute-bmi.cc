// General-register extensions: BMI1, BMI2, ADX, MOVBE, CRC32, bit counts, random numbers (SDM Vol. 1, 5.1.16, 7.3.17).
#include "emulator/families.h"
#include "emulator/vector-families.h"

namespace vtkit::emulator {

namespace {

/** VEX has no meaning in real and virtual-8086 mode. */
bool vexMode(Cpu& cpu) { return cpu.protectedMode() && !cpu.v86() ? true : raise(cpu, kUd); }

template <typename T>
constexpr unsigned kBits = sizeof(T) * 8;

// Two sources: `T Of::of(cpu, rm, vvvv)`; the destination is ModRM.reg.
template <class Of>
struct VexOperation {
  template <typename T, bool Mem>
  struct Form {
    static bool run(Cpu& cpu, const MicroOp& op) {
      T value;
      if (!vexMode(cpu) || !readRm<T, Mem>(cpu, op, value)) return false;
      writeAt<T>(cpu, op.reg, Of::template of<T>(cpu, value, readGpr<T>(cpu, op.vvvv)));
      return true;
    }
  };
};

struct Andn {
  template <typename T>
  static T of(Cpu& cpu, T value, T mask) {
    const auto result = static_cast<T>(~mask & value);
    setResultFlags<T>(cpu, result, false, false);
    return result;
  }
};
struct Bextr {
  template <typename T>
  static T of(Cpu& cpu, T value, T control) {
    const unsigned start = control & 0xff, length = control >> 8 & 0xff;
    T result = start >= kBits<T> ? T{0} : static_cast<T>(value >> start);
    if (length < kBits<T>) result &= static_cast<T>((T{1} << length) - 1);
    // SF and PF are undefined: clear, as the processors that have it leave them.
    setFlags(cpu, kArithmetic, result == 0 ? kZf : 0);
    return result;
  }
};
struct Bzhi {
  template <typename T>
  static T of(Cpu& cpu, T value, T control) {
    const unsigned from = control & 0xff;
    const T result = from < kBits<T> ? static_cast<T>(value & ((T{1} << from) - 1)) : value;
    setResultFlags<T>(cpu, result, from >= kBits<T>, false);
    return result;
  }
};
struct Pdep {
  template <typename T>
  static T of(Cpu&, T mask, T value) {
    T result = 0;
    for (; mask != 0; mask &= static_cast<T>(mask - 1), value >>= 1) {
      if ((value & 1) != 0) result |= static_cast<T>(mask & (T{0} - mask));
    }
    return result;
  }
};
struct Pext {
  template <typename T>
  static T of(Cpu&, T mask, T value) {
    T result = 0;
    for (unsigned i = 0; mask != 0; mask &= static_cast<T>(mask - 1), i++) {
      if ((value & mask & (T{0} - mask)) != 0) result |= static_cast<T>(T{1} << i);
    }
    return result;
  }
};
struct Shlx {
  template <typename T>
  static T of(Cpu&, T value, T count) {
    constexpr T kMask = sizeof(T) * 8 - 1;
    return static_cast<T>(value << (count & kMask));
  }
};
struct Shrx {
  template <typename T>
  static T of(Cpu&, T value, T count) {
    constexpr T kMask = sizeof(T) * 8 - 1;
    return static_cast<T>(value >> (count & kMask));
  }
};
struct Sarx {
  template <typename T>
  static T of(Cpu&, T value, T count) {
    return static_cast<T>(static_cast<std::make_signed_t<T>>(value) >> (count & (kBits<T> - 1)));
  }
};

/** BLSR, BLSMSK, BLSI: to what VEX names. */
enum class Lowest { reset, mask, isolate };
template <Lowest Kind>
struct LowestBit {
  template <typename T, bool Mem>
  struct Form {
    static bool run(Cpu& cpu, const MicroOp& op) {
      T value;
      if (!vexMode(cpu) || !readRm<T, Mem>(cpu, op, value)) return false;
      const auto below = static_cast<T>(value - 1);
      const T result = Kind == Lowest::reset  ? static_cast<T>(value & below)
                       : Kind == Lowest::mask ? static_cast<T>(value ^ below)
                                              : static_cast<T>(value & (T{0} - value));
      writeGpr<T>(cpu, op.vvvv, result);
      setResultFlags<T>(cpu, result, Kind == Lowest::isolate ? value != 0 : value == 0, false);
      return true;
    }
  };
};

template <typename T, bool Mem>
struct Rorx {
  static bool run(Cpu& cpu, const MicroOp& op) {
    T value;
    if (!vexMode(cpu) || !readRm<T, Mem>(cpu, op, value)) return false;
    const unsigned count = op.immediate & (kBits<T> - 1);
    writeAt<T>(cpu, op.reg, count == 0 ? value : static_cast<T>(value >> count | value << (kBits<T> - count)));
    return true;
  }
};

template <typename T, bool Mem>
struct Mulx {
  static bool run(Cpu& cpu, const MicroOp& op) {
    T value;
    if (!vexMode(cpu) || !readRm<T, Mem>(cpu, op, value)) return false;
    const auto product = static_cast<unsigned __int128>(readGpr<T>(cpu, RDX)) * value;
    writeGpr<T>(cpu, op.vvvv, static_cast<T>(product));
    writeAt<T>(cpu, op.reg, static_cast<T>(product >> kBits<T>));  // of one register for both, the upper half stays
    return true;
  }
};

/** ADCX and ADOX: an addition that reads and writes one flag alone. */
template <uint64_t Flag>
struct AddOneFlag {
  template <typename T, bool Mem>
  struct Form {
    static bool run(Cpu& cpu, const MicroOp& op) {
      T value;
      if (!readRm<T, Mem>(cpu, op, value)) return false;
      const unsigned carry = (flags(cpu) & Flag) != 0 ? 1 : 0;
      const auto sum = static_cast<unsigned __int128>(readAt<T>(cpu, op.reg)) + value + carry;
      writeAt<T>(cpu, op.reg, static_cast<T>(sum));
      setFlags(cpu, Flag, (sum >> kBits<T>) != 0 ? Flag : 0);
      return true;
    }
  };
};

/** LZCNT and TZCNT: of 0 the operand's size, with CF set. SF, OF, PF and AF are undefined: clear. */
template <bool Leading>
struct CountZeros {
  template <typename T, bool Mem>
  struct Form {
    static bool run(Cpu& cpu, const MicroOp& op) {
      T value;
      if (!readRm<T, Mem>(cpu, op, value)) return false;
      unsigned count = kBits<T>;
      if (value != 0) {
        const auto wide = static_cast<uint64_t>(value);
        count = static_cast<unsigned>(Leading ? __builtin_clzll(wide) - static_cast<int>(64 - kBits<T>)
                                              : __builtin_ctzll(wide));
      }
      writeAt<T>(cpu, op.reg, static_cast<T>(count));
      setFlags(cpu, kArithmetic, (value == 0 ? kCf : 0) | (count == 0 ? kZf : 0));
      return true;
    }
  };
};

template <typename T>
T reversed(T value) {
  if constexpr (sizeof(T) == 8) return __builtin_bswap64(value);
  if constexpr (sizeof(T) == 4) return __builtin_bswap32(value);
  if constexpr (sizeof(T) == 2) return __builtin_bswap16(value);
  return value;
}
template <typename T, bool Mem>
struct MovbeLoad {
  static bool run(Cpu& cpu, const MicroOp& op) {
    T value;
    if (!readRm<T, Mem>(cpu, op, value)) return false;
    writeAt<T>(cpu, op.reg, reversed(value));
    return true;
  }
};
template <typename T, bool Mem>
struct MovbeStore {
  static bool run(Cpu& cpu, const MicroOp& op) { return writeRm<T, Mem>(cpu, op, reversed(readAt<T>(cpu, op.reg))); }
};

/** CRC32 by the polynomial 11EDC6F41, bit-reflected. */
struct CrcTable {
  uint32_t of[256];
  constexpr CrcTable() : of() {
    for (uint32_t i = 0; i < 256; i++) {
      uint32_t value = i;
      for (unsigned k = 0; k < 8; k++) value = value >> 1 ^ ((value & 1) != 0 ? 0x82f63b78 : 0);
      of[i] = value;
    }
  }
};
constexpr CrcTable kCrc;

template <typename T, bool Mem>
struct Crc32 {
  static bool run(Cpu& cpu, const MicroOp& op) {
    T value;
    if (!readRm<T, Mem>(cpu, op, value)) return false;
    auto crc = static_cast<uint32_t>(cpu.gpr[op.regIndex]);
    for (unsigned i = 0; i < sizeof(T); i++)
      crc = crc >> 8 ^ kCrc.of[(crc ^ static_cast<uint8_t>(value >> 8 * i)) & 0xff];
    cpu.gpr[op.regIndex] = crc;
    return true;
  }
};

/** RDRAND and RDSEED: a sequence that the seed determines, so that runs repeat (SplitMix64). */
template <typename T>
bool random(Cpu& cpu, const MicroOp& op) {
  uint64_t value = cpu.randomState += 0x9e3779b97f4a7c15;
  value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
  value = (value ^ value >> 27) * 0x94d049bb133111eb;
  writeGpr<T>(cpu, op.rmIndex, static_cast<T>(value ^ value >> 31));
  setFlags(cpu, kArithmetic, kCf);
  return true;
}
VTKIT_SIZED(random);

bool rdpid(Cpu& cpu, const MicroOp& op) {
  cpu.gpr[op.rmIndex] = cpu.tscAux;
  return true;
}

/** CLFLUSH, CLFLUSHOPT, CLWB: there is no cache, but the address has to be readable. */
bool flushLine(Cpu& cpu, const MicroOp& op) {
  uint8_t value;
  return load<uint8_t>(cpu, op.segment, addressOf(cpu, op), value);
}

}  // namespace

const Handlers kAndn = kFamily<VexOperation<Andn>::Form>, kBextr = kFamily<VexOperation<Bextr>::Form>,
               kBzhi = kFamily<VexOperation<Bzhi>::Form>, kPdep = kFamily<VexOperation<Pdep>::Form>,
               kPext = kFamily<VexOperation<Pext>::Form>, kShlx = kFamily<VexOperation<Shlx>::Form>,
               kShrx = kFamily<VexOperation<Shrx>::Form>, kSarx = kFamily<VexOperation<Sarx>::Form>,
               kBlsr = kFamily<LowestBit<Lowest::reset>::Form>, kBlsmsk = kFamily<LowestBit<Lowest::mask>::Form>,
               kBlsi = kFamily<LowestBit<Lowest::isolate>::Form>, kRorx = kFamily<Rorx>, kMulx = kFamily<Mulx>,
               kAdcx = kFamily<AddOneFlag<kCf>::Form>, kAdox = kFamily<AddOneFlag<kOf>::Form>,
               kLzcnt = kFamily<CountZeros<true>::Form>, kTzcnt = kFamily<CountZeros<false>::Form>,
               kMovbeLoad = kFamily<MovbeLoad>, kMovbeStore = kFamily<MovbeStore>, kCrc32 = kFamily<Crc32>,
               kRandom = kFamily<randomFamily>, kRdpid = kPlain<rdpid>, kLineFlush = kPlain<flushLine>;

}  // namespace vtkit::emulator
