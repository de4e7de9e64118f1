// The default processor model as data, and CPUID.
#include "emulator/cpu-model.h"

#include "emulator/xsave.h"

namespace vtkit::emulator {

namespace {

using namespace model;

/** All that is announced; each is there. */
constexpr CpuidBit kAnnounced[] = {
    kVme,        kDebugExtensions,
    kPse,        kTsc,
    kMsr,        kPae,
    kMce,        kCx8,
    kApic,       kSep,
    kMtrr,       kPge,
    kMca,        kCmov,
    kPat,        kPse36,
    kCx16,       kPcid,
    kX2apic,     kTscDeadline,
    kHypervisor, kFsGsBase,
    kTscAdjust,  kSmep,
    kInvpcid,    kSmap,
    kUmip,       kPku,
    kLa57,       kLahf,
    kSyscall,    kNx,
    kGbPages,    kRdtscp,
    kLm,         kInvariantTsc,
};

constexpr uint32_t kIndexed = 1;       // KVM_CPUID_FLAG_SIGNIFCANT_INDEX
constexpr uint32_t kNoFcs = 1u << 13;  // x87 keeps no selectors
constexpr auto kXcr0 = static_cast<uint32_t>(kXcr0X87 | kXcr0Sse | kXcr0Avx);
constexpr unsigned kPhysicalBits = 46, kLinearBits = 57;

uint32_t word(const char* text) {
  uint32_t value;
  std::memcpy(&value, text, 4);
  return value;
}

}  // namespace

const CpuidRow* cpuidRow(const std::vector<CpuidRow>& rows, uint32_t leaf, uint32_t subleaf) {
  for (const CpuidRow& row : rows) {
    if (row.leaf == leaf && ((row.flags & kIndexed) == 0 || row.subleaf == subleaf)) return &row;
  }
  return nullptr;
}

bool has(const Cpu& cpu, const CpuidBit& bit) {
  const CpuidRow* row = cpuidRow(*cpu.cpuid, bit.leaf, bit.subleaf);
  return row != nullptr && (row->*bit.word >> bit.bit & 1) != 0;
}

bool isAmd(const Cpu& cpu) {
  const CpuidRow* row = cpuidRow(*cpu.cpuid, 0, 0);
  return row != nullptr && row->ebx == word("Auth") && row->edx == word("enti") && row->ecx == word("cAMD");
}

bool canonicalBase(const Cpu& cpu, uint64_t address) {
  return has(cpu, kLa57) ? canonical57(address) : canonical48(address);
}

uint64_t physicalMask(const std::vector<CpuidRow>& rows) {
  const CpuidRow* row = cpuidRow(rows, 0x80000008, 0);
  const unsigned bits = row == nullptr ? 36 : row->eax & 0xff;
  return maskOf(bits < 32 ? 32 : bits > 52 ? 52 : bits);
}

std::vector<CpuidRow> defaultCpuid() {
  std::vector<CpuidRow> rows = {
      {0x0, 0, 0, 0, word("Genu"), word("ntel"), word("ineI")},
      {0x1, 0, 0, 0x000306c3, 0x00010800, 0, 0},  // family, model, stepping; one logical processor, CLFLUSH of 64 bytes
      {0x2, 0, 0, 1, 0, 0, 0},
      {0x7, 0, kIndexed, 0, kNoFcs, 0, 0},
      {0xb, 0, kIndexed, 0, 1, 0x100, 0},  // one thread a core
      {0xb, 1, kIndexed, 8, 1, 0x201, 0},
      {0xd, 0, kIndexed, kXcr0, kXsaveBytes, kXsaveBytes, 0},
      {0xd, 1, kIndexed, 0, kXsaveBytes, 0, 0},
      {0xd, 2, kIndexed, kXsaveBytes - kAvxAt, kAvxAt, 0, 0},
      {0x40000000, 0, 0, 0x40000000, word("VTKI"), word("TVTK"), word("ITVT")},
      {0x80000000, 0, 0, 0x80000008, 0, 0, 0},
      {0x80000001, 0, 0, 0, 0, 0, 0},
      {0x80000002, 0, 0, word("vtki"), word("t em"), word("ulat"), word("ed p")},
      {0x80000003, 0, 0, word("roce"), word("ssor"), 0, 0},
      {0x80000004, 0, 0, 0, 0, 0, 0},
      {0x80000005, 0, 0, 0, 0, 0, 0},
      {0x80000006, 0, 0, 0, 0, 0, 0},
      {0x80000007, 0, 0, 0, 0, 0, 0},
      {0x80000008, 0, 0, kLinearBits << 8 | kPhysicalBits, 0, 0, 0},
  };
  for (const CpuidBit& bit : kAnnounced) {
    for (CpuidRow& row : rows) {
      const bool here = row.leaf == bit.leaf && row.subleaf == bit.subleaf;
      if (here) row.*bit.word |= 1u << bit.bit;
    }
  }
  announceAll(rows);
  for (const CpuidRow& row : rows) {
    if (row.leaf < 0x40000000 && row.leaf > rows[0].eax) rows[0].eax = row.leaf;
  }
  return rows;
}

CpuidRow executeCpuid(const Cpu& cpu, uint32_t leaf, uint32_t subleaf) {
  const std::vector<CpuidRow>& rows = *cpu.cpuid;
  const CpuidRow* found = cpuidRow(rows, leaf, subleaf);
  const CpuidRow* extended = cpuidRow(rows, 0x80000000, 0);
  const uint32_t highest = extended == nullptr ? 0 : extended->eax;
  const bool hypervisors = leaf >> 28 == 4;  // theirs: what they do not use is 0
  const bool outside = !hypervisors && (leaf < 0x80000000 || leaf > highest);
  if (found == nullptr && outside) {
    // Leaves above the highest basic one read as it does.
    const CpuidRow* last = nullptr;
    for (const CpuidRow& row : rows) {
      if (row.leaf < 0x40000000 && (last == nullptr || row.leaf > last->leaf)) last = &row;
    }
    const bool above = last != nullptr && leaf > last->leaf;
    if (above) found = cpuidRow(rows, last->leaf, subleaf);
  }
  CpuidRow result = found == nullptr ? CpuidRow{} : *found;
  const uint32_t id = cpu.apic->id();
  const auto follow = [](uint32_t& word, unsigned bit, bool on) { word = (word & ~(1u << bit)) | uint32_t{on} << bit; };
  if (leaf == 1) {
    result.ebx = (result.ebx & 0x00ffffff) | id << 24;
    if (!cpu.apic->enabled()) follow(result.edx, kApic.bit, false);
  }
  if (leaf == 7 && subleaf == 0) follow(result.ecx, 4, (cpu.cr4 & kCr4Pke) != 0);  // OSPKE
  xsaveCpuid(cpu, result);
  if (leaf == 0xb && result.leaf == 0xb) result.edx = id;
  if (leaf == 0xb && found == nullptr) {
    result.ecx = subleaf & 0xff;
    result.edx = id;
  }
  return result;
}

}  // namespace vtkit::emulator
