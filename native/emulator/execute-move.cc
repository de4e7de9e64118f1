// Data movement, the stack, and single flags (SDM Vol. 1, 7.3.1, 7.3.13, 7.3.14).
#include "emulator/execute-protection.h"
#include "emulator/families.h"
#include "emulator/system.h"
#include "emulator/virtual-flag.h"

namespace vtkit::emulator {

namespace {

template <typename T, bool Mem>
struct MovRmReg {
  static bool run(Cpu& cpu, const MicroOp& op) { return writeRm<T, Mem>(cpu, op, readAt<T>(cpu, op.reg)); }
};
template <typename T, bool Mem>
struct MovRegRm {
  static bool run(Cpu& cpu, const MicroOp& op) {
    T value;
    if (!readRm<T, Mem>(cpu, op, value)) return false;
    writeAt<T>(cpu, op.reg, value);
    return true;
  }
};
template <typename T, bool Mem>
struct MovRmImm {
  static bool run(Cpu& cpu, const MicroOp& op) { return writeRm<T, Mem>(cpu, op, static_cast<T>(op.immediate)); }
};
template <typename T, bool Mem>
struct MovAccMoffs {
  static bool run(Cpu& cpu, const MicroOp& op) {
    T value;
    if (!load<T>(cpu, op.segment, addressOf(cpu, op), value)) return false;
    writeGpr<T>(cpu, RAX, value);
    return true;
  }
};
template <typename T, bool Mem>
struct MovMoffsAcc {
  static bool run(Cpu& cpu, const MicroOp& op) {
    return store<T>(cpu, op.segment, addressOf(cpu, op), readGpr<T>(cpu, RAX));
  }
};
template <typename T, bool Mem>
struct Lea {
  static bool run(Cpu& cpu, const MicroOp& op) {
    writeAt<T>(cpu, op.reg, static_cast<T>(addressOf(cpu, op)));
    return true;
  }
};
template <typename T, bool Mem>
struct XchgRm {
  static bool run(Cpu& cpu, const MicroOp& op) {
    T value;
    if (!readForWrite<T, Mem>(cpu, op, value)) return false;
    const T other = readAt<T>(cpu, op.reg);
    if (!writeRm<T, Mem>(cpu, op, other)) return false;
    writeAt<T>(cpu, op.reg, value);
    return true;
  }
};
template <typename T, bool Prefixed>
struct XchgAcc {
  static bool run(Cpu& cpu, const MicroOp& op) {
    if (op.regIndex == RAX) {  // NOP, or PAUSE with F3
      if (Prefixed && op.repeat == 0xf3) pause(cpu);
      return true;
    }
    const T value = readGpr<T>(cpu, RAX);
    writeGpr<T>(cpu, RAX, readAt<T>(cpu, op.reg));
    writeAt<T>(cpu, op.reg, value);
    return true;
  }
};
template <typename T>
bool bswap(Cpu& cpu, const MicroOp& op) {
  if constexpr (sizeof(T) == 8) {
    writeAt<T>(cpu, op.reg, __builtin_bswap64(readAt<uint64_t>(cpu, op.reg)));
  } else if constexpr (sizeof(T) == 4) {
    writeAt<T>(cpu, op.reg, __builtin_bswap32(readAt<uint32_t>(cpu, op.reg)));
  } else {
    writeAt<T>(cpu, op.reg, T{0});  // undefined for 16 bits: processors clear them
  }
  return true;
}
VTKIT_SIZED(bswap);

template <typename From, bool Signed>
struct Extend {
  template <typename T, bool Mem>
  struct Form {
    static bool run(Cpu& cpu, const MicroOp& op) {
      From value;
      if (!readRm<From, Mem>(cpu, op, value)) return false;
      if constexpr (Signed) {
        writeAt<T>(cpu, op.reg, static_cast<T>(static_cast<std::make_signed_t<From>>(value)));
      } else {
        writeAt<T>(cpu, op.reg, static_cast<T>(value));
      }
      return true;
    }
  };
};

template <typename T>
bool cbw(Cpu& cpu, const MicroOp&) {
  if constexpr (sizeof(T) == 2) writeGpr<T>(cpu, RAX, static_cast<T>(static_cast<int8_t>(cpu.gpr[RAX])));
  if constexpr (sizeof(T) == 4) writeGpr<T>(cpu, RAX, static_cast<T>(static_cast<int16_t>(cpu.gpr[RAX])));
  if constexpr (sizeof(T) == 8) writeGpr<T>(cpu, RAX, static_cast<T>(static_cast<int32_t>(cpu.gpr[RAX])));
  return true;
}
VTKIT_SIZED(cbw);

template <typename T>
bool cwd(Cpu& cpu, const MicroOp&) {
  const bool negative = (readGpr<T>(cpu, RAX) >> (sizeof(T) * 8 - 1) & 1) != 0;
  writeGpr<T>(cpu, RDX, negative ? static_cast<T>(~T{0}) : T{0});
  return true;
}
VTKIT_SIZED(cwd);

template <unsigned Code>
struct Cmov {
  template <typename T, bool Mem>
  struct Form {
    static bool run(Cpu& cpu, const MicroOp& op) {
      T value;
      if (!readRm<T, Mem>(cpu, op, value)) return false;  // read, and 32-bit registers cleared, whatever the condition
      writeAt<T>(cpu, op.reg, condition(cpu, Code) ? value : readAt<T>(cpu, op.reg));
      return true;
    }
  };
};
template <unsigned Code>
struct Setcc {
  template <typename T, bool Mem>
  struct Form {
    static bool run(Cpu& cpu, const MicroOp& op) {
      return writeRm<uint8_t, Mem>(cpu, op, condition(cpu, Code) ? 1 : 0);
    }
  };
};

bool xlat(Cpu& cpu, const MicroOp& op) {
  uint8_t value;
  const uint64_t offset = (cpu.gpr[RBX] + (cpu.gpr[RAX] & 0xff)) & op.addressMask;
  if (!load<uint8_t>(cpu, op.segment, offset, value)) return false;
  writeAt<uint8_t>(cpu, 0, value);
  return true;
}

template <typename T, bool Mem>
struct MovSegment {
  static bool run(Cpu& cpu, const MicroOp& op) {
    if (op.regIndex > GS || op.regIndex == CS) return raise(cpu, kUd);
    uint16_t selector;
    if (!readRm<uint16_t, Mem>(cpu, op, selector) || !loadSegment(cpu, op.regIndex, selector)) return false;
    if (op.regIndex == SS) cpu.shadowNext = cpu.trapBlocked = true;
    return true;
  }
};
template <typename T, bool Mem>
struct StoreSegment {
  static bool run(Cpu& cpu, const MicroOp& op) {
    if (op.regIndex > GS) return raise(cpu, kUd);
    const uint16_t selector = cpu.seg[op.regIndex].selector;
    if constexpr (Mem) return writeRm<uint16_t, Mem>(cpu, op, selector);
    return writeRm<T, Mem>(cpu, op, static_cast<T>(selector));
  }
};

/** LES, LDS, LSS, LFS, LGS. */
template <unsigned Which>
struct LoadFar {
  template <typename T, bool Mem>
  struct Form {
    static bool run(Cpu& cpu, const MicroOp& op) {
      const unsigned seg = Which;
      T offset;
      uint16_t selector;
      const uint64_t address = addressOf(cpu, op);
      if (!load<T>(cpu, op.segment, address, offset) ||
          !load<uint16_t>(cpu, op.segment, (address + sizeof(T)) & op.addressMask, selector) ||
          !loadSegment(cpu, seg, selector)) {
        return false;
      }
      writeAt<T>(cpu, op.reg, offset);
      return true;
    }
  };
};

bool nop(Cpu&, const MicroOp&) { return true; }

template <typename T, bool Mem>
struct Movnti {
  static bool run(Cpu& cpu, const MicroOp& op) {
    if constexpr (!Mem || sizeof(T) < 4) return raise(cpu, kUd);
    return writeRm<T, Mem>(cpu, op, readAt<T>(cpu, op.reg));
  }
};

// The stack
// ------------------------------------------------------------------------------------------------------------

template <typename T>
bool pushReg(Cpu& cpu, const MicroOp& op) {
  return push<T>(cpu, readAt<T>(cpu, op.reg));
}
VTKIT_SIZED(pushReg);
template <typename T>
bool popReg(Cpu& cpu, const MicroOp& op) {
  T value;
  if (!pop<T>(cpu, value)) return false;
  writeAt<T>(cpu, op.reg, value);
  return true;
}
VTKIT_SIZED(popReg);

template <typename T, bool Mem>
struct PushRm {
  static bool run(Cpu& cpu, const MicroOp& op) {
    T value;
    return readRm<T, Mem>(cpu, op, value) && push<T>(cpu, value);
  }
};
template <typename T, bool Mem>
struct PopRm {
  static bool run(Cpu& cpu, const MicroOp& op) {
    if (op.regIndex != 0 && (op.regIndex & 7) != 0) return raise(cpu, kUd);
    const uint64_t rsp = cpu.gpr[RSP];
    T value;
    if (!pop<T>(cpu, value)) return false;
    // The address is computed with RSP after the pop; a fault undoes that.
    if (writeRm<T, Mem>(cpu, op, value)) return true;
    cpu.gpr[RSP] = rsp;
    return false;
  }
};
template <typename T>
bool pushImm(Cpu& cpu, const MicroOp& op) {
  return push<T>(cpu, static_cast<T>(op.immediate));
}
VTKIT_SIZED(pushImm);

/** The segment register of PUSH and POP, from the opcode: 06 to 1F, 0F A0 to A9. */
unsigned namedSegment(const MicroOp& op) {
  const uint8_t opcode = op.opcode;
  if ((opcode & 0xe0) == 0) return opcode >> 3 & 3;
  return (opcode & 8) != 0 ? GS : FS;
}

template <typename T>
bool pushSegment(Cpu& cpu, const MicroOp& op) {
  return push<T>(cpu, static_cast<T>(cpu.seg[namedSegment(op)].selector));
}
VTKIT_SIZED(pushSegment);
template <typename T>
bool popSegment(Cpu& cpu, const MicroOp& op) {
  const uint64_t rsp = cpu.gpr[RSP];
  T value;
  if (!pop<T>(cpu, value)) return false;
  const unsigned seg = namedSegment(op);
  // The stack pointer moves with the old SS: put it back if the load fails.
  if (!loadSegment(cpu, seg, static_cast<uint16_t>(value))) {
    cpu.gpr[RSP] = rsp;
    return false;
  }
  if (seg == SS) cpu.shadowNext = cpu.trapBlocked = true;
  return true;
}
VTKIT_SIZED(popSegment);

template <typename T>
bool pusha(Cpu& cpu, const MicroOp&) {
  const uint64_t rsp = cpu.gpr[RSP];
  for (unsigned i = 0; i < 8; i++) {
    if (!push<T>(cpu, i == RSP ? static_cast<T>(rsp) : readGpr<T>(cpu, i))) {
      cpu.gpr[RSP] = rsp;
      return false;
    }
  }
  return true;
}
VTKIT_SIZED(pusha);
template <typename T>
bool popa(Cpu& cpu, const MicroOp&) {
  const uint64_t rsp = cpu.gpr[RSP];
  T values[8];
  for (int i = 7; i >= 0; i--) {
    if (!pop<T>(cpu, values[i])) {
      cpu.gpr[RSP] = rsp;
      return false;
    }
  }
  for (unsigned i = 0; i < 8; i++) {
    if (i != RSP) writeGpr<T>(cpu, i, values[i]);
  }
  return true;
}
VTKIT_SIZED(popa);

template <typename T>
bool pushf(Cpu& cpu, const MicroOp&) {
  if (imagesVirtualFlag(cpu, sizeof(T))) return push<T>(cpu, static_cast<T>(virtualImage(cpu)));
  if (cpu.v86() && cpu.iopl() < 3) return gp(cpu);
  return push<T>(cpu, static_cast<T>(flags(cpu) & ~(kVm | kRf)));
}
VTKIT_SIZED(pushf);
template <typename T>
bool popf(Cpu& cpu, const MicroOp&) {
  const bool virtually = imagesVirtualFlag(cpu, sizeof(T));
  if (cpu.v86() && cpu.iopl() < 3 && !virtually) return gp(cpu);
  const uint64_t rsp = cpu.gpr[RSP];
  T value;
  if (!pop<T>(cpu, value)) return false;
  if (virtually) {
    if (loadVirtualImage(cpu, value)) return true;
    cpu.gpr[RSP] = rsp;
    return false;
  }
  uint64_t mask = kArithmetic | kTf | kDf | kNt;
  if (sizeof(T) > 2) mask |= kAc | kId;
  if (!cpu.protectedMode() || cpu.cpl == 0) mask |= kIopl;
  if (!cpu.protectedMode() || cpu.cpl <= cpu.iopl()) mask |= kIf;
  if (cpu.v86()) mask &= ~kIopl;
  setFlags(cpu, mask, value);
  if (sizeof(T) > 2) cpu.rflags &= ~kRf;
  return true;
}
VTKIT_SIZED(popf);

template <typename T>
bool enter(Cpu& cpu, const MicroOp& op) {
  const uint64_t rsp = cpu.gpr[RSP], rbp = cpu.gpr[RBP];
  const unsigned nesting = static_cast<unsigned>(op.displacement) & 31;
  const auto undo = [&] {
    cpu.gpr[RSP] = rsp;
    return false;
  };
  if (!push<T>(cpu, static_cast<T>(rbp))) return undo();
  const uint64_t frame = cpu.gpr[RSP];
  for (unsigned i = 1; i < nesting; i++) {
    T value;
    if (!load<T>(cpu, SS, (rbp - i * sizeof(T)) & cpu.stackMask, value) || !push<T>(cpu, value)) return undo();
  }
  if (nesting > 0 && !push<T>(cpu, static_cast<T>(frame))) return undo();
  const uint64_t bottom = (cpu.gpr[RSP] - (op.immediate & 0xffff)) & cpu.stackMask;
  if (!probeWrite(cpu, SS, bottom, sizeof(T))) return undo();
  cpu.gpr[RSP] = (cpu.gpr[RSP] & ~cpu.stackMask) | bottom;
  writeGpr<T>(cpu, RBP, static_cast<T>(frame));
  return true;
}
VTKIT_SIZED(enter);
template <typename T>
bool leave(Cpu& cpu, const MicroOp&) {
  const uint64_t rsp = cpu.gpr[RSP];
  cpu.gpr[RSP] = (rsp & ~cpu.stackMask) | (cpu.gpr[RBP] & cpu.stackMask);
  T value;
  if (!pop<T>(cpu, value)) {
    cpu.gpr[RSP] = rsp;
    return false;
  }
  writeGpr<T>(cpu, RBP, value);
  return true;
}
VTKIT_SIZED(leave);

// Flags
// ------------------------------------------------------------------------------------------------------------------

bool lahf(Cpu& cpu, const MicroOp&) {
  writeAt<uint8_t>(cpu, 1, static_cast<uint8_t>((flags(cpu) & 0xd5) | 2));
  return true;
}
bool sahf(Cpu& cpu, const MicroOp&) {
  setFlags(cpu, kSf | kZf | kAf | kPf | kCf, readAt<uint8_t>(cpu, 1));
  return true;
}
template <uint64_t Mask, uint64_t Value>
bool assign(Cpu& cpu, const MicroOp&) {
  setFlags(cpu, Mask, Value);
  return true;
}
bool cmc(Cpu& cpu, const MicroOp&) {
  setFlags(cpu, kCf, cf(cpu) ? 0 : kCf);
  return true;
}
bool salc(Cpu& cpu, const MicroOp&) {
  writeAt<uint8_t>(cpu, 0, cf(cpu) ? 0xff : 0);
  return true;
}

}  // namespace

const Handlers kMovRmReg = kFamily<MovRmReg>, kMovRegRm = kFamily<MovRegRm>, kMovRmImm = kFamily<MovRmImm>,
               kMovAccMoffs = kReaching<MovAccMoffs>, kMovMoffsAcc = kReaching<MovMoffsAcc>, kLea = kFamily<Lea>,
               kXchgRm = kFamily<XchgRm>, kXchgAcc = kFamily<XchgAcc>, kBswap = kFamily<bswapFamily>,
               kMovzx8 = kFamily<Extend<uint8_t, false>::Form>, kMovzx16 = kFamily<Extend<uint16_t, false>::Form>,
               kMovsx8 = kFamily<Extend<uint8_t, true>::Form>, kMovsx16 = kFamily<Extend<uint16_t, true>::Form>,
               kMovsxd = kFamily<Extend<uint32_t, true>::Form>, kCbw = kFamily<cbwFamily>, kCwd = kFamily<cwdFamily>,
               kXlat = kPlain<xlat>, kMovSegment = kReaching<MovSegment>, kStoreSegment = kReaching<StoreSegment>,
               kLes = kReaching<LoadFar<ES>::Form>, kLds = kReaching<LoadFar<DS>::Form>,
               kLss = kReaching<LoadFar<SS>::Form>, kLfs = kReaching<LoadFar<FS>::Form>,
               kLgs = kReaching<LoadFar<GS>::Form>, kNop = kPlain<nop>, kPushReg = kReaching<pushRegFamily>,
               kPopReg = kReaching<popRegFamily>, kPushRm = kReaching<PushRm>, kPopRm = kReaching<PopRm>,
               kPushImm = kReaching<pushImmFamily>, kPushSegment = kReaching<pushSegmentFamily>,
               kPopSegment = kReaching<popSegmentFamily>, kPusha = kReaching<pushaFamily>,
               kPopa = kReaching<popaFamily>, kPushf = kReaching<pushfFamily>, kPopf = kReaching<popfFamily>,
               kEnter = kReaching<enterFamily>, kLeave = kReaching<leaveFamily>, kLahf = kPlain<lahf>,
               kSahf = kPlain<sahf>, kClc = kPlain<assign<kCf, 0>>, kStc = kPlain<assign<kCf, kCf>>, kCmc = kPlain<cmc>,
               kCld = kPlain<assign<kDf, 0>>, kStd = kPlain<assign<kDf, kDf>>, kSalc = kPlain<salc>,
               kMovnti = kFamily<Movnti>;

#define BY_CONDITION(FAMILY)                                                                                       \
  {                                                                                                                \
    kFamily<FAMILY<0>::Form>, kFamily<FAMILY<1>::Form>, kFamily<FAMILY<2>::Form>, kFamily<FAMILY<3>::Form>,        \
        kFamily<FAMILY<4>::Form>, kFamily<FAMILY<5>::Form>, kFamily<FAMILY<6>::Form>, kFamily<FAMILY<7>::Form>,    \
        kFamily<FAMILY<8>::Form>, kFamily<FAMILY<9>::Form>, kFamily<FAMILY<10>::Form>, kFamily<FAMILY<11>::Form>,  \
        kFamily<FAMILY<12>::Form>, kFamily<FAMILY<13>::Form>, kFamily<FAMILY<14>::Form>, kFamily<FAMILY<15>::Form> \
  }
const Handlers kCmov[16] = BY_CONDITION(Cmov), kSetcc[16] = BY_CONDITION(Setcc);
#undef BY_CONDITION

}  // namespace vtkit::emulator
