// Register state in memory: the x87 environment, FXSAVE's and XSAVE's areas.
#pragma once

#include "emulator/micro-op.h"

namespace vtkit::emulator {

/** An operand of up to a page, in pieces. A write faults before any of it is done. */
bool readBytes(Cpu& cpu, const MicroOp& op, uint64_t offset, void* to, unsigned bytes);
bool writeBytes(Cpu& cpu, const MicroOp& op, uint64_t offset, const void* from, unsigned bytes);

/** Another register becomes the top of the stack: all stay where they are, so that each is another ST(i). */
void moveTop(X87& x87, unsigned top);
/** FNINIT. */
void resetX87(X87& x87);
/** Takes ES and B from the exceptions and their masks. */
void summariseX87(X87& x87);

// FNSTENV, FLDENV, FNSAVE and FRSTOR (SDM Vol. 1, 8.1.10): 16- or 32-bit formats by the operand size.
bool storeEnvironment(Cpu& cpu, const MicroOp& op, uint64_t offset);
bool loadEnvironment(Cpu& cpu, const MicroOp& op, uint64_t offset);
bool storeAll(Cpu& cpu, const MicroOp& op, uint64_t offset);
bool loadAll(Cpu& cpu, const MicroOp& op, uint64_t offset);

/** The first 512 bytes of FXSAVE and XSAVE (SDM Vol. 1, 10.5.1). */
struct LegacyArea {
  uint16_t control, status;
  uint8_t used, reserved;
  uint16_t opcode;
  uint64_t ip, dp;
  uint32_t mxcsr, mxcsrMask;
  uint8_t st[8][16];
  uint8_t xmm[16][16];
  uint8_t rest[96];
};
static_assert(sizeof(LegacyArea) == 512);

void getX87(const X87& x87, LegacyArea& area);
void setX87(X87& x87, const LegacyArea& area);

}  // namespace vtkit::emulator
