// What the model's VMX offers: the capability MSRs (SDM Vol. 3D, appendix A).
#pragma once

#include <cstdint>

namespace vtkit::emulator {
struct Cpu;
}

namespace vtkit::emulator::vmx {

/** IA32_FEATURE_CONTROL, and its bits: no more writes; VMXON outside SMX. */
inline constexpr uint64_t kFeatureLocked = 1, kFeatureVmx = 4;
inline constexpr uint32_t kFeatureControl = 0x3a, kFirstCapability = 0x480, kLastCapability = 0x491;

/** One word of controls: bits that have to be 1, and those that may be. */
struct Allowed {
  uint32_t zero;  // "allowed 0": a bit that is set here must be 1
  uint32_t one;   // "allowed 1": a bit that is clear here must be 0
  bool permits(uint64_t value) const { return (value & ~uint64_t{one}) == 0 && (~value & zero) == 0; }
};
enum class ControlWord : uint8_t { pinBased, primary, secondary, exit, entry };
/** As the "true" MSRs have it (A.2 to A.5). */
Allowed allowed(const Cpu& cpu, ControlWord word);
/** VM functions that may be enabled (IA32_VMX_VMFUNC). */
uint64_t allowedFunctions(const Cpu& cpu);

/** Bits of CR0 and CR4 that are fixed in VMX operation (A.7, A.8). */
inline constexpr uint64_t kCr0Fixed0 = 0x80000021, kCr0Fixed1 = 0xffffffff, kCr4Fixed0 = 0x2000;
uint64_t cr4Fixed1(const Cpu& cpu);

/** IA32_VMX_EPT_VPID_CAP (A.10). */
uint64_t eptVpidCapabilities(const Cpu& cpu);
/** Whether an EPT pointer names memory type, levels and table that exist (25.6.11). */
bool isEptPointer(const Cpu& cpu, uint64_t pointer);

/** One of the read-only MSRs 480h to 491h. False where the processor has none of that number. */
bool readCapability(const Cpu& cpu, uint32_t index, uint64_t& value);

}  // namespace vtkit::emulator::vmx
