// Control registers (SDM Vol. 3A, 2.5).
#include <algorithm>
#include <iterator>

#include "emulator/blocks.h"
#include "emulator/breakpoints.h"
#include "emulator/cpu-model.h"
#include "emulator/system.h"
#include "emulator/translation-cache.h"
#include "emulator/vmx/ept.h"
#include "emulator/vmx/instructions.h"

namespace vtkit::emulator {

namespace {

/** TR holds a TSS of 16 bits, available or busy. */
bool hasTask16(const Cpu& cpu) { return (cpu.seg[TR].type & ~2u) == 1; }

constexpr uint64_t kCr0Known =
    kCr0Pe | kCr0Mp | kCr0Em | kCr0Ts | kCr0Et | kCr0Ne | kCr0Wp | kCr0Am | kCr0Nw | kCr0Cd | kCr0Pg;

/** Bits of CR4 that exist with a feature. */
struct Control {
  uint64_t bits;
  CpuidBit feature;
};
using namespace model;
constexpr Control kCr4Bits[] = {
    {kCr4Vme | kCr4Pvi, kVme}, {kCr4Tsd, kTsc},   {kCr4De, kDebugExtensions},
    {kCr4Pse, kPse},           {kCr4Pae, kPae},   {kCr4Mce, kMce},
    {kCr4Pge, kPge},           {kCr4Umip, kUmip}, {kCr4FsGsBase, kFsGsBase},
    {kCr4Pcide, kPcid},        {kCr4Smep, kSmep}, {kCr4Smap, kSmap},
    {kCr4Pke, kPku},           {kCr4La57, kLa57},
};

bool paePaging(uint64_t cr0, uint64_t cr4, uint64_t efer) {
  return (cr0 & kCr0Pg) != 0 && (cr4 & kCr4Pae) != 0 && (efer & kEferLme) == 0;
}

/** The four pointers, as MOV to a control register loads them (SDM Vol. 3A, 4.4.1): all of them, or none. */
bool loadPointers(Cpu& cpu, uint64_t cr3) {
  uint64_t loaded[4];
  for (unsigned i = 0; i < 4; i++) {
    uint64_t physical = pointerAddress(cr3, i);
    constexpr auto kPointer = vmx::GuestAccess::Of::pointer;
    if (cpu.ept && !vmx::translateGuestPhysical(cpu, physical, {Access::read, 0, kPointer, false}, physical)) {
      return false;
    }
    loaded[i] = pointerAt(cpu, physical);
    if (!isPointer(cpu, loaded[i])) return gp(cpu);
  }
  std::copy(std::begin(loaded), std::end(loaded), cpu.pointers);
  return true;
}

}  // namespace

uint64_t pointerAt(const Cpu& cpu, uint64_t physical) {
  uint64_t entry = 0;
  cpu.memory->read(physical, &entry, sizeof(entry));
  return entry;
}

bool isPointer(const Cpu& cpu, uint64_t entry) {
  constexpr uint64_t kPresent = 1, kReserved = 0x1e6;
  return (entry & kPresent) == 0 || (entry & (~physicalMask(cpu) | kReserved)) == 0;
}

bool usesPointers(const Cpu& cpu) { return paePaging(cpu.cr0, cpu.cr4, cpu.efer); }

bool readPointers(Cpu& cpu) {
  bool valid = true;
  for (unsigned i = 0; i < 4; i++) {
    cpu.pointers[i] = pointerAt(cpu, pointerAddress(cpu.cr3, i));
    valid = valid && isPointer(cpu, cpu.pointers[i]);
  }
  return valid;
}

bool setCr0(Cpu& cpu, uint64_t value) {
  if (!vmx::holdsFixedBits(cpu, value, cpu.cr4)) return gp(cpu);
  value = (value & (kCr0Known | ~uint64_t{0xffffffff})) | kCr0Et;
  const bool pg = (value & kCr0Pg) != 0;
  if (value >> 32 != 0 || (pg && (value & kCr0Pe) == 0) || ((value & kCr0Nw) != 0 && (value & kCr0Cd) == 0))
    return gp(cpu);
  if (pg && (cpu.cr0 & kCr0Pg) == 0 && (cpu.efer & kEferLme) != 0) {
    // The consistency checks of 64-bit mode (10.8.5)
    if ((cpu.cr4 & kCr4Pae) == 0 || cpu.seg[CS].l != 0 || hasTask16(cpu)) return gp(cpu);
    cpu.efer |= kEferLma;
  } else if (!pg && (cpu.cr0 & kCr0Pg) != 0) {
    if (cpu.code64() || (cpu.cr4 & kCr4Pcide) != 0) return gp(cpu);
    cpu.efer &= ~kEferLma;
  }
  if (paePaging(value, cpu.cr4, cpu.efer) && !usesPointers(cpu) && !loadPointers(cpu, cpu.cr3)) {
    return false;
  }
  if (value == cpu.cr0) return true;
  if (!pg && (cpu.cr0 & kCr0Pg) != 0) endTranslations(cpu, currentVpid(cpu));
  cpu.cr0 = value;
  flushTlb(cpu);
  updateMode(cpu);
  return true;
}

bool setCr3(Cpu& cpu, uint64_t value) {
  // Bit 63 asks that translations of this PCID be kept. The TLB keeps none: an end that comes early is never wrong.
  const bool retains = (cpu.cr4 & kCr4Pcide) != 0 && value >> 63 != 0;
  if (retains) value &= ~(uint64_t{1} << 63);
  if (cpu.longMode() && (value & ~physicalMask(cpu)) != 0) return gp(cpu);
  if (usesPointers(cpu) && !loadPointers(cpu, value)) return false;
  cpu.cr3 = value;
  if (!retains) endTranslations(cpu, currentPcid(cpu).butGlobals());
  flushTlb(cpu);
  return true;
}

uint64_t cr4Bits(const Cpu& cpu) {
  uint64_t bits = kCr4Pce;
  for (const Control& control : kCr4Bits) bits |= has(cpu, control.feature) ? control.bits : 0;
  if (has(cpu.features, Feature::fxsr)) bits |= kCr4Osfxsr;
  if (has(cpu.features, Feature::sse)) bits |= kCr4Osxmmexcpt;
  if (has(cpu.features, Feature::xsave)) bits |= kCr4Osxsave;
  if (has(cpu.features, Feature::vmx)) bits |= kCr4Vmxe;
  return bits;
}

bool setCr4(Cpu& cpu, uint64_t value) {
  const uint64_t changed = value ^ cpu.cr4;
  if ((value & ~cr4Bits(cpu)) != 0 || !vmx::holdsFixedBits(cpu, cpu.cr0, value)) return gp(cpu);
  if (cpu.longMode() && ((value & kCr4Pae) == 0 || (changed & kCr4La57) != 0)) return gp(cpu);
  if ((changed & value & kCr4Pcide) != 0 && (!cpu.longMode() || (cpu.cr3 & 0xfff) != 0)) return gp(cpu);
  constexpr uint64_t kReloads = kCr4Pae | kCr4Pge | kCr4Pse | kCr4Smep;
  if (paePaging(cpu.cr0, value, cpu.efer) && (changed & kReloads) != 0 && !loadPointers(cpu, cpu.cr3)) return false;
  if (changed == 0) return true;
  // SDM Vol. 3A, 4.10.4.1
  if ((changed & (kCr4Pge | (cpu.cr4 & kCr4Pcide))) != 0) {
    endTranslations(cpu, currentVpid(cpu));
  } else if ((changed & (kCr4Pae | (value & kCr4Smep))) != 0) {
    endTranslations(cpu, currentPcid(cpu));
  }
  cpu.cr4 = value;
  updateUsable(cpu);
  flushTlb(cpu);
  if ((changed & kCr4De) != 0) updateBreakpoints(cpu);
  cpu.leaveBlock = true;
  return true;
}

}  // namespace vtkit::emulator
