// What far transfers and interrupts share: the checks of the segment and of the stack that they enter.
#pragma once

#include "emulator/system.h"

namespace vtkit::emulator {

inline bool realMode(const Cpu& cpu) { return !cpu.protectedMode() || cpu.v86(); }

/** The new RIP lies in the segment that is entered. */
bool checkTarget(Cpu& cpu, const Descriptor& code, uint64_t offset);

/** The stack segment of an inner level, with the checks of #TS. In 64-bit mode it is null. */
bool innerStack(Cpu& cpu, unsigned level, uint16_t selector, vcpu::Segment& segment);

}  // namespace vtkit::emulator
