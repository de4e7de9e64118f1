// The x87 environment and the legacy area in memory.
#include "emulator/save-area.h"

#include "emulator/mmu.h"

namespace vtkit::emulator {

namespace {

template <typename T>
bool readPiece(Cpu& cpu, const MicroOp& op, uint64_t offset, uint8_t*& to, unsigned& bytes) {
  T value;
  if (!load<T>(cpu, op.segment, offset & op.addressMask, value)) return false;
  std::memcpy(to, &value, sizeof(T));
  to += sizeof(T);
  bytes -= static_cast<unsigned>(sizeof(T));
  return true;
}
template <typename T>
bool writePiece(Cpu& cpu, const MicroOp& op, uint64_t offset, const uint8_t*& from, unsigned& bytes) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  if (!store<T>(cpu, op.segment, offset & op.addressMask, value)) return false;
  from += sizeof(T);
  bytes -= static_cast<unsigned>(sizeof(T));
  return true;
}

/** The two bits of each register's tag: valid, zero, special or empty (SDM Vol. 1, 8.1.7). */
uint16_t fullTags(const X87& x87) {
  unsigned tags = 0;
  for (unsigned i = 0; i < 8; i++) {
    const unsigned number = (x87.top() + i) & 7;
    uint64_t significand;
    uint16_t exponent;
    std::memcpy(&significand, x87.st[i], 8);
    std::memcpy(&exponent, x87.st[i] + 8, 2);
    exponent &= 0x7fff;
    const bool zero = exponent == 0 && significand == 0;
    const bool normal = exponent != 0 && exponent != 0x7fff && significand >> 63 != 0;
    const unsigned tag = (x87.used >> number & 1) == 0 ? 3 : zero ? 1 : normal ? 0 : 2;
    tags |= tag << 2 * number;
  }
  return static_cast<uint16_t>(tags);
}

void setTags(X87& x87, unsigned tags) {
  x87.used = 0;
  for (unsigned i = 0; i < 8; i++) {
    if ((tags >> 2 * i & 3) != 3) x87.used = static_cast<uint8_t>(x87.used | 1u << i);
  }
}

constexpr unsigned environmentBytes(const MicroOp& op) { return op.operandBytes == 2 ? 14 : 28; }

/** Of the 16-bit formats, seven words; of the 32-bit ones, seven words with all ones or address bits above. */
struct Environment {
  uint32_t words[7] = {};
};

bool realFormat(const Cpu& cpu) { return !cpu.protectedMode() || cpu.v86(); }

Environment environmentOf(const Cpu& cpu) {
  const X87& x87 = cpu.x87;
  Environment e;
  const auto ip = static_cast<uint32_t>(x87.ip), dp = static_cast<uint32_t>(x87.dp);
  e.words[0] = x87.control;
  e.words[1] = x87.status;
  e.words[2] = fullTags(x87);
  e.words[3] = ip;
  e.words[4] = uint32_t{x87.opcode} << 16;
  e.words[5] = dp;
  if (realFormat(cpu)) {
    e.words[3] = ip & 0xffff;
    e.words[4] = x87.opcode | (ip >> 16) << 12;
    e.words[5] = dp & 0xffff;
    e.words[6] = (dp >> 16) << 12;
  }
  return e;
}

void putEnvironment(const Cpu& cpu, unsigned bytes, uint8_t* to) {
  const Environment e = environmentOf(cpu);
  const bool real = realFormat(cpu);
  for (unsigned i = 0; i < 7; i++) {
    if (bytes == 14) {
      const auto word = static_cast<uint16_t>(e.words[i]);
      std::memcpy(to + 2 * i, &word, 2);
    } else {
      // What is reserved reads as ones.
      const bool reserved = i < 3 || (real ? i == 3 || i == 5 : i == 6);
      const uint32_t word = e.words[i] | (reserved ? 0xffff0000 : 0);
      std::memcpy(to + 4 * i, &word, 4);
    }
  }
}

void takeEnvironment(Cpu& cpu, unsigned bytes, const uint8_t* from) {
  X87& x87 = cpu.x87;
  Environment e;
  for (unsigned i = 0; i < 7; i++) std::memcpy(&e.words[i], from + bytes / 7 * i, bytes / 7);
  moveTop(x87, e.words[1] >> 11 & 7);
  x87.control = static_cast<uint16_t>((e.words[0] & 0x1f3f) | 0x40);
  x87.status = static_cast<uint16_t>(e.words[1]);
  setTags(x87, e.words[2]);
  x87.ip = e.words[3];
  x87.opcode = static_cast<uint16_t>(bytes == 28 ? e.words[4] >> 16 & 0x7ff : 0);
  x87.dp = e.words[5];
  if (realFormat(cpu)) {
    x87.ip = (e.words[3] & 0xffff) | (e.words[4] >> 12 & 0xffff) << 16;
    x87.opcode = static_cast<uint16_t>(e.words[4] & 0x7ff);
    x87.dp = (e.words[5] & 0xffff) | (e.words[6] >> 12 & 0xffff) << 16;
  }
  summariseX87(x87);
}

}  // namespace

bool readBytes(Cpu& cpu, const MicroOp& op, uint64_t offset, void* to, unsigned bytes) {
  auto* at = static_cast<uint8_t*>(to);
  const unsigned all = bytes;
  while (bytes >= 8) {
    if (!readPiece<uint64_t>(cpu, op, offset + (all - bytes), at, bytes)) return false;
  }
  if (bytes >= 4 && !readPiece<uint32_t>(cpu, op, offset + (all - bytes), at, bytes)) return false;
  return bytes < 2 || readPiece<uint16_t>(cpu, op, offset + (all - bytes), at, bytes);
}

bool writeBytes(Cpu& cpu, const MicroOp& op, uint64_t offset, const void* from, unsigned bytes) {
  if (!probeWrite(cpu, op.segment, offset, bytes)) return false;
  const auto* at = static_cast<const uint8_t*>(from);
  const unsigned all = bytes;
  while (bytes >= 8) {
    if (!writePiece<uint64_t>(cpu, op, offset + (all - bytes), at, bytes)) return false;
  }
  if (bytes >= 4 && !writePiece<uint32_t>(cpu, op, offset + (all - bytes), at, bytes)) return false;
  return bytes < 2 || writePiece<uint16_t>(cpu, op, offset + (all - bytes), at, bytes);
}

void moveTop(X87& x87, unsigned top) {
  uint8_t registers[8][16];
  for (unsigned i = 0; i < 8; i++) std::memcpy(registers[(x87.top() + i) & 7], x87.st[i], 16);
  for (unsigned i = 0; i < 8; i++) std::memcpy(x87.st[i], registers[(top + i) & 7], 16);
  x87.status = static_cast<uint16_t>((x87.status & ~kX87Top) | top << 11);
}

void resetX87(X87& x87) {
  moveTop(x87, 0);
  x87.control = 0x37f;
  x87.status = 0;
  x87.used = 0;
  x87.ip = x87.dp = 0;
  x87.opcode = 0;
}

void summariseX87(X87& x87) {
  const bool pending = (x87.status & ~x87.control & kX87Exceptions) != 0;
  x87.status = static_cast<uint16_t>((x87.status & ~(kX87Summary | kX87Busy)) | (pending ? kX87Summary | kX87Busy : 0));
}

bool storeEnvironment(Cpu& cpu, const MicroOp& op, uint64_t offset) {
  uint8_t image[28];
  putEnvironment(cpu, environmentBytes(op), image);
  return writeBytes(cpu, op, offset, image, environmentBytes(op));
}

bool loadEnvironment(Cpu& cpu, const MicroOp& op, uint64_t offset) {
  uint8_t image[28];
  if (!readBytes(cpu, op, offset, image, environmentBytes(op))) return false;
  takeEnvironment(cpu, environmentBytes(op), image);
  return true;
}

bool storeAll(Cpu& cpu, const MicroOp& op, uint64_t offset) {
  uint8_t image[28 + 80];
  const unsigned head = environmentBytes(op);
  putEnvironment(cpu, head, image);
  for (unsigned i = 0; i < 8; i++) std::memcpy(image + head + 10 * i, cpu.x87.st[i], 10);
  return writeBytes(cpu, op, offset, image, head + 80);
}

bool loadAll(Cpu& cpu, const MicroOp& op, uint64_t offset) {
  uint8_t image[28 + 80];
  const unsigned head = environmentBytes(op);
  if (!readBytes(cpu, op, offset, image, head + 80)) return false;
  takeEnvironment(cpu, head, image);
  for (unsigned i = 0; i < 8; i++) std::memcpy(cpu.x87.st[i], image + head + 10 * i, 10);
  return true;
}

void getX87(const X87& x87, LegacyArea& area) {
  area.control = x87.control;
  area.status = x87.status;
  area.used = x87.used;
  area.reserved = 0;
  area.opcode = x87.opcode;
  area.ip = x87.ip;
  area.dp = x87.dp;
  for (unsigned i = 0; i < 8; i++) {
    std::memcpy(area.st[i], x87.st[i], 10);
    std::memset(area.st[i] + 10, 0, 6);
  }
}

void setX87(X87& x87, const LegacyArea& area) {
  x87.control = static_cast<uint16_t>((area.control & 0x1f3f) | 0x40);
  x87.status = area.status;
  x87.used = area.used;
  x87.opcode = area.opcode & 0x7ff;
  x87.ip = area.ip;
  x87.dp = area.dp;
  std::memcpy(x87.st, area.st, sizeof(x87.st));
  summariseX87(x87);
}

}  // namespace vtkit::emulator
