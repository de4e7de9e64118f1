// Decoding: prefixes, ModRM and SIB, displacement, immediates.
#include "emulator/decode.h"

#include <cstring>

#include "emulator/opcode-table.h"

namespace vtkit::emulator {

namespace {

/** Reads the instruction's bytes; past the end it remembers that more are needed. */
class Reader {
 public:
  Reader(const uint8_t* bytes, unsigned available) : bytes_(bytes), available_(available) {}

  uint8_t peek() { return position_ < available_ ? bytes_[position_] : (short_ = true, uint8_t{0}); }
  uint8_t byte() {
    const uint8_t value = peek();
    position_++;
    return value;
  }
  uint64_t unsignedBytes(unsigned count) {
    uint64_t value = 0;
    for (unsigned i = 0; i < count; i++) value |= uint64_t{byte()} << (8 * i);
    return value;
  }
  int64_t signedBytes(unsigned count) {
    const unsigned shift = 64 - 8 * count;
    return static_cast<int64_t>(unsignedBytes(count) << shift) >> shift;
  }
  /** The next byte if there is one, for an instruction that may well end before it. */
  uint8_t glance() const { return position_ < available_ ? bytes_[position_] : 0; }
  bool atEnd() const { return position_ >= available_; }
  unsigned position() const { return position_; }
  bool isShort() const { return short_; }

 private:
  const uint8_t* const bytes_;
  const unsigned available_;
  unsigned position_ = 0;
  bool short_ = false;
};

struct Prefixes {
  bool operand = false, address = false, lock = false;
  uint8_t repeat = 0;
  uint8_t rex = 0;
  int segment = -1;
  // Of a VEX prefix (SDM Vol. 2A, 2.3.5); its R, X, B and W are in `rex`.
  bool vex = false, w = false, l = false;
  uint8_t vvvv = 0;

  unsigned mandatory() const { return repeat == 0xf3 ? kF3 : repeat == 0xf2 ? kF2 : operand ? k66 : kNoPrefix; }
};

/** 16-bit addressing (SDM Vol. 2A, table 2-1). */
void address16(Reader& reader, unsigned mod, unsigned rm, MicroOp& op, unsigned& defaultSegment) {
  static constexpr uint8_t kBases[8][2] = {{RBX, RSI},           {RBX, RDI},           {RBP, RSI},
                                           {RBP, RDI},           {RSI, kZeroRegister}, {RDI, kZeroRegister},
                                           {RBP, kZeroRegister}, {RBX, kZeroRegister}};
  op.base = kBases[rm][0];
  op.index = kBases[rm][1];
  op.scale = 0;
  if (mod == 0 && rm == 6) {
    op.base = kZeroRegister;
    op.displacement = reader.signedBytes(2);
    return;
  }
  if (rm == 2 || rm == 3 || rm == 6) defaultSegment = SS;
  if (mod == 1) op.displacement = reader.signedBytes(1);
  if (mod == 2) op.displacement = reader.signedBytes(2);
}

/** 32- and 64-bit addressing (SDM Vol. 2A, tables 2-2 and 2-3). */
void address32(Reader& reader, unsigned mod, unsigned rm, uint8_t rex, bool code64, MicroOp& op, bool vsib,
               unsigned& defaultSegment) {
  unsigned base = rm;
  if (rm == 4) {
    const uint8_t sib = reader.byte();
    base = sib & 7;
    const unsigned index = (sib >> 3 & 7) | (rex & 2) << 2;
    if (index != 4 || vsib) {
      op.index = static_cast<uint8_t>(index);
      op.scale = sib >> 6;
    }
    if (base == 5 && mod == 0) {
      op.displacement = reader.signedBytes(4);
      return;
    }
  } else if (rm == 5 && mod == 0) {
    op.displacement = reader.signedBytes(4);
    if (code64) op.base = kRip;
    return;
  }
  op.base = static_cast<uint8_t>(base | (rex & 1) << 3);
  if (op.base == RSP || op.base == RBP) defaultSegment = SS;
  if (mod == 1) op.displacement = reader.signedBytes(1);
  if (mod == 2) op.displacement = reader.signedBytes(4);
}

uint8_t byteRegister(unsigned index, bool rex) {
  // Without REX, 4 to 7 are AH, CH, DH and BH.
  return static_cast<uint8_t>(!rex && index >= 4 && index < 8 ? (index - 4) * 8 + 1 : index * 8);
}

/** The rest of a VEX prefix after C4 or C5: the opcode map and the mandatory prefix that it stands for. */
void readVex(Reader& reader, bool threeBytes, bool code64, Prefixes& prefixes, unsigned& map, unsigned& mandatory) {
  // R, X, B and vvvv are inverted. Outside 64-bit mode there are eight registers.
  uint8_t byte = reader.byte();
  unsigned rex = (byte & 0x80) != 0 ? 0 : 4;
  map = 1;
  if (threeBytes) {
    rex |= ~byte >> 5 & 3u;
    map = byte & 31;
    byte = reader.byte();
    prefixes.w = (byte & 0x80) != 0;
  }
  prefixes.vex = true;
  prefixes.rex = static_cast<uint8_t>(code64 ? 0x40 | rex | (prefixes.w ? 8 : 0) : 0);
  prefixes.vvvv = static_cast<uint8_t>((~byte >> 3 & 15) & (code64 ? 15 : 7));
  prefixes.l = (byte & 4) != 0;
  mandatory = (byte & 3) == 0 ? kNoPrefix : (byte & 3) == 1 ? k66 : (byte & 3) == 2 ? kF3 : kF2;
}

/** Whether the processor has the row's instruction in this encoding, and the encoding is one of it. */
bool encodes(const Opcode& row, const Prefixes& prefixes, Features features) {
  if (!prefixes.vex) return has(features, row.legacy);
  if (!has(features, prefixes.l ? row.vex256 : row.vex128)) return false;
  return (row.flags & kNoV) == 0 || prefixes.vvvv == 0;
}

unsigned encodingOf(const Opcode& row, const Prefixes& prefixes) {
  if (prefixes.vex) return prefixes.l ? kVex256 : kVex128;
  return (row.flags & kMmx) != 0 ? kMmx64 : kSse128;
}

void readImmediates(Reader& reader, uint32_t flags, unsigned operandBytes, unsigned addressBytes, MicroOp& op) {
  const unsigned z = operandBytes == 2 ? 2 : 4;
  if ((flags & kImm16) != 0) op.immediate = reader.unsignedBytes(2);
  if ((flags & (kImm8 | kRel8)) != 0) op.immediate = static_cast<uint64_t>(reader.signedBytes(1));
  if ((flags & (kImmZ | kRelZ)) != 0) op.immediate = static_cast<uint64_t>(reader.signedBytes(z));
  if ((flags & kImmV) != 0) op.immediate = reader.unsignedBytes(operandBytes);
  if ((flags & kMoffs) != 0) op.displacement = static_cast<int64_t>(reader.unsignedBytes(addressBytes));
  if ((flags & kFar) != 0) {
    op.displacement = static_cast<int64_t>(reader.unsignedBytes(z));
    op.immediate = reader.unsignedBytes(2);
  }
  if ((flags & kImm8Extra) != 0) op.displacement = reader.byte();
}

}  // namespace

Decoded decode(const uint8_t* bytes, unsigned available, unsigned codeBits, Features features, MicroOp& op,
               const Opcode*& found) {
  op = MicroOp();
  Reader reader(bytes, available < kMaxLength ? available : kMaxLength);
  const bool code64 = codeBits == 64;
  const auto ended = [&] { return available >= kMaxLength ? Decoded::tooLong : Decoded::needsMore; };

  Prefixes prefixes;
  for (;; reader.byte()) {
    const uint8_t byte = reader.peek();
    if (reader.isShort()) return ended();
    if (code64 && (byte & 0xf0) == 0x40) {
      prefixes.rex = byte;
      continue;
    }
    switch (byte) {
      case 0x26:
        prefixes.segment = code64 ? -1 : int{ES};
        break;
      case 0x2e:
        prefixes.segment = code64 ? -1 : int{CS};
        break;
      case 0x36:
        prefixes.segment = code64 ? -1 : int{SS};
        break;
      case 0x3e:
        prefixes.segment = code64 ? -1 : int{DS};
        break;
      case 0x64:
        prefixes.segment = FS;
        break;
      case 0x65:
        prefixes.segment = GS;
        break;
      case 0x66:
        prefixes.operand = true;
        break;
      case 0x67:
        prefixes.address = true;
        break;
      case 0xf0:
        prefixes.lock = true;
        break;
      case 0xf2:
      case 0xf3:
        prefixes.repeat = byte;
        break;
      default:
        goto opcode;
    }
    prefixes.rex = 0;  // REX counts only right before the opcode
  }
opcode:
  unsigned map = 0, mandatory = prefixes.mandatory();
  uint8_t opcode = reader.byte();
  if (opcode == 0x0f) {
    map = 1;
    opcode = reader.byte();
    if (opcode == 0x38 || opcode == 0x3a) {
      map = opcode == 0x38 ? 2 : 3;
      opcode = reader.byte();
    }
  } else if ((opcode == 0xc4 || opcode == 0xc5 || opcode == 0x62) && (code64 || (reader.peek() & 0xc0) == 0xc0)) {
    // VEX and EVEX stand where LES, LDS and BOUND do: in 64-bit mode always, else where ModRM names a register.
    if (reader.isShort()) return ended();
    if (opcode == 0x62 || prefixes.rex != 0 || prefixes.lock || mandatory != kNoPrefix) return Decoded::invalid;
    readVex(reader, opcode == 0xc4, code64, prefixes, map, mandatory);
    opcode = reader.byte();
    if (reader.isShort()) return ended();
    if (map < 1 || map > 3) return Decoded::invalid;
  }
  const unsigned nextReg = reader.glance() >> 3 & 7;
  const VectorKey key = {map, mandatory, opcode, reader.glance(), prefixes.vex, prefixes.w};
  const Opcode* chosen = map == 0 ? nullptr : vectorOpcodeOf(key);
  // A processor without LZCNT takes its bytes for BSR.
  if (chosen != nullptr && !encodes(*chosen, prefixes, features)) chosen = nullptr;
  if (chosen == nullptr && !prefixes.vex && map <= 1) chosen = &opcodeOf(map, opcode, nextReg, code64);
  if (reader.isShort() || (reader.atEnd() && (chosen == nullptr || (chosen->flags & kModRm) != 0))) return ended();
  if (chosen == nullptr || chosen->mnemonic == nullptr ||
      !has(features, prefixes.vex ? Feature::always : chosen->legacy)) {
    return Decoded::invalid;
  }
  const Opcode& row = *chosen;
  found = &row;
  const uint32_t flags = row.flags;

  unsigned operandBytes;
  if ((flags & kByte) != 0) {
    operandBytes = 1;
  } else if (code64 && ((prefixes.rex & 8) != 0 || ((flags & kDef64) != 0 && !prefixes.operand))) {
    operandBytes = 8;
  } else {
    operandBytes = (codeBits == 16) != prefixes.operand ? 2 : 4;
  }
  if ((flags & kForce32) != 0) operandBytes = code64 ? 8 : 4;
  if ((flags & kWide) != 0) operandBytes = (prefixes.rex & 8) != 0 ? 8 : 4;
  // Near branches of 64-bit mode take a 32-bit displacement whatever 66 says (as Intel processors do).
  if (code64 && (flags & kRelZ) != 0) operandBytes = 8;
  const unsigned addressBytes = code64 ? (prefixes.address ? 4 : 8) : ((codeBits == 16) != prefixes.address ? 2 : 4);

  op.base = op.index = kZeroRegister;
  op.addressMask = maskOf(addressBytes * 8);
  op.operandBytes = static_cast<uint8_t>(operandBytes);
  op.opcode = opcode;
  if (prefixes.vex) {
    op.vvvv = prefixes.vvvv;
  } else {
    op.repeat = prefixes.repeat;
  }
  unsigned defaultSegment = DS;
  const bool rex = prefixes.rex != 0;
  if ((flags & kModRm) != 0) {
    const uint8_t modrm = reader.byte();
    const unsigned mod = modrm >> 6;
    op.regIndex = static_cast<uint8_t>((modrm >> 3 & 7) | (prefixes.rex & 4) << 1);
    op.rmIndex = static_cast<uint8_t>((modrm & 7) | (prefixes.rex & 1) << 3);
    op.memory = mod != 3 && (flags & kForce32) == 0;
    if ((flags & kX87) != 0) op.immediate = modrm;
    // A vector of indices needs a SIB byte.
    if ((flags & kVsib) != 0 && (addressBytes == 2 || (modrm & 7) != 4)) return Decoded::invalid;
    if (op.memory) {
      if (addressBytes == 2) {
        address16(reader, mod, modrm & 7, op, defaultSegment);
      } else {
        address32(reader, mod, modrm & 7, prefixes.rex, code64, op, (flags & kVsib) != 0, defaultSegment);
      }
    }
    // Of gathers, three registers that differ (SDM Vol. 2C, VGATHERDPD).
    if ((flags & kVsib) != 0 && (op.regIndex == op.vvvv || op.regIndex == op.index || op.vvvv == op.index)) {
      return Decoded::invalid;
    }
  } else if ((flags & kOpReg) != 0) {
    op.regIndex = op.rmIndex = static_cast<uint8_t>((opcode & 7) | (prefixes.rex & 1) << 3);
  }
  const bool byteForm = operandBytes == 1;
  op.reg = byteForm ? byteRegister(op.regIndex, rex) : static_cast<uint8_t>(op.regIndex * 8);
  op.rm = byteForm || (flags & kByteRm) != 0 ? byteRegister(op.rmIndex, rex) : static_cast<uint8_t>(op.rmIndex * 8);
  op.segment = static_cast<uint8_t>(prefixes.segment >= 0 ? static_cast<unsigned>(prefixes.segment) : defaultSegment);
  readImmediates(reader, flags, operandBytes, addressBytes, op);

  if (reader.isShort()) return ended();
  if (reader.position() > kMaxLength) return Decoded::tooLong;
  op.length = static_cast<uint8_t>(reader.position());
  op.end = op.length;
  if ((flags & kInvalid) != 0 || ((flags & kNo64) != 0 && code64) || ((flags & kOnly64) != 0 && !code64) ||
      ((flags & kMemOnly) != 0 && !op.memory) || ((flags & kRegOnly) != 0 && op.memory) ||
      (prefixes.lock && ((flags & kLock) == 0 || !op.memory))) {
    return Decoded::invalid;
  }
  unsigned size = operandBytes == 1 ? 0 : operandBytes == 2 ? 1 : operandBytes == 4 ? 2 : 3;
  if ((flags & kVector) != 0) size = encodingOf(row, prefixes);
  op.run = row.handlers->by[formOf(row, op)][size];
#ifdef VTKIT_COUNT_OPCODES
  op.counted = static_cast<uint16_t>(row.number * 4 + (prefixes.vex ? 1 + prefixes.l : 0));
#endif
  return Decoded::ok;
}

}  // namespace vtkit::emulator
