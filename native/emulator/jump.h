// Near transfers: RIP in the operand size's range, and inside the code segment.
#pragma once

#include "emulator/cpu.h"

namespace vtkit::emulator {

template <typename T>
VTKIT_HOT inline bool jumpTo(Cpu& cpu, uint64_t target) {
  if (cpu.code64()) {
    if (!canonical(cpu, target)) return gp(cpu);
  } else {
    target = static_cast<T>(target) & 0xffffffff;
    if (target > cpu.seg[CS].limit) return gp(cpu);
  }
  cpu.rip() = target;
  return true;
}

}  // namespace vtkit::emulator
