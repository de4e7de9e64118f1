// The CPUID instruction on a processor of one's choice: raw values, no meaning attached.
#pragma once

#include <cstdint>
#include <vector>

namespace vtkit::cpu {

struct CpuidQuery {
  uint32_t leaf, subleaf;
};
struct CpuidResult {
  uint32_t eax, ebx, ecx, edx;
};

/**
 * Executes CPUID on one processor and gives the thread its affinity back.
 * @throws os::SystemError if the thread may not run there (EINVAL: offline, or outside the cpuset)
 */
std::vector<CpuidResult> cpuidOn(unsigned cpu, const std::vector<CpuidQuery>& queries);

}  // namespace vtkit::cpu
