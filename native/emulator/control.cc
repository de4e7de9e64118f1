// Control registers, MSRs and CPUID (SDM Vol. 3A, 2.5; Vol. 4; Vol. 2A, CPUID).
#include "emulator/blocks.h"
#include "emulator/system.h"

namespace vtkit::emulator {

namespace {

constexpr uint64_t kCr0Known =
    kCr0Pe | kCr0Mp | kCr0Em | kCr0Ts | kCr0Et | kCr0Ne | kCr0Wp | kCr0Am | kCr0Nw | kCr0Cd | kCr0Pg;
constexpr uint64_t kCr4Known = kCr4Vme | kCr4Pvi | kCr4Tsd | kCr4De | kCr4Pse | kCr4Pae | kCr4Mce | kCr4Pge;
constexpr uint64_t kEferKnown = kEferSce | kEferLme | kEferLma | kEferNxe;
constexpr uint64_t kPhysicalLimit = uint64_t{1} << 52;

/** PAE paging outside IA-32e mode checks its four pointers when CR3 is loaded (SDM Vol. 3A, 4.4.1). */
bool checkPointers(Cpu& cpu, uint64_t cr3) {
  for (unsigned i = 0; i < 4; i++) {
    uint64_t entry = 0;
    if (!cpu.memory->read((cr3 & 0xffffffe0) + 8 * i, &entry, 8)) return true;
    if ((entry & 1) != 0 && (entry & 0xfff00000000001e6) != 0) return gp(cpu);
  }
  return true;
}

bool paePaging(uint64_t cr0, uint64_t cr4, uint64_t efer) {
  return (cr0 & kCr0Pg) != 0 && (cr4 & kCr4Pae) != 0 && (efer & kEferLme) == 0;
}

}  // namespace

bool setCr0(Cpu& cpu, uint64_t value) {
  value = (value & (kCr0Known | ~uint64_t{0xffffffff})) | kCr0Et;
  const bool pg = (value & kCr0Pg) != 0;
  if (value >> 32 != 0 || (pg && (value & kCr0Pe) == 0) || ((value & kCr0Nw) != 0 && (value & kCr0Cd) == 0))
    return gp(cpu);
  if (pg && (cpu.cr0 & kCr0Pg) == 0 && (cpu.efer & kEferLme) != 0) {
    if ((cpu.cr4 & kCr4Pae) == 0 || cpu.seg[CS].l != 0) return gp(cpu);
    cpu.efer |= kEferLma;
  } else if (!pg && (cpu.cr0 & kCr0Pg) != 0) {
    if (cpu.code64()) return gp(cpu);
    cpu.efer &= ~kEferLma;
  }
  if (paePaging(value, cpu.cr4, cpu.efer) && !paePaging(cpu.cr0, cpu.cr4, cpu.efer) && !checkPointers(cpu, cpu.cr3)) {
    return false;
  }
  cpu.cr0 = value;
  flushTlb(cpu);
  updateMode(cpu);
  return true;
}

bool setCr3(Cpu& cpu, uint64_t value) {
  if (cpu.longMode() && (value & ~(kPhysicalLimit - 1)) != 0) return gp(cpu);
  if (paePaging(cpu.cr0, cpu.cr4, cpu.efer) && !checkPointers(cpu, value)) return false;
  cpu.cr3 = value;
  flushTlb(cpu);
  return true;
}

bool setCr4(Cpu& cpu, uint64_t value) {
  if ((value & ~kCr4Known) != 0) return gp(cpu);
  if (cpu.longMode() && (value & kCr4Pae) == 0) return gp(cpu);
  if (paePaging(cpu.cr0, value, cpu.efer) && !paePaging(cpu.cr0, cpu.cr4, cpu.efer) && !checkPointers(cpu, cpu.cr3)) {
    return false;
  }
  cpu.cr4 = value;
  flushTlb(cpu);
  cpu.leaveBlock = true;
  return true;
}

namespace {

bool setEfer(Cpu& cpu, uint64_t value) {
  if ((value & ~kEferKnown) != 0) return false;
  if (((value ^ cpu.efer) & kEferLme) != 0 && (cpu.cr0 & kCr0Pg) != 0) return false;
  cpu.efer = (value & ~kEferLma) | (cpu.efer & kEferLma);
  flushTlb(cpu);
  return true;
}

/** MSRs that are no more than a value that has to be canonical. */
struct AddressMsr {
  uint32_t index;
  uint64_t Cpu::*value;
};
constexpr AddressMsr kAddressMsrs[] = {
    {0x175, &Cpu::sysenterEsp}, {0x176, &Cpu::sysenterEip},       {0xc0000082, &Cpu::lstar},
    {0xc0000083, &Cpu::cstar},  {0xc0000102, &Cpu::kernelGsBase},
};

struct PlainMsr {
  uint32_t index;
  uint64_t Cpu::*value;
  uint64_t writable;
};
constexpr PlainMsr kPlainMsrs[] = {
    {0x1b, &Cpu::apicBase, 0x000ffffffffff900}, {0x174, &Cpu::sysenterCs, 0xffffffff},
    {0x1a0, &Cpu::miscEnable, ~uint64_t{0}},    {0x277, &Cpu::pat, 0x0707070707070707},
    {0xc0000081, &Cpu::star, ~uint64_t{0}},     {0xc0000084, &Cpu::sfmask, 0xffffffff},
    {0xc0000103, &Cpu::tscAux, 0xffffffff},
};

}  // namespace

bool readMsr(Cpu& cpu, uint32_t index, uint64_t& value) {
  for (const AddressMsr& msr : kAddressMsrs) {
    if (msr.index == index) return value = cpu.*msr.value, true;
  }
  for (const PlainMsr& msr : kPlainMsrs) {
    if (msr.index == index) return value = cpu.*msr.value, true;
  }
  switch (index) {
    case 0x10:
      value = cpu.instructions + cpu.tscOffset;
      return true;
    case 0xc0000080:
      value = cpu.efer;
      return true;
    case 0xc0000100:
      value = cpu.seg[FS].base;
      return true;
    case 0xc0000101:
      value = cpu.seg[GS].base;
      return true;
    default:
      return false;
  }
}

bool writeMsr(Cpu& cpu, uint32_t index, uint64_t value) {
  for (const AddressMsr& msr : kAddressMsrs) {
    if (msr.index != index) continue;
    if (!canonical(value)) return false;
    cpu.*msr.value = value;
    return true;
  }
  for (const PlainMsr& msr : kPlainMsrs) {
    if (msr.index != index) continue;
    if ((value & ~msr.writable) != 0) return false;
    cpu.*msr.value = value;
    return true;
  }
  switch (index) {
    case 0x10:
      cpu.tscOffset = value - cpu.instructions;
      return true;
    case 0xc0000080:
      return setEfer(cpu, value);
    case 0xc0000100:
    case 0xc0000101:
      if (!canonical(value)) return false;
      cpu.seg[index == 0xc0000100 ? FS : GS].base = value;
      updateMode(cpu);
      return true;
    default:
      return false;
  }
}

std::vector<CpuidRow> defaultCpuid() {
  const auto word = [](const char* text) {
    uint32_t value;
    std::memcpy(&value, text, 4);
    return value;
  };
  // Only what is there: no FPU, no SSE, no APIC.
  constexpr uint32_t kTsc = 1u << 4, kMsr = 1u << 5, kPae = 1u << 6, kCx8 = 1u << 8, kSep = 1u << 11, kPge = 1u << 13,
                     kCmov = 1u << 15, kPat = 1u << 16, kPse = 1u << 3, kDe = 1u << 2, kPse36 = 1u << 17;
  constexpr uint32_t kCx16 = 1u << 13, kPopcnt = 1u << 23, kHypervisor = 1u << 31;
  constexpr uint32_t kSyscall = 1u << 11, kNx = 1u << 20, kGbPages = 1u << 26, kRdtscp = 1u << 27, kLm = 1u << 29;
  return {
      {0x0, 0, 0, 0x2, word("Genu"), word("ntel"), word("ineI")},
      {0x1, 0, 0, 0x000306c3, 0x00000800, kCx16 | kPopcnt | kHypervisor,
       kDe | kPse | kTsc | kMsr | kPae | kCx8 | kSep | kPge | kCmov | kPat | kPse36},
      {0x2, 0, 0, 1, 0, 0, 0},
      {0x40000000, 0, 0, 0x40000000, word("VTKI"), word("TVTK"), word("ITVT")},
      {0x80000000, 0, 0, 0x80000008, 0, 0, 0},
      {0x80000001, 0, 0, 0, 0, 1, kSyscall | kNx | kGbPages | kRdtscp | kLm},
      {0x80000002, 0, 0, word("vtki"), word("t em"), word("ulat"), word("ed p")},
      {0x80000003, 0, 0, word("roce"), word("ssor"), 0, 0},
      {0x80000004, 0, 0, 0, 0, 0, 0},
      {0x80000005, 0, 0, 0, 0, 0, 0},
      {0x80000006, 0, 0, 0, 0, 0, 0},
      {0x80000007, 0, 0, 0, 0, 0, 0},
      {0x80000008, 0, 0, 0x00003034, 0, 0, 0},
  };
}

}  // namespace vtkit::emulator
