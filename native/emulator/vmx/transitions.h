// The ways between root and non-root operation.
#pragma once

#include "emulator/vmx/controls.h"

namespace vtkit::emulator::vmx {

// Units of the preemption timer: 2 to this many ticks of the time stamp counter (appendix A.6). One tick: a processor
// whose every instruction takes one has no reason to count in larger steps.
inline constexpr unsigned kPreemptionTimerRate = 0;
inline constexpr unsigned kMsrListMaximum = 512;

/** Types in interruption information (SDM Vol. 3C, table 25-17). */
enum EventType : uint32_t {
  kExternalEvent = 0,
  kNmiEvent = 2,
  kHardwareException = 3,
  kSoftwareInterrupt = 4,
  kPrivilegedSoftwareException = 5,
  kSoftwareException = 6,
  kOtherEvent = 7,
};
inline constexpr uint32_t kEventValid = 1u << 31, kEventHasError = 1u << 11, kEventUnblockedNmi = 1u << 12;
inline uint32_t eventInformation(uint8_t vector, EventType type, bool hasError) {
  return vector | type << 8 | (hasError ? kEventHasError : 0) | kEventValid;
}

/** MOV SS or POP SS was the instruction before; of STI, Cpu::shadow is set alone. */
inline bool blockedByMovSs(const Cpu& cpu) { return cpu.shadow && cpu.vmx.blockedByMovSs; }

// Interruptibility (table 25-3) and pending debug exceptions (table 25-4)
inline constexpr uint64_t kBlockingBySti = 1, kBlockingByMovSs = 2, kBlockingByNmi = 8;
inline constexpr uint64_t kPendingEnabled = 1u << 12, kPendingSingleStep = 1u << 14;

/** The fields in which EPT keeps a guest's PDPTEs. */
inline Field pointerField(unsigned i) { return static_cast<Field>(static_cast<uint32_t>(Field::guestPdpte0) + 2 * i); }

/** VMLAUNCH and VMRESUME behind their privilege checks. Always true: flags or RIP tell how it ended. */
bool enterGuest(Cpu& cpu, bool launch);
/** The entry itself, from root operation: a VM-instruction error number, or 0 with the guest, or the host, to go on. */
unsigned enter(Cpu& cpu);
/** Makes the exit that leave() recorded. */
void makeExit(Cpu& cpu);
/** The host's state and the list of its MSRs; what cannot be loaded ends in a VMX abort. */
void loadHost(Cpu& cpu);
/** Ends an entry that failed behind its checks of controls and host. */
void failEntry(Cpu& cpu, ExitReason reason, uint64_t qualification);
/** Without VPIDs, entries and exits end the linear and combined mappings of VPID 0 (29.4.3.1). */
void endUntagged(Cpu& cpu);
/** A VMX abort (28.7): the indicator goes to the VMCS region, and the processor shuts down. */
void abort(Cpu& cpu, uint32_t indicator);

/** Before a fault is delivered in non-root operation: true with an exit recorded if the exception bitmap has it. */
bool exceptionLeaves(Cpu& cpu, uint8_t vector, EventType type, bool hasError, uint32_t error);

// How VMX instructions end (31.2).
bool succeed(Cpu& cpu);
bool failInvalid(Cpu& cpu);
/** VMfailValid, or VMfailInvalid where there is no VMCS to keep the number. */
bool fail(Cpu& cpu, unsigned error);

/** A VMCS region: bytes 8 to 4095 are ours. */
void loadRegion(const Cpu& cpu, uint64_t address, Vmcs& vmcs);
void storeRegion(Cpu& cpu, uint64_t address, const Vmcs& vmcs);

}  // namespace vtkit::emulator::vmx
