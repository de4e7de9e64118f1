// The local APIC that a guest sees: its registers are a page of memory, and the processor answers for them without
// exits where controls say so (SDM Vol. 3C, chapter 30).
#pragma once

#include "emulator/mmu.h"

namespace vtkit::emulator::vmx {

/** At a VM entry, behind the guest's state: which page stands for the APIC, and which interrupt waits in it. */
void startVirtualApic(Cpu& cpu);
/** At a VM exit. */
void stopVirtualApic(Cpu& cpu);

/** Whether CR8 is a word of the virtual-APIC page. */
bool shadowsTpr(const Cpu& cpu);
/** CR8 as the guest sees it: bits 7:4 of VTPR. */
uint64_t readShadow(const Cpu& cpu);
void writeShadow(Cpu& cpu, uint64_t cr8);

/** What became of an access to an APIC register by MSR. */
enum class MsrAccess { passed, virtualized, refused };
MsrAccess readVirtualMsr(const Cpu& cpu, uint32_t index, uint64_t& value);
MsrAccess writeVirtualMsr(Cpu& cpu, uint32_t index, uint64_t value);

/** Whether an operand's page is the APIC-access page. */
inline bool isAccessPage(const Cpu& cpu, uint64_t physical) {
  return (physical & ~uint64_t{0xfff}) == cpu.vmx.accessPage;
}
// Accesses to that page. False with an exit pending.
bool readAccessPage(Cpu& cpu, uint64_t physical, void* to, unsigned bytes);
bool writeAccessPage(Cpu& cpu, uint64_t physical, const void* from, unsigned bytes);
bool fetchAccessPage(Cpu& cpu, uint64_t physical);

/** What a write of a register asks for, behind its instruction (30.4.3.3). An exit may be due then: Vmx::trapDue. */
void emulateApicWrite(Cpu& cpu);

/** Puts the virtual interrupt that is recognised into service (30.2.2). Its vector. */
uint8_t takeVirtualInterrupt(Cpu& cpu);

/** Whether a vector is the notification that interrupts were posted; they are pending then (30.6). */
bool takePosted(Cpu& cpu, uint8_t vector);

}  // namespace vtkit::emulator::vmx
