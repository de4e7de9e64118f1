// Addition, logic, comparison, increments, and what sets flags like them (SDM Vol. 1, 7.3.2, 7.3.4).
#include "emulator/families.h"

namespace vtkit::emulator {

namespace {

struct Add {
  static constexpr bool kWrites = true;
  template <typename T>
  static T apply(Cpu& cpu, T a, T b) {
    const T result = static_cast<T>(a + b);
    keepFlags<T>(cpu, LazyFlags::add, a, b, result);
    return result;
  }
};
struct Adc {
  static constexpr bool kWrites = true;
  template <typename T>
  static T apply(Cpu& cpu, T a, T b) {
    const T result = static_cast<T>(a + b + (cf(cpu) ? 1 : 0));
    keepFlags<T>(cpu, LazyFlags::add, a, b, result);
    return result;
  }
};
struct Sub {
  static constexpr bool kWrites = true;
  template <typename T>
  static T apply(Cpu& cpu, T a, T b) {
    const T result = static_cast<T>(a - b);
    keepFlags<T>(cpu, LazyFlags::sub, a, b, result);
    return result;
  }
};
struct Sbb {
  static constexpr bool kWrites = true;
  template <typename T>
  static T apply(Cpu& cpu, T a, T b) {
    const T result = static_cast<T>(a - b - (cf(cpu) ? 1 : 0));
    keepFlags<T>(cpu, LazyFlags::sub, a, b, result);
    return result;
  }
};
struct Cmp {
  static constexpr bool kWrites = false;
  template <typename T>
  static T apply(Cpu& cpu, T a, T b) {
    return Sub::apply<T>(cpu, a, b);
  }
};
struct And {
  static constexpr bool kWrites = true;
  template <typename T>
  static T apply(Cpu& cpu, T a, T b) {
    const T result = a & b;
    keepFlags<T>(cpu, LazyFlags::logic, a, b, result);
    return result;
  }
};
struct Test {
  static constexpr bool kWrites = false;
  template <typename T>
  static T apply(Cpu& cpu, T a, T b) {
    return And::apply<T>(cpu, a, b);
  }
};
struct Or {
  static constexpr bool kWrites = true;
  template <typename T>
  static T apply(Cpu& cpu, T a, T b) {
    const T result = a | b;
    keepFlags<T>(cpu, LazyFlags::logic, a, b, result);
    return result;
  }
};
struct Xor {
  static constexpr bool kWrites = true;
  template <typename T>
  static T apply(Cpu& cpu, T a, T b) {
    const T result = a ^ b;
    keepFlags<T>(cpu, LazyFlags::logic, a, b, result);
    return result;
  }
};

/** op r/m, source. The store comes before the flags are kept: a fault leaves them as they were. */
template <class Operation, typename T, bool Mem>
bool applyToRm(Cpu& cpu, const MicroOp& op, T source) {
  T value;
  if constexpr (!Operation::kWrites) {
    if (!readRm<T, Mem>(cpu, op, value)) return false;
    Operation::template apply<T>(cpu, value, source);
    return true;
  }
  if (!readForWrite<T, Mem>(cpu, op, value)) return false;
  return writeRm<T, Mem>(cpu, op, Operation::template apply<T>(cpu, value, source));
}

template <class Operation>
struct Alu {
  template <typename T, bool Mem>
  struct RmReg {
    static bool run(Cpu& cpu, const MicroOp& op) {
      return applyToRm<Operation, T, Mem>(cpu, op, readAt<T>(cpu, op.reg));
    }
  };
  template <typename T, bool Mem>
  struct RmImm {
    static bool run(Cpu& cpu, const MicroOp& op) {
      return applyToRm<Operation, T, Mem>(cpu, op, static_cast<T>(op.immediate));
    }
  };
  template <typename T, bool Mem>
  struct RegRm {
    static bool run(Cpu& cpu, const MicroOp& op) {
      T source;
      if (!readRm<T, Mem>(cpu, op, source)) return false;
      const T result = Operation::template apply<T>(cpu, readAt<T>(cpu, op.reg), source);
      if constexpr (Operation::kWrites) writeAt<T>(cpu, op.reg, result);
      return true;
    }
  };
  template <typename T, bool Mem>
  struct AccImm {
    static bool run(Cpu& cpu, const MicroOp& op) {
      const T result = Operation::template apply<T>(cpu, readGpr<T>(cpu, RAX), static_cast<T>(op.immediate));
      if constexpr (Operation::kWrites) writeGpr<T>(cpu, RAX, result);
      return true;
    }
  };
};

/** INC and DEC keep CF. */
template <int Step, typename T, bool Mem>
bool step(Cpu& cpu, const MicroOp& op) {
  T value;
  if (!readForWrite<T, Mem>(cpu, op, value)) return false;
  const T result = static_cast<T>(value + Step);
  if (!writeRm<T, Mem>(cpu, op, result)) return false;
  cpu.lazy.carry = cf(cpu);
  keepFlags<T>(cpu, Step > 0 ? LazyFlags::increment : LazyFlags::decrement, value, T{1}, result);
  return true;
}
template <typename T, bool Mem>
struct Inc {
  static bool run(Cpu& cpu, const MicroOp& op) { return step<1, T, Mem>(cpu, op); }
};
template <typename T, bool Mem>
struct Dec {
  static bool run(Cpu& cpu, const MicroOp& op) { return step<-1, T, Mem>(cpu, op); }
};

template <typename T, bool Mem>
struct Not {
  static bool run(Cpu& cpu, const MicroOp& op) {
    T value;
    return readForWrite<T, Mem>(cpu, op, value) && writeRm<T, Mem>(cpu, op, static_cast<T>(~value));
  }
};
template <typename T, bool Mem>
struct Neg {
  static bool run(Cpu& cpu, const MicroOp& op) {
    T value;
    if (!readForWrite<T, Mem>(cpu, op, value)) return false;
    return writeRm<T, Mem>(cpu, op, Sub::apply<T>(cpu, T{0}, value));
  }
};

template <typename T, bool Mem>
struct Xadd {
  static bool run(Cpu& cpu, const MicroOp& op) {
    T value;
    if (!readForWrite<T, Mem>(cpu, op, value)) return false;
    const T addend = readAt<T>(cpu, op.reg);
    if (!writeRm<T, Mem>(cpu, op, static_cast<T>(value + addend))) return false;
    if constexpr (Mem) {
      writeAt<T>(cpu, op.reg, value);
      Add::apply<T>(cpu, value, addend);
    } else {
      const T sum = Add::apply<T>(cpu, value, addend);
      writeAt<T>(cpu, op.reg, value);
      writeAt<T>(cpu, op.rm, sum);  // last: both may be the same register
    }
    return true;
  }
};

template <typename T, bool Mem>
struct Cmpxchg {
  static bool run(Cpu& cpu, const MicroOp& op) {
    T value;
    if (!readForWrite<T, Mem>(cpu, op, value)) return false;
    const T expected = readGpr<T>(cpu, RAX);
    const bool equal = value == expected;
    // Memory is written either way, with its own value if the comparison fails.
    if (equal || Mem) {
      if (!writeRm<T, Mem>(cpu, op, equal ? readAt<T>(cpu, op.reg) : value)) return false;
    }
    Sub::apply<T>(cpu, expected, value);
    if (!equal) writeGpr<T>(cpu, RAX, value);
    return true;
  }
};

// Eight bytes are one access, which a device sees; sixteen are two.

bool loadBoth(Cpu& cpu, unsigned segment, uint64_t offset, uint32_t& low, uint32_t& high) {
  uint64_t both;
  if (!load<uint64_t>(cpu, segment, offset, both)) return false;
  low = static_cast<uint32_t>(both);
  high = static_cast<uint32_t>(both >> 32);
  return true;
}
bool loadBoth(Cpu& cpu, unsigned segment, uint64_t offset, uint64_t& low, uint64_t& high) {
  return load<uint64_t>(cpu, segment, offset, low) && load<uint64_t>(cpu, segment, offset + 8, high);
}
bool storeBoth(Cpu& cpu, unsigned segment, uint64_t offset, uint32_t low, uint32_t high) {
  return store<uint64_t>(cpu, segment, offset, uint64_t{high} << 32 | low);
}
bool storeBoth(Cpu& cpu, unsigned segment, uint64_t offset, uint64_t low, uint64_t high) {
  return store<uint64_t>(cpu, segment, offset, low) && store<uint64_t>(cpu, segment, offset + 8, high);
}

/** CMPXCHG8B and CMPXCHG16B: operand size 64 means the wide form. */
template <typename T, bool Mem>
struct Cmpxchg8b {
  static bool run(Cpu& cpu, const MicroOp& op) {
    if constexpr (!Mem || sizeof(T) == 1) return raise(cpu, kUd);
    using Half = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;
    const uint64_t offset = addressOf(cpu, op);
    uint64_t linear;
    if (!linearOf(cpu, op.segment, offset, 2 * sizeof(Half), true, linear)) return false;
    if (sizeof(Half) == 8 && (linear & 15) != 0) return gp(cpu);
    if (!probeWrite(cpu, op.segment, offset, 2 * sizeof(Half))) return false;
    Half low, high;
    if (!loadBoth(cpu, op.segment, offset, low, high)) return false;
    const bool equal = low == readGpr<Half>(cpu, RAX) && high == readGpr<Half>(cpu, RDX);
    const Half newLow = equal ? readGpr<Half>(cpu, RBX) : low;
    const Half newHigh = equal ? readGpr<Half>(cpu, RCX) : high;
    if (!storeBoth(cpu, op.segment, offset, newLow, newHigh)) return false;
    if (!equal) {
      writeGpr<Half>(cpu, RAX, low);
      writeGpr<Half>(cpu, RDX, high);
    }
    setFlags(cpu, kZf, equal ? kZf : 0);
    return true;
  }
};

// Decimal adjustment (SDM Vol. 2A, AAA to AAS, DAA, DAS)

bool daa(Cpu& cpu, const MicroOp&) {
  uint8_t al = readGpr<uint8_t>(cpu, RAX);
  const uint8_t old = al;
  const bool oldCarry = cf(cpu);
  bool carry = false, adjust = false;
  if ((al & 0x0f) > 9 || af(cpu)) {
    al = static_cast<uint8_t>(al + 6);
    carry = oldCarry || old > 0xf9;
    adjust = true;
  }
  if (old > 0x99 || oldCarry) {
    al = static_cast<uint8_t>(al + 0x60);
    carry = true;
  }
  writeAt<uint8_t>(cpu, 0, al);
  setResultFlags<uint8_t>(cpu, al, carry, false, adjust);
  return true;
}

bool das(Cpu& cpu, const MicroOp&) {
  uint8_t al = readGpr<uint8_t>(cpu, RAX);
  const uint8_t old = al;
  const bool oldCarry = cf(cpu);
  bool carry = false, adjust = false;
  if ((al & 0x0f) > 9 || af(cpu)) {
    al = static_cast<uint8_t>(al - 6);
    carry = oldCarry || old < 6;
    adjust = true;
  }
  if (old > 0x99 || oldCarry) {
    al = static_cast<uint8_t>(al - 0x60);
    carry = true;
  }
  writeAt<uint8_t>(cpu, 0, al);
  setResultFlags<uint8_t>(cpu, al, carry, false, adjust);
  return true;
}

template <int Sign>
bool asciiAdjust(Cpu& cpu, const MicroOp&) {
  uint16_t ax = readGpr<uint16_t>(cpu, RAX);
  const bool adjust = (ax & 0x0f) > 9 || af(cpu);
  if (adjust) ax = static_cast<uint16_t>(ax + Sign * 0x106);
  ax &= 0xff0f;
  writeAt<uint16_t>(cpu, 0, ax);
  setResultFlags<uint8_t>(cpu, static_cast<uint8_t>(ax), adjust, false, adjust);
  return true;
}

bool aam(Cpu& cpu, const MicroOp& op) {
  const auto divisor = static_cast<uint8_t>(op.immediate);
  if (divisor == 0) return raise(cpu, kDe);
  const uint8_t al = readGpr<uint8_t>(cpu, RAX);
  const auto low = static_cast<uint8_t>(al % divisor);
  writeAt<uint16_t>(cpu, 0, static_cast<uint16_t>(al / divisor << 8 | low));
  setResultFlags<uint8_t>(cpu, low, false, false);
  return true;
}

bool aad(Cpu& cpu, const MicroOp& op) {
  const uint16_t ax = readGpr<uint16_t>(cpu, RAX);
  const auto al = static_cast<uint8_t>((ax & 0xff) + (ax >> 8) * static_cast<uint8_t>(op.immediate));
  writeAt<uint16_t>(cpu, 0, al);
  setResultFlags<uint8_t>(cpu, al, false, false);
  return true;
}

}  // namespace

#define ALU_OF(NAME, AFTER)                                                                        \
  const AluHandlers k##NAME = {kFamily<Alu<NAME>::RmReg, AFTER>, kFamily<Alu<NAME>::RegRm, AFTER>, \
                               kFamily<Alu<NAME>::RmImm, AFTER>, kFamily<Alu<NAME>::AccImm, AFTER>}
ALU_OF(Add, Result::unknown);
ALU_OF(Or, Result::logical);
ALU_OF(Adc, Result::unknown);
ALU_OF(Sbb, Result::unknown);
ALU_OF(And, Result::logical);
ALU_OF(Sub, Result::compared);
ALU_OF(Xor, Result::logical);
ALU_OF(Cmp, Result::compared);
ALU_OF(Test, Result::logical);
#undef ALU_OF

const Handlers kInc = kFamily<Inc>, kDec = kFamily<Dec>, kNot = kFamily<Not>, kNeg = kFamily<Neg>,
               kXadd = kFamily<Xadd>, kCmpxchg = kFamily<Cmpxchg>, kCmpxchg8b = kFamily<Cmpxchg8b>, kDaa = kPlain<daa>,
               kDas = kPlain<das>, kAaa = kPlain<asciiAdjust<1>>, kAas = kPlain<asciiAdjust<-1>>, kAam = kPlain<aam>,
               kAad = kPlain<aad>;

}  // namespace vtkit::emulator
