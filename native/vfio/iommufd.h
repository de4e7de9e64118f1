// /dev/iommu: address spaces of their own kind (IOMMUFD, Linux 6.2), which devices are attached to one by one.
#pragma once

#include <optional>
#include <string>

#include "os/fd.h"
#include "vfio/address-space.h"

namespace vtkit::vfio {

/** One I/O address space (IOAS) on a descriptor of its own. */
class Iommufd final : public AddressSpace {
 public:
  /** @throws os::SystemError naming the path: ENOENT where the kernel has no IOMMUFD */
  static Iommufd open(const std::string& path);

  void map(void* address, uint64_t iova, uint64_t bytes, bool writable) override;
  uint64_t unmap(uint64_t iova, uint64_t bytes) override;
  std::vector<IovaRange> ranges() override;

  struct Registers {
    uint64_t cap;
    uint64_t ecap;
  };
  /** CAP and ECAP of the remapping unit behind a device (IOMMU_GET_HW_INFO); none where it is not one of VT-d. */
  std::optional<Registers> vtd(uint32_t device) const;

  const os::Fd& fd() const { return fd_; }
  uint32_t ioas() const { return ioas_; }

 private:
  Iommufd(os::Fd fd, uint32_t ioas) : fd_(std::move(fd)), ioas_(ioas) {}
  os::Fd fd_;
  uint32_t ioas_;
};

}  // namespace vtkit::vfio
