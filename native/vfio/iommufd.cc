// /dev/iommu.
#include "vfio/iommufd.h"

#include <fcntl.h>

#include "os/ioctl.h"
#include "vfio/uapi.h"

namespace vtkit::vfio {

namespace {
/** enum iommu_hw_info_type: the unit is one of VT-d. */
constexpr uint32_t kIntelVtd = 1;
}  // namespace

Iommufd Iommufd::open(const std::string& path) {
  os::Fd fd = os::Fd::open(path, O_RDWR);
  iommu_ioas_alloc request = {.size = sizeof(request), .flags = 0, .out_ioas_id = 0};
  os::ioctl(fd, IOMMU_IOAS_ALLOC, "IOMMU_IOAS_ALLOC", &request);
  return Iommufd(std::move(fd), request.out_ioas_id);
}

void Iommufd::map(void* address, uint64_t iova, uint64_t bytes, bool writable) {
  iommu_ioas_map request = {
      .size = sizeof(request),
      .flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE |
               (writable ? static_cast<unsigned>(IOMMU_IOAS_MAP_WRITEABLE) : 0u),
      .ioas_id = ioas_,
      .__reserved = 0,
      .user_va = reinterpret_cast<uintptr_t>(address),
      .length = bytes,
      .iova = iova,
  };
  os::ioctl(fd_, IOMMU_IOAS_MAP, "IOMMU_IOAS_MAP", &request);
}

uint64_t Iommufd::unmap(uint64_t iova, uint64_t bytes) {
  iommu_ioas_unmap request = {.size = sizeof(request), .ioas_id = ioas_, .iova = iova, .length = bytes};
  try {
    os::ioctl(fd_, IOMMU_IOAS_UNMAP, "IOMMU_IOAS_UNMAP", &request);
  } catch (const os::SystemError& error) {
    // Where nothing is mapped this interface says so; the other one gives a size of 0.
    if (error.error == ENOENT) return 0;
    throw;
  }
  return request.length;
}

std::vector<IovaRange> Iommufd::ranges() {
  iommu_ioas_iova_ranges request = {.size = sizeof(request),
                                    .ioas_id = ioas_,
                                    .num_iovas = 0,
                                    .__reserved = 0,
                                    .allowed_iovas = 0,
                                    .out_iova_alignment = 0};
  std::vector<iommu_iova_range> rows;
  for (;;) {
    request.num_iovas = static_cast<uint32_t>(rows.size());
    request.allowed_iovas = reinterpret_cast<uintptr_t>(rows.data());
    try {
      os::ioctl(fd_, IOMMU_IOAS_IOVA_RANGES, "IOMMU_IOAS_IOVA_RANGES", &request);
      break;
    } catch (const os::SystemError& error) {
      // The answer is larger than the array: num_iovas says how large.
      if (error.error != EMSGSIZE || request.num_iovas <= rows.size()) throw;
      rows.resize(request.num_iovas);
    }
  }
  std::vector<IovaRange> ranges;
  for (uint32_t i = 0; i < request.num_iovas && i < rows.size(); i++) ranges.push_back({rows[i].start, rows[i].last});
  return ranges;
}

std::optional<Iommufd::Registers> Iommufd::vtd(uint32_t device) const {
  iommu_hw_info_vtd registers = {};
  iommu_hw_info request = {};
  request.size = sizeof(request);
  request.dev_id = device;
  request.data_len = sizeof(registers);
  request.data_uptr = reinterpret_cast<uintptr_t>(&registers);
  os::ioctl(fd_, IOMMU_GET_HW_INFO, "IOMMU_GET_HW_INFO", &request);
  if (request.out_data_type != kIntelVtd) return std::nullopt;
  return Registers{registers.cap_reg, registers.ecap_reg};
}

}  // namespace vtkit::vfio
