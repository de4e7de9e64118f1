// Checks on the host-state area (SDM Vol. 3C, 27.2.2 to 27.2.4).
#include "emulator/cpu-model.h"
#include "emulator/vmx/capabilities.h"
#include "emulator/vmx/controls.h"
#include "emulator/vmx/entry-checks.h"

namespace vtkit::emulator::vmx {

bool isPat(uint64_t value) {
  constexpr uint32_t kTypes = 1u << 0 | 1u << 1 | 1u << 4 | 1u << 5 | 1u << 6 | 1u << 7;
  for (unsigned i = 0; i < 64; i += 8) {
    const uint64_t type = value >> i & 0xff;
    if (type > 7 || (kTypes >> type & 1) == 0) return false;
  }
  return true;
}

// What the processor runs with exists: mostly there is nothing to look up.

bool hasCr4(const Cpu& cpu, uint64_t value) { return value == cpu.cr4 || (value & ~cr4Fixed1(cpu)) == 0; }

bool isEfer(const Cpu& cpu, uint64_t value) {
  if (value == cpu.efer) return true;
  uint64_t known = 0;
  if (has(cpu, model::kSyscall)) known |= kEferSce;
  if (has(cpu, model::kLm)) known |= kEferLme | kEferLma;
  if (has(cpu, model::kNx)) known |= kEferNxe;
  return (value & ~known) == 0;
}

namespace {

constexpr Failure kInvalidHost = {8};

bool registers(const Cpu& cpu, const Vmcs& vmcs, const Controls& controls) {
  const uint64_t cr0 = vmcs.get(Field::hostCr0), cr4 = vmcs.get(Field::hostCr4);
  if ((cr0 & kCr0Fixed0) != kCr0Fixed0 || (cr0 & ~kCr0Fixed1) != 0) return false;
  if ((cr4 & kCr4Fixed0) != kCr4Fixed0 || !hasCr4(cpu, cr4)) return false;
  if ((vmcs.get(Field::hostCr3) & ~physicalMask(cpu)) != 0) return false;
  const bool wideAddresses = has(cpu, model::kLa57);
  for (const Field address : {Field::hostSysenterEsp, Field::hostSysenterEip, Field::hostFsBase, Field::hostGsBase,
                              Field::hostGdtrBase, Field::hostIdtrBase, Field::hostTrBase}) {
    const uint64_t value = vmcs.get(address);
    if (!(wideAddresses ? canonical57(value) : canonical48(value))) return false;
  }
  if ((controls.exit & onExit::kLoadPat) != 0 && !isPat(vmcs.get(Field::hostPat))) return false;
  if ((controls.exit & onExit::kLoadEfer) == 0) return true;
  const uint64_t efer = vmcs.get(Field::hostEfer);
  const bool wide = (controls.exit & onExit::kHostAddressSpaceSize) != 0;
  return isEfer(cpu, efer) && ((efer & kEferLma) != 0) == wide && ((efer & kEferLme) != 0) == wide;
}

bool selectors(const Vmcs& vmcs, bool wide) {
  constexpr uint64_t kRplAndTable = 7;
  for (const Field selector :
       {Field::hostEsSelector, Field::hostCsSelector, Field::hostSsSelector, Field::hostDsSelector,
        Field::hostFsSelector, Field::hostGsSelector, Field::hostTrSelector}) {
    if ((vmcs.get(selector) & kRplAndTable) != 0) return false;
  }
  return vmcs.get(Field::hostCsSelector) != 0 && vmcs.get(Field::hostTrSelector) != 0 &&
         (wide || vmcs.get(Field::hostSsSelector) != 0);
}

bool addressSpace(const Cpu& cpu, const Vmcs& vmcs, const Controls& controls, bool wide) {
  const uint64_t cr4 = vmcs.get(Field::hostCr4), rip = vmcs.get(Field::hostRip);
  if (cpu.longMode() != wide) return false;
  if (wide) return (cr4 & kCr4Pae) != 0 && canonicalBase(cpu, rip);
  return (controls.entry & onEntry::kIa32eModeGuest) == 0 && (cr4 & kCr4Pcide) == 0 && rip >> 32 == 0;
}

}  // namespace

Failure checkHost(const Cpu& cpu, const Vmcs& vmcs) {
  const Controls controls(vmcs);
  const bool wide = (controls.exit & onExit::kHostAddressSpaceSize) != 0;
  const bool holds = registers(cpu, vmcs, controls) && selectors(vmcs, wide) && addressSpace(cpu, vmcs, controls, wide);
  return holds ? Failure() : kInvalidHost;
}

}  // namespace vtkit::emulator::vmx
