// /dev/vfio/vfio and /dev/vfio/N.
#include "vfio/container.h"

#include <fcntl.h>

#include <cstring>

#include "os/ioctl.h"
#include "vfio/uapi.h"

namespace vtkit::vfio {

Container Container::open(const std::string& path) { return Container(os::Fd::open(path, O_RDWR)); }

int Container::apiVersion() const { return os::ioctl(fd_, VFIO_GET_API_VERSION, "VFIO_GET_API_VERSION", 0); }

bool Container::checkExtension(int extension) const {
  return os::ioctl(fd_, VFIO_CHECK_EXTENSION, "VFIO_CHECK_EXTENSION", extension) > 0;
}

void Container::setIommu(int type) { os::ioctl(fd_, VFIO_SET_IOMMU, "VFIO_SET_IOMMU", type); }

void Container::map(void* address, uint64_t iova, uint64_t bytes, bool writable) {
  vfio_iommu_type1_dma_map request = {
      .argsz = sizeof(request),
      .flags = VFIO_DMA_MAP_FLAG_READ | (writable ? VFIO_DMA_MAP_FLAG_WRITE : 0u),
      .vaddr = reinterpret_cast<uintptr_t>(address),
      .iova = iova,
      .size = bytes,
  };
  os::ioctl(fd_, VFIO_IOMMU_MAP_DMA, "VFIO_IOMMU_MAP_DMA", &request);
}

uint64_t Container::unmap(uint64_t iova, uint64_t bytes) {
  vfio_iommu_type1_dma_unmap request = {.argsz = sizeof(request), .flags = 0, .iova = iova, .size = bytes};
  os::ioctl(fd_, VFIO_IOMMU_UNMAP_DMA, "VFIO_IOMMU_UNMAP_DMA", &request);
  return request.size;
}

std::vector<IovaRange> Container::ranges() {
  vfio_iommu_type1_info size = {.argsz = sizeof(size)};
  os::ioctl(fd_, VFIO_IOMMU_GET_INFO, "VFIO_IOMMU_GET_INFO", &size);
  std::vector<uint64_t> storage(size.argsz / 8 + 1);
  auto* info = reinterpret_cast<vfio_iommu_type1_info*>(storage.data());
  info->argsz = size.argsz;
  os::ioctl(fd_, VFIO_IOMMU_GET_INFO, "VFIO_IOMMU_GET_INFO", info);
  std::vector<IovaRange> ranges;
  if ((info->flags & VFIO_IOMMU_INFO_CAPS) == 0) return ranges;
  const auto* bytes = reinterpret_cast<const uint8_t*>(storage.data());
  for (uint32_t at = info->cap_offset; at != 0 && at + sizeof(vfio_info_cap_header) <= size.argsz;) {
    vfio_info_cap_header header;
    std::memcpy(&header, bytes + at, sizeof(header));
    if (header.id == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE) {
      const auto* list = reinterpret_cast<const vfio_iommu_type1_info_cap_iova_range*>(bytes + at);
      for (uint32_t i = 0; i < list->nr_iovas; i++) {
        ranges.push_back({list->iova_ranges[i].start, list->iova_ranges[i].end});
      }
    }
    at = header.next;
  }
  return ranges;
}

Group Group::open(const std::string& path) { return Group(os::Fd::open(path, O_RDWR)); }

bool Group::viable() const {
  vfio_group_status status = {.argsz = sizeof(status), .flags = 0};
  os::ioctl(fd_, VFIO_GROUP_GET_STATUS, "VFIO_GROUP_GET_STATUS", &status);
  return (status.flags & VFIO_GROUP_FLAGS_VIABLE) != 0;
}

void Group::setContainer(const Container& container) {
  int fd = container.fd().get();
  os::ioctl(fd_, VFIO_GROUP_SET_CONTAINER, "VFIO_GROUP_SET_CONTAINER", &fd);
}

void Group::unsetContainer() { os::ioctl(fd_, VFIO_GROUP_UNSET_CONTAINER, "VFIO_GROUP_UNSET_CONTAINER", 0); }

os::Fd Group::deviceFd(const std::string& name) const {
  return os::Fd(os::ioctl(fd_, VFIO_GROUP_GET_DEVICE_FD, "VFIO_GROUP_GET_DEVICE_FD", name.c_str()));
}

}  // namespace vtkit::vfio
