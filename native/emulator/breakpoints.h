// Breakpoints in debug registers (SDM Vol. 3B, 18.2).
#pragma once

#include "emulator/cpu.h"

namespace vtkit::emulator {

inline constexpr uint64_t kDr6Single = 1u << 14, kDr6Access = 1u << 13, kDr6Task = 1u << 15, kDr7Detect = 1u << 13;

/** The execution breakpoints at a linear address, as bits of DR6. */
unsigned codeBreakpoints(const Cpu& cpu, uint64_t linear);
inline constexpr uint64_t kDebugBranches = 1u << 1;  // IA32_DEBUGCTL.BTF

/** Raises #DB with its conditions in DR6: breakpoint hits (replaced), single step, debug register access (added). */
bool raiseDebug(Cpu& cpu, uint64_t conditions);
/** Notes the data breakpoints that an access touches. */
void watchData(Cpu& cpu, uint64_t linear, unsigned bytes, bool write);
/** The same for a port (CR4.DE). */
void watchPort(Cpu& cpu, uint16_t port, unsigned bytes);

/** IA32_DEBUGCTL.BTF: TF traps behind branches only (18.4.1). */
inline bool stepsOnBranches(const Cpu& cpu) { return (cpu.debugControl & kDebugBranches) != 0; }

}  // namespace vtkit::emulator
