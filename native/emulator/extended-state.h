// The registers that XSAVE knows: x87 and MMX, XMM and YMM, their control words, and when they may be used.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vtkit::emulator {

/** The legacy region of an XSAVE area (SDM Vol. 1, 10.5.1): what the host's processor loads and stores as a whole. */
struct alignas(16) X87 {
  uint16_t control, status;
  uint8_t used;  // a bit for each register, by its number and not from the top: 1 = not empty
  uint8_t reserved;
  uint16_t hostOpcode;
  uint64_t hostIp, hostDp;
  uint32_t hostMxcsr, hostMxcsrMask;
  uint8_t st[8][16];     // from the top of the stack
  uint8_t hostXmm[352];  // the rest of what the host's FXSAVE writes
  uint64_t ip, dp;       // of the last instruction that was not about control
  uint16_t opcode;       // of the last one that raised an unmasked exception

  unsigned top() const { return status >> 11 & 7; }
};
static_assert(offsetof(X87, st) == 32 && offsetof(X87, ip) == 512);

/** A YMM register; its first half is the XMM register. */
union alignas(32) VectorRegister {
  uint8_t u8[32];
  uint64_t u64[4];
};

/** Bits of Cpu::usable: the registers that code may use without an exception. */
enum Usable : uint8_t { kUsableX87 = 1, kUsableMmx = 2, kUsableSse = 4, kUsableAvx = 8 };

// x87 status and control words (SDM Vol. 1, 8.1.3 and 8.1.5)
inline constexpr uint16_t kX87Exceptions = 0x3f, kX87StackFault = 0x40, kX87Summary = 0x80, kX87Busy = 0x8000,
                          kX87Top = 7 << 11;

// MXCSR (SDM Vol. 1, 10.2.3)
inline constexpr uint32_t kMxcsrFlags = 0x3f, kMxcsrDaz = 1u << 6, kMxcsrMasks = 0x1f80, kMxcsrFtz = 1u << 15,
                          kMxcsrKnown = 0xffff, kMxcsrReset = 0x1f80;
enum FloatFlags : uint32_t {
  kFloatInvalid = 1,
  kFloatDenormal = 2,
  kFloatDivide = 4,
  kFloatOverflow = 8,
  kFloatUnderflow = 16,
  kFloatInexact = 32
};

// XCR0 (SDM Vol. 1, 13.3)
inline constexpr uint64_t kXcr0X87 = 1, kXcr0Sse = 2, kXcr0Avx = 4;

}  // namespace vtkit::emulator
