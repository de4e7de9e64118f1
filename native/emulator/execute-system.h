// What families of system instructions share.
#pragma once

#include "emulator/cpu.h"

namespace vtkit::emulator {

inline bool privileged(Cpu& cpu) { return cpu.cpl == 0 ? true : gp(cpu); }

/** What tells of system tables may be kept from user code (Vol. 3A, 2.5: CR4.UMIP). */
inline bool mayLook(Cpu& cpu) { return cpu.cpl == 0 || (cpu.cr4 & kCr4Umip) == 0 ? true : gp(cpu); }

bool readTscAndAux(Cpu& cpu);
/** VMCALL where there is no VMX operation. */
bool hypercall(Cpu& cpu);

}  // namespace vtkit::emulator
