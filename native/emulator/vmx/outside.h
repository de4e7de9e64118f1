// VM entries that somebody outside the machine asks for, who is its hypervisor then: the VMCS lies in no guest memory.
#pragma once

#include <cstdint>

#include "vcpu/processor.h"

namespace vtkit::emulator {
struct Cpu;
}

namespace vtkit::emulator::vmx {

/** Fills one entry for each field; `to` has kFieldCount of them. */
void getFields(const Cpu& cpu, vcpu::VmcsField* to);
/** Null with a VM entry asked for, or why there can be none. `from` has kFieldCount entries. */
const char* setFields(Cpu& cpu, const vcpu::VmcsField* from);

/** Makes the entry that was asked for. The VM-instruction error number, or 0. */
unsigned enterFromOutside(Cpu& cpu);
/** Ends a run that is asked to stop as a host's interrupt would. */
void interruptFromOutside(Cpu& cpu);
/** True once behind each exit: the processor is out of VMX operation, in the state of the VMCS' host. */
bool leftForOutside(Cpu& cpu);

}  // namespace vtkit::emulator::vmx
