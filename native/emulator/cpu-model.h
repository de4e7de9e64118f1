// What the processor has: CPUID bits by name, and the rows of CPUID that announce them (SDM Vol. 2A, CPUID).
#pragma once

#include <vector>

#include "emulator/cpu.h"

namespace vtkit::emulator {

/** One bit of CPUID. */
struct CpuidBit {
  uint32_t leaf, subleaf;
  uint32_t CpuidRow::*word;
  uint8_t bit;
};

namespace model {
inline constexpr CpuidBit kVme = {1, 0, &CpuidRow::edx, 1}, kDebugExtensions = {1, 0, &CpuidRow::edx, 2},
                          kPse = {1, 0, &CpuidRow::edx, 3}, kTsc = {1, 0, &CpuidRow::edx, 4},
                          kMsr = {1, 0, &CpuidRow::edx, 5}, kPae = {1, 0, &CpuidRow::edx, 6},
                          kMce = {1, 0, &CpuidRow::edx, 7}, kCx8 = {1, 0, &CpuidRow::edx, 8},
                          kApic = {1, 0, &CpuidRow::edx, 9}, kSep = {1, 0, &CpuidRow::edx, 11},
                          kMtrr = {1, 0, &CpuidRow::edx, 12}, kPge = {1, 0, &CpuidRow::edx, 13},
                          kMca = {1, 0, &CpuidRow::edx, 14}, kCmov = {1, 0, &CpuidRow::edx, 15},
                          kPat = {1, 0, &CpuidRow::edx, 16}, kPse36 = {1, 0, &CpuidRow::edx, 17};
inline constexpr CpuidBit kMonitor = {1, 0, &CpuidRow::ecx, 3}, kVmx = {1, 0, &CpuidRow::ecx, 5},
                          kCx16 = {1, 0, &CpuidRow::ecx, 13}, kPcid = {1, 0, &CpuidRow::ecx, 17},
                          kX2apic = {1, 0, &CpuidRow::ecx, 21}, kTscDeadline = {1, 0, &CpuidRow::ecx, 24},
                          kHypervisor = {1, 0, &CpuidRow::ecx, 31};
inline constexpr CpuidBit kFsGsBase = {7, 0, &CpuidRow::ebx, 0}, kTscAdjust = {7, 0, &CpuidRow::ebx, 1},
                          kSmep = {7, 0, &CpuidRow::ebx, 7}, kInvpcid = {7, 0, &CpuidRow::ebx, 10},
                          kSmap = {7, 0, &CpuidRow::ebx, 20}, kUmip = {7, 0, &CpuidRow::ecx, 2},
                          kPku = {7, 0, &CpuidRow::ecx, 3}, kLa57 = {7, 0, &CpuidRow::ecx, 16},
                          kSpecCtrl = {7, 0, &CpuidRow::edx, 26}, kXsaves = {0xd, 1, &CpuidRow::eax, 3};
inline constexpr CpuidBit kLahf = {0x80000001, 0, &CpuidRow::ecx, 0}, kSyscall = {0x80000001, 0, &CpuidRow::edx, 11},
                          kNx = {0x80000001, 0, &CpuidRow::edx, 20}, kGbPages = {0x80000001, 0, &CpuidRow::edx, 26},
                          kRdtscp = {0x80000001, 0, &CpuidRow::edx, 27}, kLm = {0x80000001, 0, &CpuidRow::edx, 29},
                          kInvariantTsc = {0x80000007, 0, &CpuidRow::edx, 8};
}  // namespace model

/** The model that a processor is unless somebody gives it another. */
std::vector<CpuidRow> defaultCpuid();

bool has(const Cpu& cpu, const CpuidBit& bit);
/** Whether CPUID says AuthenticAMD. */
bool isAmd(const Cpu& cpu);
/** The row of a leaf and subleaf, or null. */
const CpuidRow* cpuidRow(const std::vector<CpuidRow>& rows, uint32_t leaf, uint32_t subleaf);
/** What CPUID returns: the model's row with what follows the processor's state. */
CpuidRow executeCpuid(const Cpu& cpu, uint32_t leaf, uint32_t subleaf);
/**
 * Canonical as far as the model can make linear addresses, whatever paging is on: what descriptor tables, task state
 * and MSRs are held to (SDM Vol. 1, 3.3.7.1).
 */
bool canonicalBase(const Cpu& cpu, uint64_t address);
/** Bits of a physical address that exist. */
uint64_t physicalMask(const std::vector<CpuidRow>& rows);
inline uint64_t physicalMask(const Cpu& cpu) { return cpu.addressable; }

}  // namespace vtkit::emulator
