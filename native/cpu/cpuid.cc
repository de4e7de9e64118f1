// The CPUID instruction on a processor of one's choice.
#include "cpu/cpuid.h"

#include <cpuid.h>
#include <sched.h>

#include <memory>

#include "os/error.h"

namespace vtkit::cpu {

namespace {

/** Moves the thread to one processor until the end of its scope. */
class Affinity {
 public:
  explicit Affinity(unsigned cpu) {
    if (sched_getaffinity(0, kBytes, mask(before_)) != 0) throw os::SystemError(errno, "sched_getaffinity");
    alignas(cpu_set_t) uint8_t wanted[kBytes] = {};
    if (cpu / 8 >= kBytes) throw os::SystemError(EINVAL, "sched_setaffinity");
    wanted[cpu / 8] = static_cast<uint8_t>(1u << (cpu % 8));
    if (sched_setaffinity(0, kBytes, mask(wanted)) != 0) throw os::SystemError(errno, "sched_setaffinity");
  }
  ~Affinity() { sched_setaffinity(0, kBytes, mask(before_)); }
  Affinity(const Affinity&) = delete;
  Affinity& operator=(const Affinity&) = delete;

 private:
  static constexpr size_t kBytes = 1024;  // 8,192 processors, more than the kernel's largest NR_CPUS
  static cpu_set_t* mask(uint8_t* bytes) { return reinterpret_cast<cpu_set_t*>(bytes); }
  alignas(cpu_set_t) uint8_t before_[kBytes] = {};
};

}  // namespace

std::vector<CpuidResult> cpuidOn(unsigned cpu, const std::vector<CpuidQuery>& queries) {
  const Affinity affinity(cpu);
  std::vector<CpuidResult> results;
  results.reserve(queries.size());
  for (const CpuidQuery& query : queries) {
    CpuidResult result;
    __cpuid_count(query.leaf, query.subleaf, result.eax, result.ebx, result.ecx, result.edx);
    results.push_back(result);
  }
  return results;
}

}  // namespace vtkit::cpu
