// The /dev/kvm descriptor (KVM API, "system ioctls").
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "os/fd.h"
#include "vcpu/processor.h"

namespace vtkit::kvm {

/** A capability that KVM_CHECK_EXTENSION answers for, by its name in <linux/kvm.h>. */
struct Capability {
  const char* name;
  int number;
};

class System {
 public:
  /** @throws os::SystemError naming the path */
  static System open(const std::string& path);

  int apiVersion() const;
  int checkExtension(int capability) const;
  os::Fd createVm() const;
  size_t vcpuMmapSize() const;
  std::vector<vcpu::CpuidEntry> supportedCpuid() const;
  /** The MSRs that tell KVM's features, with their values as KVM has them. */
  std::vector<vcpu::MsrEntry> featureMsrs() const;

  static const std::vector<Capability>& capabilities();

 private:
  explicit System(os::Fd fd) : fd_(std::move(fd)) {}
  os::Fd fd_;
};

}  // namespace vtkit::kvm
