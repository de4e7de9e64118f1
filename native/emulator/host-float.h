// Floating-point arithmetic on the host's own unit, and what it raised.
#pragma once

#include <cstdint>

#include "emulator/cpu.h"

// The arithmetic of the guest is that of the host where the host is an x86-64: the same instructions on the same
// operands under the same control word give the same bits and flags, and nothing else is as fast. Elsewhere the
// processor announces no floating point (features.cc).
#if defined(__x86_64__) && !defined(_WIN32)
#define VTKIT_HOST_FLOAT
#endif

namespace vtkit::emulator {

#ifdef VTKIT_HOST_FLOAT
inline constexpr bool kHostFloat = true;
#else
inline constexpr bool kHostFloat = false;
#endif

using Xmm = uint64_t __attribute__((vector_size(16)));

inline uint32_t hostMxcsr() {
  uint32_t value = kMxcsrReset;
#ifdef VTKIT_HOST_FLOAT
  asm volatile("stmxcsr %0" : "=m"(value));
#endif
  return value;
}
inline void setHostMxcsr(uint32_t value) {
#ifdef VTKIT_HOST_FLOAT
  asm volatile("ldmxcsr %0" : : "m"(value));
#else
  (void)value;
#endif
}

/** Adds what an instruction raised to MXCSR. False if an exception is not masked: #XM is pending, or #UD. */
bool raiseFloat(Cpu& cpu, uint32_t flags);
inline bool finishFloat(Cpu& cpu, uint32_t flags) {
  if (__builtin_expect((flags & ~(cpu.mxcsr >> 7)) == 0, true)) {
    cpu.mxcsr |= flags;
    return true;
  }
  return raiseFloat(cpu, flags);
}

/** Whether the guest's control bits are those of reset: rounding to nearest, nothing flushed, every exception masked.
 */
inline bool plainFloat(const Cpu& cpu) { return __builtin_expect((cpu.mxcsr & ~kMxcsrFlags) == kMxcsrReset, true); }

/** Runs host arithmetic under control bits other than those of reset, and gives the flags that it raised. */
template <class Run>
__attribute__((noinline)) uint32_t onHostUnder(uint32_t mxcsr, Run run) {
  uint32_t control = (mxcsr | kMxcsrMasks) & ~kMxcsrFlags;
  // Results are flushed to zero only where underflow is masked.
  if ((mxcsr >> 7 & kFloatUnderflow) == 0) control &= ~kMxcsrFtz;
  setHostMxcsr(control);
  run();
  const uint32_t flags = hostMxcsr() & kMxcsrFlags;
  setHostMxcsr(kMxcsrReset);
  return flags;
}

/**
 * Runs host arithmetic under the guest's rounding, and gives the flags that it raised.
 *
 * Exceptions are masked on the host, always. While the guest's control bits are those of reset, so are the host's, and
 * what is raised stays there: collectFlags() tells.
 */
template <class Run>
VTKIT_HOT inline uint32_t onHost(const Cpu& cpu, Run run) {
  if (!plainFloat(cpu)) return onHostUnder(cpu.mxcsr, run);
  run();
  return 0;
}

/** Brings to MXCSR what arithmetic raised since the last time, before anybody reads it. */
inline void collectFlags(Cpu& cpu) { cpu.mxcsr |= hostMxcsr() & kMxcsrFlags; }

inline void setMxcsr(Cpu& cpu, uint32_t value) {
  cpu.mxcsr = value;
  setHostMxcsr(kMxcsrReset);
}

/** Whether overflow or underflow is not masked: both have other conditions then. */
inline bool watchesRange(const Cpu& cpu) { return (~(cpu.mxcsr >> 7) & (kFloatOverflow | kFloatUnderflow)) != 0; }

}  // namespace vtkit::emulator
