// Instructions and the CPUID bits that announce them (SDM Vol. 2A, CPUID; Vol. 1, chapters 8 to 14).
#include "emulator/features.h"

#include "emulator/cpu.h"
#include "emulator/host-float.h"

namespace vtkit::emulator {

namespace {

struct Bit {
  Feature feature;
  uint32_t leaf, subleaf;
  uint32_t CpuidRow::*word;
  unsigned bit;
};

constexpr Bit kBits[] = {
    {Feature::fpu, 1, 0, &CpuidRow::edx, 0},
    {Feature::clflush, 1, 0, &CpuidRow::edx, 19},
    {Feature::mmx, 1, 0, &CpuidRow::edx, 23},
    {Feature::fxsr, 1, 0, &CpuidRow::edx, 24},
    {Feature::sse, 1, 0, &CpuidRow::edx, 25},
    {Feature::sse2, 1, 0, &CpuidRow::edx, 26},
    {Feature::sse3, 1, 0, &CpuidRow::ecx, 0},
    {Feature::pclmul, 1, 0, &CpuidRow::ecx, 1},
    {Feature::ssse3, 1, 0, &CpuidRow::ecx, 9},
    {Feature::fma, 1, 0, &CpuidRow::ecx, 12},
    {Feature::sse41, 1, 0, &CpuidRow::ecx, 19},
    {Feature::sse42, 1, 0, &CpuidRow::ecx, 20},
    {Feature::movbe, 1, 0, &CpuidRow::ecx, 22},
    {Feature::popcnt, 1, 0, &CpuidRow::ecx, 23},
    {Feature::aes, 1, 0, &CpuidRow::ecx, 25},
    {Feature::xsave, 1, 0, &CpuidRow::ecx, 26},
    {Feature::avx, 1, 0, &CpuidRow::ecx, 28},
    {Feature::f16c, 1, 0, &CpuidRow::ecx, 29},
    {Feature::rdrand, 1, 0, &CpuidRow::ecx, 30},
    {Feature::bmi1, 7, 0, &CpuidRow::ebx, 3},
    {Feature::avx2, 7, 0, &CpuidRow::ebx, 5},
    {Feature::bmi2, 7, 0, &CpuidRow::ebx, 8},
    {Feature::rdseed, 7, 0, &CpuidRow::ebx, 18},
    {Feature::adx, 7, 0, &CpuidRow::ebx, 19},
    {Feature::clflushopt, 7, 0, &CpuidRow::ebx, 23},
    {Feature::clwb, 7, 0, &CpuidRow::ebx, 24},
    {Feature::sha, 7, 0, &CpuidRow::ebx, 29},
    {Feature::rdpid, 7, 0, &CpuidRow::ecx, 22},
    {Feature::xsaveopt, 0xd, 1, &CpuidRow::eax, 0},
    {Feature::xsavec, 0xd, 1, &CpuidRow::eax, 1},
    {Feature::xgetbv1, 0xd, 1, &CpuidRow::eax, 2},
    {Feature::xsaves, 0xd, 1, &CpuidRow::eax, 3},
    {Feature::lzcnt, 0x80000001, 0, &CpuidRow::ecx, 5},
    {Feature::prefetchw, 0x80000001, 0, &CpuidRow::ecx, 8},
    {Feature::vmx, 1, 0, &CpuidRow::ecx, 5},
};

/** What rests on the host's floating-point unit: without one, there are general registers only. */
constexpr bool needsHost(Feature feature) { return feature <= Feature::f16c; }

bool isRow(const CpuidRow& row, const Bit& bit) {
  return row.leaf == bit.leaf && ((row.flags & 1) == 0 || row.subleaf == bit.subleaf);
}

}  // namespace

Features announced(const std::vector<CpuidRow>& rows) {
  Features features = kAlways;
  for (const Bit& bit : kBits) {
    for (const CpuidRow& row : rows) {
      if (isRow(row, bit) && (row.*bit.word >> bit.bit & 1) != 0) {
        features |= uint64_t{1} << static_cast<unsigned>(bit.feature);
      }
    }
  }
  return features;
}

void announceAll(std::vector<CpuidRow>& rows) {
  for (const Bit& bit : kBits) {
    for (CpuidRow& row : rows) {
      if (isRow(row, bit) && (kHostFloat || !needsHost(bit.feature))) row.*bit.word |= 1u << bit.bit;
    }
  }
}

void updateUsable(Cpu& cpu) {
  const bool em = (cpu.cr0 & kCr0Em) != 0, ts = (cpu.cr0 & kCr0Ts) != 0;
  unsigned usable = 0;
  if (!ts && !em) usable |= kUsableX87 | kUsableMmx;
  if (!ts && !em && (cpu.cr4 & kCr4Osfxsr) != 0) usable |= kUsableSse;
  const bool enabled = (cpu.cr4 & kCr4Osxsave) != 0 && (cpu.xcr0 & (kXcr0Sse | kXcr0Avx)) == (kXcr0Sse | kXcr0Avx);
  if (!ts && enabled && cpu.protectedMode() && !cpu.v86()) usable |= kUsableAvx;
  cpu.usable = static_cast<uint8_t>(usable);
}

}  // namespace vtkit::emulator
