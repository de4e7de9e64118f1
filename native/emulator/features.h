// What instructions a processor has, as its CPUID announces them.
#pragma once

#include <cstdint>
#include <vector>

namespace vtkit::emulator {

struct Cpu;
struct CpuidRow;

/** `always` and `never` aside, each is one bit of CPUID (features.cc). */
enum class Feature : uint8_t {
  always,
  never,
  fpu,
  mmx,
  fxsr,
  sse,
  sse2,
  sse3,
  ssse3,
  sse41,
  sse42,
  aes,
  pclmul,
  sha,
  xsave,
  xsaveopt,
  xsavec,
  xgetbv1,
  xsaves,
  avx,
  avx2,
  fma,
  f16c,  // the last that has vector or x87 registers
  popcnt,
  movbe,
  bmi1,
  bmi2,
  lzcnt,
  adx,
  rdrand,
  rdseed,
  rdpid,
  clflush,
  clflushopt,
  clwb,
  prefetchw,
  vmx,
};

using Features = uint64_t;
inline constexpr Features kAlways = uint64_t{1} << static_cast<unsigned>(Feature::always);
inline bool has(Features features, Feature feature) { return (features >> static_cast<unsigned>(feature) & 1) != 0; }

/** What these CPUID leaves announce of it. */
Features announced(const std::vector<CpuidRow>& rows);
/** Sets the bits of all that is there, in leaves that are. */
void announceAll(std::vector<CpuidRow>& rows);

/** Takes up control registers, XCR0 and CPUID: which registers may be used (Cpu::usable). */
void updateUsable(Cpu& cpu);

}  // namespace vtkit::emulator
