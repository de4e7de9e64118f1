// The interrupt flag that virtual-8086 mode extensions and protected-mode virtual interrupts keep for ring 3 in VIF
// (SDM Vol. 3A, 20.3 and 20.4).
#pragma once

#include "emulator/cpu.h"

namespace vtkit::emulator {

/** Whether CLI and STI are of VIF: in virtual-8086 mode (CR4.VME), or in ring 3 (CR4.PVI), with IOPL below 3. */
bool movesVirtualFlag(const Cpu& cpu);
/** Whether PUSHF, POPF and IRET of virtual-8086 mode are of VIF: 16-bit operands, CR4.VME, IOPL below 3. */
bool imagesVirtualFlag(const Cpu& cpu, unsigned operandBytes);

/** STI, CLI. False with #GP pending: the supervisor waits for the flag (VIP). */
bool setVirtualFlag(Cpu& cpu, bool on);
/** FLAGS as such code sees them: VIF in place of IF, IOPL 3. */
uint64_t virtualImage(Cpu& cpu);
/** Loads what POPF or IRET found. False with #GP pending. */
bool loadVirtualImage(Cpu& cpu, uint64_t image);

/** INT n in virtual-8086 mode: whether it goes through the vector table of the 8086, as a bit in the TSS says. */
enum class Redirection { none, table, refused };
Redirection redirectionOf(Cpu& cpu, uint8_t vector);
/** Does so (20.3.3.4): false with a fault pending. */
bool deliverThroughTable(Cpu& cpu, uint8_t vector);

}  // namespace vtkit::emulator
