// The TPR shadow: a guest moves its task priority without exits (SDM Vol. 3C, 30.1.1 to 30.1.3).
#pragma once

#include <cstdint>

namespace vtkit::emulator {
struct Cpu;
}

namespace vtkit::emulator::vmx {

/** Whether CR8 is a word of the virtual-APIC page. */
bool shadowsTpr(const Cpu& cpu);
/** CR8 as the guest sees it: bits 7:4 of VTPR. */
uint64_t readShadow(const Cpu& cpu);
/** An exit is due behind the instruction if the priority falls below the threshold. */
void writeShadow(Cpu& cpu, uint64_t cr8);

}  // namespace vtkit::emulator::vmx
