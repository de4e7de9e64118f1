// /dev/vfio/vfio and /dev/vfio/N: the interface by groups, which every kernel with VFIO has.
#pragma once

#include <string>

#include "os/fd.h"
#include "vfio/address-space.h"

namespace vtkit::vfio {

/** A container with VFIO_TYPE1v2_IOMMU, once a group is in it. */
class Container final : public AddressSpace {
 public:
  /** @throws os::SystemError naming the path */
  static Container open(const std::string& path);

  int apiVersion() const;
  bool checkExtension(int extension) const;
  /** Possible once a group is in it. */
  void setIommu(int type);

  void map(void* address, uint64_t iova, uint64_t bytes, bool writable) override;
  uint64_t unmap(uint64_t iova, uint64_t bytes) override;
  std::vector<IovaRange> ranges() override;

  const os::Fd& fd() const { return fd_; }

 private:
  explicit Container(os::Fd fd) : fd_(std::move(fd)) {}
  os::Fd fd_;
};

/** An IOMMU group whose devices VFIO drives. */
class Group {
 public:
  /** @throws os::SystemError: EBUSY if somebody has it open, ENOENT without a VFIO device in the group */
  static Group open(const std::string& path);

  /** Whether every device of the group is with VFIO, or with nobody. */
  bool viable() const;
  void setContainer(const Container& container);
  void unsetContainer();
  /** @param name as in sysfs: "0000:01:00.1" */
  os::Fd deviceFd(const std::string& name) const;
  const os::Fd& fd() const { return fd_; }

 private:
  explicit Group(os::Fd fd) : fd_(std::move(fd)) {}
  os::Fd fd_;
};

}  // namespace vtkit::vfio
