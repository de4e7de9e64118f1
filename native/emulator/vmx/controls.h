// Bits of the VMX controls (SDM Vol. 3C, 25.6 to 25.8), and what in non-root operation looks at them.
#pragma once

#include "emulator/cpu.h"
#include "emulator/micro-op.h"
#include "emulator/opcode-table.h"
#include "emulator/vmx/fields.h"

namespace vtkit::emulator::vmx {

namespace pin {
inline constexpr uint32_t kExternalInterruptExiting = 1u << 0, kNmiExiting = 1u << 3, kVirtualNmis = 1u << 5,
                          kPreemptionTimer = 1u << 6, kPostedInterrupts = 1u << 7;
}
namespace primary {
inline constexpr uint32_t kInterruptWindowExiting = 1u << 2, kUseTscOffsetting = 1u << 3, kHltExiting = 1u << 7,
                          kInvlpgExiting = 1u << 9, kMwaitExiting = 1u << 10, kRdpmcExiting = 1u << 11,
                          kRdtscExiting = 1u << 12, kCr3LoadExiting = 1u << 15, kCr3StoreExiting = 1u << 16,
                          kCr8LoadExiting = 1u << 19, kCr8StoreExiting = 1u << 20, kUseTprShadow = 1u << 21,
                          kNmiWindowExiting = 1u << 22, kMovDrExiting = 1u << 23, kUnconditionalIoExiting = 1u << 24,
                          kUseIoBitmaps = 1u << 25, kMonitorTrapFlag = 1u << 27, kUseMsrBitmaps = 1u << 28,
                          kMonitorExiting = 1u << 29, kPauseExiting = 1u << 30, kActivateSecondaryControls = 1u << 31;
}
namespace secondary {
inline constexpr uint32_t kVirtualizeApicAccesses = 1u << 0, kEnableEpt = 1u << 1, kDescriptorTableExiting = 1u << 2,
                          kEnableRdtscp = 1u << 3, kVirtualizeX2apicMode = 1u << 4, kEnableVpid = 1u << 5,
                          kWbinvdExiting = 1u << 6, kUnrestrictedGuest = 1u << 7, kApicRegisterVirtualization = 1u << 8,
                          kVirtualInterruptDelivery = 1u << 9, kPauseLoopExiting = 1u << 10, kRdrandExiting = 1u << 11,
                          kEnableInvpcid = 1u << 12, kEnableVmFunctions = 1u << 13, kVmcsShadowing = 1u << 14,
                          kRdseedExiting = 1u << 16, kEnablePml = 1u << 17, kEptViolationVe = 1u << 18,
                          kEnableXsaves = 1u << 20, kModeBasedExecute = 1u << 22, kUseTscScaling = 1u << 25;
}
namespace onExit {
inline constexpr uint32_t kSaveDebugControls = 1u << 2, kHostAddressSpaceSize = 1u << 9,
                          kAcknowledgeInterrupt = 1u << 15, kSavePat = 1u << 18, kLoadPat = 1u << 19,
                          kSaveEfer = 1u << 20, kLoadEfer = 1u << 21, kSavePreemptionTimer = 1u << 22;
}
namespace onEntry {
inline constexpr uint32_t kLoadDebugControls = 1u << 2, kIa32eModeGuest = 1u << 9, kLoadPat = 1u << 14,
                          kLoadEfer = 1u << 15;
}

inline uint64_t field(const Cpu& cpu, Field name) { return cpu.vmx.vmcs.get(name); }
inline bool pinBased(const Cpu& cpu, uint32_t bit) { return (field(cpu, Field::pinBasedControls) & bit) != 0; }
inline bool primaryBased(const Cpu& cpu, uint32_t bit) { return (field(cpu, Field::primaryControls) & bit) != 0; }
inline bool secondaryBased(const Cpu& cpu, uint32_t bit) {
  return primaryBased(cpu, primary::kActivateSecondaryControls) && (field(cpu, Field::secondaryControls) & bit) != 0;
}
inline bool exitBased(const Cpu& cpu, uint32_t bit) { return (field(cpu, Field::exitControls) & bit) != 0; }
inline bool entryBased(const Cpu& cpu, uint32_t bit) { return (field(cpu, Field::entryControls) & bit) != 0; }

/**
 * What has to run before an instruction in non-root operation: whether it exits, or does not exist there. Null for
 * what never does.
 */
Handler interceptOf(const Opcode& row, const MicroOp& op);

/** An exit that an instruction causes: its length is told. */
bool leaveBy(Cpu& cpu, ExitReason reason, uint64_t qualification = 0, uint32_t information = 0, uint64_t linear = 0);
/** VM-exit instruction information of a memory operand (28.2.5), and the displacement that is the qualification. */
uint32_t operandInformation(const MicroOp& op);
uint64_t displacementOf(const Cpu& cpu, const MicroOp& op);

/** What RDTSC gives in non-root operation, of what it gives outside. */
uint64_t guestTsc(const Cpu& cpu, uint64_t tsc);

/** A control register as the guest sees it, and what a write of it leaves: guest/host masks and read shadows. */
uint64_t readMasked(const Cpu& cpu, uint64_t value, Field mask, Field shadow);
inline uint64_t guestCr0(const Cpu& cpu) {
  return readMasked(cpu, cpu.cr0, Field::cr0GuestHostMask, Field::cr0ReadShadow);
}
inline uint64_t guestCr4(const Cpu& cpu) {
  return readMasked(cpu, cpu.cr4, Field::cr4GuestHostMask, Field::cr4ReadShadow);
}
inline uint64_t keepMasked(const Cpu& cpu, uint64_t value, uint64_t current, Field mask) {
  return (value & ~field(cpu, mask)) | (current & field(cpu, mask));
}

}  // namespace vtkit::emulator::vmx
