// What the model's VMX offers.
#include "emulator/vmx/capabilities.h"

#include <algorithm>

#include "emulator/cpu-model.h"
#include "emulator/system.h"
#include "emulator/vmx/controls.h"
#include "emulator/vmx/transitions.h"

namespace vtkit::emulator::vmx {

namespace {

/** A control that works here. */
struct Control {
  ControlWord word;
  uint32_t bit;
};
constexpr Control kControls[] = {
    {ControlWord::pinBased, pin::kExternalInterruptExiting},
    {ControlWord::pinBased, pin::kNmiExiting},
    {ControlWord::pinBased, pin::kVirtualNmis},
    {ControlWord::pinBased, pin::kPreemptionTimer},
    {ControlWord::pinBased, pin::kPostedInterrupts},
    {ControlWord::primary, primary::kInterruptWindowExiting},
    {ControlWord::primary, primary::kUseTscOffsetting},
    {ControlWord::primary, primary::kHltExiting},
    {ControlWord::primary, primary::kInvlpgExiting},
    {ControlWord::primary, primary::kMwaitExiting},
    {ControlWord::primary, primary::kRdpmcExiting},
    {ControlWord::primary, primary::kRdtscExiting},
    {ControlWord::primary, primary::kCr3LoadExiting},
    {ControlWord::primary, primary::kCr3StoreExiting},
    {ControlWord::primary, primary::kCr8LoadExiting},
    {ControlWord::primary, primary::kCr8StoreExiting},
    {ControlWord::primary, primary::kUseTprShadow},
    {ControlWord::primary, primary::kNmiWindowExiting},
    {ControlWord::primary, primary::kMovDrExiting},
    {ControlWord::primary, primary::kUnconditionalIoExiting},
    {ControlWord::primary, primary::kUseIoBitmaps},
    {ControlWord::primary, primary::kMonitorTrapFlag},
    {ControlWord::primary, primary::kUseMsrBitmaps},
    {ControlWord::primary, primary::kMonitorExiting},
    {ControlWord::primary, primary::kPauseExiting},
    {ControlWord::primary, primary::kActivateSecondaryControls},
    {ControlWord::secondary, secondary::kVirtualizeApicAccesses},
    {ControlWord::secondary, secondary::kEnableEpt},
    {ControlWord::secondary, secondary::kDescriptorTableExiting},
    {ControlWord::secondary, secondary::kUnrestrictedGuest},
    {ControlWord::secondary, secondary::kVirtualizeX2apicMode},
    {ControlWord::secondary, secondary::kEnableVpid},
    {ControlWord::secondary, secondary::kWbinvdExiting},
    {ControlWord::secondary, secondary::kApicRegisterVirtualization},
    {ControlWord::secondary, secondary::kVirtualInterruptDelivery},
    {ControlWord::secondary, secondary::kPauseLoopExiting},
    {ControlWord::secondary, secondary::kRdrandExiting},
    {ControlWord::secondary, secondary::kEnableVmFunctions},
    {ControlWord::secondary, secondary::kVmcsShadowing},
    {ControlWord::secondary, secondary::kRdseedExiting},
    {ControlWord::secondary, secondary::kEnablePml},
    {ControlWord::secondary, secondary::kEptViolationVe},
    {ControlWord::secondary, secondary::kModeBasedExecute},
    {ControlWord::secondary, secondary::kUseTscScaling},
    {ControlWord::exit, onExit::kSaveDebugControls},
    {ControlWord::exit, onExit::kAcknowledgeInterrupt},
    {ControlWord::exit, onExit::kSaveEfer},
    {ControlWord::exit, onExit::kLoadEfer},
    {ControlWord::exit, onExit::kSavePreemptionTimer},
    {ControlWord::entry, onEntry::kLoadDebugControls},
    {ControlWord::entry, onEntry::kLoadEfer},
};

/** One that works where CPUID announces what it controls. */
struct Conditional {
  Control control;
  const CpuidBit* needs;
};
using namespace model;
constexpr Conditional kConditional[] = {
    {{ControlWord::secondary, secondary::kEnableRdtscp}, &kRdtscp},
    {{ControlWord::secondary, secondary::kEnableInvpcid}, &kInvpcid},
    {{ControlWord::secondary, secondary::kEnableXsaves}, &kXsaves},
    {{ControlWord::exit, onExit::kHostAddressSpaceSize}, &kLm},
    {{ControlWord::exit, onExit::kSavePat}, &kPat},
    {{ControlWord::exit, onExit::kLoadPat}, &kPat},
    {{ControlWord::entry, onEntry::kIa32eModeGuest}, &kLm},
    {{ControlWord::entry, onEntry::kLoadPat}, &kPat},
};

/** The bits of kControls by word: every VM entry asks for them. */
struct Words {
  uint32_t bits[5] = {};
  constexpr Words() {
    for (const Control& control : kControls) bits[static_cast<unsigned>(control.word)] |= control.bit;
  }
};
constexpr Words kAlways;

/** The default1 class (A.2): reserved bits that are 1, and controls that were once fixed to 1. */
constexpr uint32_t kDefault1[] = {0x16, 0x0401e172, 0, 0x00036dff, 0x000011ff};
/** Of these, the controls: 0 is allowed by the true MSRs. */
constexpr uint32_t kOnceFixed[] = {0, 1u << 15 | 1u << 16, 0, onExit::kSaveDebugControls, onEntry::kLoadDebugControls};

uint64_t word(uint32_t zero, uint32_t one) { return zero | uint64_t{one} << 32; }

uint64_t basic() {
  constexpr uint64_t kRegionBytes = 4096, kWriteBack = 6, kTellsIo = uint64_t{1} << 54,
                     kTrueControls = uint64_t{1} << 55;
  return kRevision | kRegionBytes << 32 | kWriteBack << 50 | kTellsIo | kTrueControls;
}

uint64_t miscellaneous() {
  constexpr uint64_t kStoresLma = 1u << 5, kHlt = 1u << 6, kShutdown = 1u << 7, kWaitForSipi = 1u << 8,
                     kCr3Targets = 4u << 16, kWritesAll = 1u << 29, kZeroLength = 1u << 30;
  constexpr uint64_t kLists = (kMsrListMaximum / 512 - 1) << 25;
  return kPreemptionTimerRate | kStoresLma | kHlt | kShutdown | kWaitForSipi | kCr3Targets | kLists | kWritesAll |
         kZeroLength;
}

uint64_t highestIndex() {
  unsigned highest = 0;
  for (const Field one : kFields) highest = std::max(highest, indexOf(static_cast<uint32_t>(one)));
  return uint64_t{highest} << 1;
}

}  // namespace

Allowed allowed(const Cpu& cpu, ControlWord which) {
  const auto i = static_cast<unsigned>(which);
  Allowed result = {kDefault1[i] & ~kOnceFixed[i], kDefault1[i] | kAlways.bits[i]};
  for (const auto& [control, needs] : kConditional) {
    if (control.word == which && has(cpu, *needs)) result.one |= control.bit;
  }
  return result;
}

uint64_t allowedFunctions(const Cpu&) { return 1; }  // EPTP switching

uint64_t cr4Fixed1(const Cpu& cpu) { return cr4Bits(cpu) | kCr4Fixed0; }

uint64_t eptVpidCapabilities(const Cpu&) {
  constexpr uint64_t kExecuteOnly = 1u << 0, kFourLevels = 1u << 6, kUncacheable = 1u << 8, kWriteBack = 1u << 14,
                     k2MiB = 1u << 16, k1GiB = 1u << 17, kInvept = 1u << 20, kAccessedAndDirty = 1u << 21,
                     kInveptTypes = 3u << 25, kInvvpid = uint64_t{1} << 32, kInvvpidTypes = uint64_t{15} << 40;
  return kExecuteOnly | kFourLevels | kUncacheable | kWriteBack | k2MiB | k1GiB | kInvept | kAccessedAndDirty |
         kInveptTypes | kInvvpid | kInvvpidTypes;
}

bool isEptPointer(const Cpu& cpu, uint64_t pointer) {
  const uint64_t offered = eptVpidCapabilities(cpu);
  const uint64_t type = pointer & 7, levels = (pointer >> 3 & 7) + 1;
  constexpr uint64_t kUncacheable = 0, kWriteBack = 6, kAccessedAndDirty = 1u << 6, kReserved = 0xf80;
  const bool typed =
      (type == kUncacheable && (offered >> 8 & 1) != 0) || (type == kWriteBack && (offered >> 14 & 1) != 0);
  const bool walks = (levels == 4 && (offered >> 6 & 1) != 0) || (levels == 5 && (offered >> 7 & 1) != 0);
  if (!typed || !walks || (pointer & kReserved) != 0 || (pointer & ~physicalMask(cpu)) != 0) return false;
  return (pointer & kAccessedAndDirty) == 0 || (offered >> 21 & 1) != 0;
}

bool readCapability(const Cpu& cpu, uint32_t index, uint64_t& value) {
  const auto trueOf = [&](ControlWord which) {
    const Allowed bits = allowed(cpu, which);
    return word(bits.zero, bits.one);
  };
  const auto oldOf = [&](ControlWord which) {
    return word(kDefault1[static_cast<unsigned>(which)], allowed(cpu, which).one);
  };
  switch (index) {
    case 0x480:
      return value = basic(), true;
    case 0x481:
      return value = oldOf(ControlWord::pinBased), true;
    case 0x482:
      return value = oldOf(ControlWord::primary), true;
    case 0x483:
      return value = oldOf(ControlWord::exit), true;
    case 0x484:
      return value = oldOf(ControlWord::entry), true;
    case 0x485:
      return value = miscellaneous(), true;
    case 0x486:
      return value = kCr0Fixed0, true;
    case 0x487:
      return value = kCr0Fixed1, true;
    case 0x488:
      return value = kCr4Fixed0, true;
    case 0x489:
      return value = cr4Fixed1(cpu), true;
    case 0x48a:
      return value = highestIndex(), true;
    case 0x48b:
      return value = trueOf(ControlWord::secondary), true;
    case 0x48c:
      value = eptVpidCapabilities(cpu);
      return value != 0;
    case 0x48d:
      return value = trueOf(ControlWord::pinBased), true;
    case 0x48e:
      return value = trueOf(ControlWord::primary), true;
    case 0x48f:
      return value = trueOf(ControlWord::exit), true;
    case 0x490:
      return value = trueOf(ControlWord::entry), true;
    case 0x491:
      value = allowedFunctions(cpu);
      return value != 0;
    default:
      return false;
  }
}

}  // namespace vtkit::emulator::vmx
