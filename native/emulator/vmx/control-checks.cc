// Checks on the VMX controls (SDM Vol. 3C, 27.2.1).
#include "emulator/cpu-model.h"
#include "emulator/vmx/capabilities.h"
#include "emulator/vmx/controls.h"
#include "emulator/vmx/entry-checks.h"
#include "emulator/vmx/transitions.h"

namespace vtkit::emulator::vmx {

Controls::Controls(const Vmcs& vmcs)
    : pinBased(vmcs.get(Field::pinBasedControls)),
      primary(vmcs.get(Field::primaryControls)),
      secondary((primary & primary::kActivateSecondaryControls) != 0 ? vmcs.get(Field::secondaryControls) : 0),
      exit(vmcs.get(Field::exitControls)),
      entry(vmcs.get(Field::entryControls)) {}

namespace {

constexpr Failure kInvalidControl = {7};

/** One VMCS under its processor: each check says whether it holds. */
class Check {
 public:
  Check(const Cpu& cpu, const Vmcs& vmcs) : cpu_(cpu), vmcs_(vmcs), controls_(vmcs) {}

  bool words() const {
    return permits(ControlWord::pinBased, controls_.pinBased) && permits(ControlWord::primary, controls_.primary) &&
           permits(ControlWord::secondary, controls_.secondary) && permits(ControlWord::exit, controls_.exit) &&
           permits(ControlWord::entry, controls_.entry);
  }

  /** 27.2.1.1 */
  bool execution() const {
    if (get(Field::cr3TargetCount) > 4) return false;
    if (primary(primary::kUseIoBitmaps) && (!isPage(Field::ioBitmapA) || !isPage(Field::ioBitmapB))) return false;
    if (primary(primary::kUseMsrBitmaps) && !isPage(Field::msrBitmap)) return false;
    if (!nmis() || !apic()) return false;
    if (secondary(secondary::kEnableVpid) && get(Field::virtualProcessorIdentifier) == 0) return false;
    if (!ept() || !functions()) return false;
    if (secondary(secondary::kVmcsShadowing) && (!isPage(Field::vmreadBitmap) || !isPage(Field::vmwriteBitmap))) {
      return false;
    }
    return !secondary(secondary::kUseTscScaling) || get(Field::tscMultiplier) != 0;
  }

  /** 27.2.1.2 */
  bool exits() const {
    if (!pin(pin::kPreemptionTimer) && (controls_.exit & onExit::kSavePreemptionTimer) != 0) return false;
    return isList(Field::exitMsrStoreAddress, Field::exitMsrStoreCount) &&
           isList(Field::exitMsrLoadAddress, Field::exitMsrLoadCount);
  }

  /** 27.2.1.3 */
  bool entries() const { return event() && isList(Field::entryMsrLoadAddress, Field::entryMsrLoadCount); }

 private:
  uint64_t get(Field field) const { return vmcs_.get(field); }
  bool permits(ControlWord word, uint64_t value) const { return allowed(cpu_, word).permits(value); }
  bool pin(uint32_t bit) const { return (controls_.pinBased & bit) != 0; }
  bool primary(uint32_t bit) const { return (controls_.primary & bit) != 0; }
  bool secondary(uint32_t bit) const { return (controls_.secondary & bit) != 0; }

  bool isAddress(uint64_t address, uint64_t alignment) const {
    return (address & (alignment - 1)) == 0 && (address & ~physicalMask(cpu_)) == 0;
  }
  bool isPage(Field field) const { return isAddress(get(field), 4096); }
  bool isList(Field address, Field count) const {
    if (get(count) == 0) return true;
    const uint64_t first = get(address), last = first + get(count) * 16 - 1;
    return isAddress(first, 16) && (last & ~physicalMask(cpu_)) == 0;
  }

  bool nmis() const {
    if (!pin(pin::kNmiExiting) && pin(pin::kVirtualNmis)) return false;
    return pin(pin::kVirtualNmis) || !primary(primary::kNmiWindowExiting);
  }

  bool apic() const {
    const bool delivers = secondary(secondary::kVirtualInterruptDelivery);
    const bool accesses = secondary(secondary::kVirtualizeApicAccesses);
    if (primary(primary::kUseTprShadow)) {
      const uint64_t page = get(Field::virtualApicAddress), threshold = get(Field::tprThreshold);
      if (!isAddress(page, 4096)) return false;
      if (!delivers && threshold >> 4 != 0) return false;
      if (!delivers && !accesses) {
        constexpr uint64_t kTpr = 0x80;
        uint8_t vtpr = 0;
        cpu_.memory->read(page + kTpr, &vtpr, 1);
        if (threshold > vtpr >> 4) return false;
      }
    } else if (secondary(secondary::kVirtualizeX2apicMode | secondary::kApicRegisterVirtualization) || delivers) {
      return false;
    }
    if (accesses && (!isPage(Field::apicAccessAddress) || secondary(secondary::kVirtualizeX2apicMode))) return false;
    if (delivers && !pin(pin::kExternalInterruptExiting)) return false;
    if (!pin(pin::kPostedInterrupts)) return true;
    return delivers && (controls_.exit & onExit::kAcknowledgeInterrupt) != 0 &&
           get(Field::postedInterruptNotificationVector) <= 255 &&
           isAddress(get(Field::postedInterruptDescriptorAddress), 64);
  }

  bool ept() const {
    if (!secondary(secondary::kEnableEpt)) {
      return !secondary(secondary::kEnablePml | secondary::kUnrestrictedGuest | secondary::kModeBasedExecute);
    }
    if (!isEptPointer(cpu_, get(Field::eptPointer))) return false;
    if (secondary(secondary::kEnablePml) && !isPage(Field::pmlAddress)) return false;
    return !secondary(secondary::kEptViolationVe) || isPage(Field::virtualizationExceptionAddress);
  }

  bool functions() const {
    if (!secondary(secondary::kEnableVmFunctions)) return true;
    const uint64_t wanted = get(Field::vmFunctionControls);
    constexpr uint64_t kEptpSwitching = 1;
    if ((wanted & ~allowedFunctions(cpu_)) != 0) return false;
    return (wanted & kEptpSwitching) == 0 || (secondary(secondary::kEnableEpt) && isPage(Field::eptpListAddress));
  }

  /** The event that is to be injected. */
  bool event() const {
    const uint64_t information = get(Field::entryInterruptionInformation);
    if ((information & kEventValid) == 0) return true;
    const auto type = static_cast<EventType>(information >> 8 & 7);
    const uint64_t vector = information & 0xff;
    constexpr uint64_t kReserved = 0x7ffff000;
    if (type == 1 || (information & kReserved) != 0) return false;
    if (type == kNmiEvent && vector != 2) return false;
    if (type == kHardwareException && vector > 31) return false;
    if (type == kOtherEvent && vector != 0) return false;
    constexpr uint32_t kWithError = 1u << 8 | 1u << 10 | 1u << 11 | 1u << 12 | 1u << 13 | 1u << 14 | 1u << 17;
    const bool isProtected = (get(Field::guestCr0) & kCr0Pe) != 0 || !secondary(secondary::kUnrestrictedGuest);
    const bool pushes = type == kHardwareException && isProtected && (kWithError >> vector & 1) != 0;
    if (((information & kEventHasError) != 0) != pushes) return false;
    if (pushes && get(Field::entryExceptionErrorCode) >> 16 != 0) return false;
    const bool isSoftware =
        type == kSoftwareInterrupt || type == kPrivilegedSoftwareException || type == kSoftwareException;
    return !isSoftware || get(Field::entryInstructionLength) <= 15;
  }

  const Cpu& cpu_;
  const Vmcs& vmcs_;
  const Controls controls_;
};

}  // namespace

Failure checkControls(const Cpu& cpu, const Vmcs& vmcs) {
  const Check check(cpu, vmcs);
  return check.words() && check.execution() && check.exits() && check.entries() ? Failure() : kInvalidControl;
}

}  // namespace vtkit::emulator::vmx
