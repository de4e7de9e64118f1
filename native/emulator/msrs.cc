// Model-specific registers (SDM Vol. 4, table 2-2).
#include "emulator/msrs.h"

#include <iterator>

#include "emulator/cpu-model.h"
#include "emulator/dispatch.h"
#include "emulator/mmu.h"
#include "emulator/system.h"
#include "emulator/vmx/capabilities.h"
#include "emulator/vmx/controls.h"
#include "emulator/vmx/virtual-apic.h"

namespace vtkit::emulator {

namespace {

/** What a write is held to, beside the bits that exist. */
enum class Rule : uint8_t {
  bits,          // #GP for bits that do not exist
  canonical,     // an address
  readOnly,      // #GP for every write
  writeOnly,     // #GP for every read
  zero,          // only 0 may be written
  allOrNothing,  // 0 or all ones
  memoryTypes,   // each byte a type that MTRRs have
  patTypes,      // each byte a type that the PAT has
  custom,        // read and written by a function below
};

constexpr CpuidBit kAlwaysThere = {0, 0, nullptr, 0};

struct Msr {
  uint32_t first, last;
  Rule rule;
  uint64_t reset;
  uint64_t writable;               // bits that a write may have
  uint64_t kept;                   // of those, bits that it does not change
  CpuidBit feature;                // without it the register does not exist
  uint64_t Cpu::*value = nullptr;  // else in Cpu::msrs
};

constexpr unsigned kMceBanks = 10;
constexpr uint64_t kAll = ~uint64_t{0};

using namespace model;
constexpr Msr kMsrs[] = {
    {0x10, 0x10, Rule::custom, 0, kAll, 0, kTsc},                          // IA32_TIME_STAMP_COUNTER
    {0x17, 0x17, Rule::readOnly, 0, 0, 0, kAlwaysThere},                   // IA32_PLATFORM_ID
    {0x1b, 0x1b, Rule::custom, 0, kAll, 0, kApic},                         // IA32_APIC_BASE
    {0x3a, 0x3a, Rule::custom, 0, kAll, 0, kVmx},                          // IA32_FEATURE_CONTROL
    {0x3b, 0x3b, Rule::custom, 0, kAll, 0, kTscAdjust},                    // IA32_TSC_ADJUST
    {0x48, 0x48, Rule::bits, 0, 7, 0, kSpecCtrl},                          // IA32_SPEC_CTRL
    {0x49, 0x49, Rule::writeOnly, 0, 1, 0, kSpecCtrl},                     // IA32_PRED_CMD
    {0x8b, 0x8b, Rule::bits, uint64_t{1} << 32, kAll, 0, kAlwaysThere},    // IA32_BIOS_SIGN_ID
    {0xfe, 0xfe, Rule::readOnly, 0x508, 0, 0, kMtrr},                      // IA32_MTRRCAP: 8, fixed, WC
    {0x174, 0x174, Rule::bits, 0, 0xffffffff, 0, kSep, &Cpu::sysenterCs},  // IA32_SYSENTER_CS
    {0x175, 0x175, Rule::canonical, 0, kAll, 0, kSep, &Cpu::sysenterEsp},  // IA32_SYSENTER_ESP
    {0x176, 0x176, Rule::canonical, 0, kAll, 0, kSep, &Cpu::sysenterEip},  // IA32_SYSENTER_EIP
    {0x179, 0x179, Rule::readOnly, kMceBanks | 1u << 8, 0, 0, kMca},       // IA32_MCG_CAP
    {0x17a, 0x17a, Rule::bits, 0, 7, 0, kMca},                             // IA32_MCG_STATUS
    {0x17b, 0x17b, Rule::allOrNothing, kAll, kAll, 0, kMca},               // IA32_MCG_CTL
    {0x1a0, 0x1a0, Rule::bits, 0x1801, 0x400c51889, 0x1880, kAlwaysThere, &Cpu::miscEnable},  // IA32_MISC_ENABLE
    {0x1d9, 0x1d9, Rule::bits, 0, 3, 0, kAlwaysThere, &Cpu::debugControl},                    // IA32_DEBUGCTL: LBR, BTF
    {0x200, 0x20f, Rule::custom, 0, kAll, 0, kMtrr},                               // IA32_MTRR_PHYSBASEn, PHYSMASKn
    {0x250, 0x250, Rule::memoryTypes, 0, kAll, 0, kMtrr},                          // IA32_MTRR_FIX64K
    {0x258, 0x259, Rule::memoryTypes, 0, kAll, 0, kMtrr},                          // IA32_MTRR_FIX16K
    {0x268, 0x26f, Rule::memoryTypes, 0, kAll, 0, kMtrr},                          // IA32_MTRR_FIX4K
    {0x277, 0x277, Rule::patTypes, 0x0007040600070406, kAll, 0, kPat, &Cpu::pat},  // IA32_PAT
    {0x2ff, 0x2ff, Rule::bits, 0xc06, 0xcff, 0, kMtrr},                            // IA32_MTRR_DEF_TYPE: on, write-back
    {0x400, 0x400 + 4 * kMceBanks - 1, Rule::custom, 0, kAll, 0, kMca},            // IA32_MCi_CTL, STATUS, ADDR, MISC
    {0x480, 0x491, Rule::custom, 0, 0, 0, kVmx},                                   // IA32_VMX_BASIC to IA32_VMX_VMFUNC
    {0x6e0, 0x6e0, Rule::custom, 0, kAll, 0, kTscDeadline},                        // IA32_TSC_DEADLINE
    {0xda0, 0xda0, Rule::zero, 0, 0, 0, kXsaves, &Cpu::xss},                       // IA32_XSS: no supervisor states
    {0x800, 0x8ff, Rule::custom, 0, kAll, 0, kX2apic},                             // x2APIC registers
    {0xc0000080, 0xc0000080, Rule::custom, 0, kAll, 0, kLm},                       // IA32_EFER
    {0xc0000081, 0xc0000081, Rule::bits, 0, kAll, 0, kSyscall, &Cpu::star},        // IA32_STAR
    {0xc0000082, 0xc0000082, Rule::canonical, 0, kAll, 0, kLm, &Cpu::lstar},       // IA32_LSTAR
    {0xc0000083, 0xc0000083, Rule::canonical, 0, kAll, 0, kLm, &Cpu::cstar},       // IA32_CSTAR
    {0xc0000084, 0xc0000084, Rule::bits, 0, 0xffffffff, 0, kLm, &Cpu::sfmask},     // IA32_FMASK
    {0xc0000100, 0xc0000101, Rule::custom, 0, kAll, 0, kLm},                       // IA32_FS_BASE, IA32_GS_BASE
    {0xc0000102, 0xc0000102, Rule::canonical, 0, kAll, 0, kLm, &Cpu::kernelGsBase},  // IA32_KERNEL_GS_BASE
    {0xc0000103, 0xc0000103, Rule::bits, 0, 0xffffffff, 0, kRdtscp, &Cpu::tscAux},   // IA32_TSC_AUX
};

constexpr unsigned keptBefore(const Msr& row) {
  unsigned count = 0;
  for (const Msr* other = kMsrs; other != &row; other++) {
    if (other->value == nullptr && other->last - other->first < 0x80) count += other->last - other->first + 1;
  }
  return count;
}
static_assert(keptBefore(kMsrs[std::size(kMsrs) - 1]) < Cpu::kMsrSlots);

const Msr* rowOf(const Cpu& cpu, uint32_t index) {
  for (const Msr& row : kMsrs) {
    if (index < row.first || index > row.last) continue;
    return row.feature.word == nullptr || has(cpu, row.feature) ? &row : nullptr;
  }
  return nullptr;
}

uint64_t& valueOf(Cpu& cpu, const Msr& row, uint32_t index) {
  return row.value != nullptr ? cpu.*row.value : cpu.msrs[keptBefore(row) + index - row.first];
}

bool typesOf(uint64_t value, uint32_t allowed) {
  for (unsigned i = 0; i < 64; i += 8) {
    const uint64_t type = value >> i & 0xff;
    if (type > 7 || (allowed >> type & 1) == 0) return false;
  }
  return true;
}
constexpr uint32_t kMtrrTypes = 1u << 0 | 1u << 1 | 1u << 4 | 1u << 5 | 1u << 6, kPatTypes = kMtrrTypes | 1u << 7;

bool allowed(const Cpu& cpu, const Msr& row, uint32_t index, uint64_t value) {
  if ((value & ~row.writable) != 0) return false;
  switch (row.rule) {
    case Rule::canonical:
      return canonicalBase(cpu, value);
    case Rule::readOnly:
      return false;
    case Rule::zero:
      return value == 0;
    case Rule::allOrNothing:
      return value == 0 || value == kAll;
    case Rule::memoryTypes:
      return typesOf(value, kMtrrTypes);
    case Rule::patTypes:
      return typesOf(value, kPatTypes);
    default:
      break;
  }
  if (index == 0x2ff) return (kMtrrTypes >> (value & 0xff & 31) & 1) != 0 && (value & 0xff) < 8;
  return true;
}

// Registers with effects
// -----------------------------------------------------------------------------------------------

uint64_t tscOf(const Cpu& cpu) { return ticksOf(cpu) + cpu.tscOffset; }

void moveTsc(Cpu& cpu, uint64_t by) {
  cpu.tscOffset += by;
  cpu.tscAdjust += by;
  cpu.apic->tscMoved();
}

bool setEfer(Cpu& cpu, uint64_t value) {
  const uint64_t known = (has(cpu, kSyscall) ? kEferSce : 0) | kEferLme | kEferLma | (has(cpu, kNx) ? kEferNxe : 0);
  if ((value & ~known) != 0) return false;
  if (((value ^ cpu.efer) & kEferLme) != 0 && (cpu.cr0 & kCr0Pg) != 0) return false;
  cpu.efer = (value & ~kEferLma) | (cpu.efer & kEferLma);
  flushTlb(cpu);
  return true;
}

/** The banks of machine-check registers, four each: control, status, address, the rest. */
bool bankAllows(uint32_t index, uint64_t value) {
  if ((index & 3) == 0) return value == 0 || value == kAll;
  return (index & 3) != 1 || value == 0;
}

/** Variable MTRRs: a type in the base, a valid bit in the mask, and an address in both. */
bool rangeAllows(const Cpu& cpu, uint32_t index, uint64_t value) {
  const uint64_t address = physicalMask(cpu) & ~uint64_t{0xfff};
  if ((index & 1) != 0) return (value & ~(address | 0x800)) == 0;
  return (value & ~(address | 0xff)) == 0 && (value & 0xff) < 8 && (kMtrrTypes >> (value & 7) & 1) != 0;
}

bool readCustom(Cpu& cpu, const Msr& row, uint32_t index, uint64_t& value) {
  if (row.first == 0x800) {
    const vmx::MsrAccess access = cpu.guest ? vmx::readVirtualMsr(cpu, index, value) : vmx::MsrAccess::passed;
    return access == vmx::MsrAccess::passed ? cpu.apic->readMsr(index, value) : access == vmx::MsrAccess::virtualized;
  }
  if (row.first == vmx::kFirstCapability) return vmx::readCapability(cpu, index, value);
  switch (index) {
    case 0x10:
      value = tscOf(cpu);
      if (cpu.guest) value = vmx::guestTsc(cpu, value);
      return true;
    case 0x1b:
      return value = cpu.apic->base(), true;
    case 0x3b:
      return value = cpu.tscAdjust, true;
    case 0x6e0:
      return value = cpu.apic->tscDeadline(), true;
    case 0xc0000080:
      return value = cpu.efer, true;
    case 0xc0000100:
      return value = cpu.seg[FS].base, true;
    case 0xc0000101:
      return value = cpu.seg[GS].base, true;
    default:
      return value = valueOf(cpu, row, index), true;
  }
}

bool writeCustom(Cpu& cpu, const Msr& row, uint32_t index, uint64_t value) {
  if (row.first == 0x800) {
    const vmx::MsrAccess access = cpu.guest ? vmx::writeVirtualMsr(cpu, index, value) : vmx::MsrAccess::passed;
    return access == vmx::MsrAccess::passed ? cpu.apic->writeMsr(index, value) : access == vmx::MsrAccess::virtualized;
  }
  if (row.first == vmx::kFirstCapability) return false;
  switch (index) {
    case 0x10:
      return moveTsc(cpu, value - tscOf(cpu)), true;
    case 0x1b:
      if ((value & kApicExtended) != 0 && !has(cpu, kX2apic)) return false;
      if (!cpu.apic->setBase(value, physicalMask(cpu))) return false;
      flushTlb(cpu);
      return true;
    case vmx::kFeatureControl: {
      uint64_t& kept = valueOf(cpu, row, index);
      if ((kept & vmx::kFeatureLocked) != 0 || (value & ~(vmx::kFeatureLocked | vmx::kFeatureVmx)) != 0) return false;
      return kept = value, true;
    }
    case 0x3b:
      return moveTsc(cpu, value - cpu.tscAdjust), true;
    case 0x6e0:
      return cpu.apic->setTscDeadline(value), true;
    case 0xc0000080:
      return setEfer(cpu, value);
    case 0xc0000100:
    case 0xc0000101:
      if (!canonicalBase(cpu, value)) return false;
      cpu.seg[index == 0xc0000100 ? FS : GS].base = value;
      updateMode(cpu);
      return true;
    default:
      if (row.first == 0x400 ? !bankAllows(index, value) : !rangeAllows(cpu, index, value)) return false;
      return valueOf(cpu, row, index) = value, true;
  }
}

}  // namespace

void resetMsrs(Cpu& cpu) {
  for (const Msr& row : kMsrs) {
    for (uint32_t index = row.first; row.rule != Rule::custom && index <= row.last; index++) {
      valueOf(cpu, row, index) = row.reset;
    }
  }
}

bool readMsr(Cpu& cpu, uint32_t index, uint64_t& value) {
  const Msr* row = rowOf(cpu, index);
  if (row == nullptr || row->rule == Rule::writeOnly) return false;
  if (row->rule == Rule::custom) return readCustom(cpu, *row, index, value);
  value = valueOf(cpu, *row, index);
  return true;
}

bool writeMsr(Cpu& cpu, uint32_t index, uint64_t value) {
  const Msr* row = rowOf(cpu, index);
  if (row == nullptr) return false;
  if (row->rule == Rule::custom) return writeCustom(cpu, *row, index, value);
  if (!allowed(cpu, *row, index, value)) return false;
  uint64_t& kept = valueOf(cpu, *row, index);
  kept = (value & ~row->kept) | (kept & row->kept);
  return true;
}

}  // namespace vtkit::emulator
