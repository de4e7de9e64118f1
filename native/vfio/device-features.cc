// What a device has beyond registers and interrupts: migration, a log of its DMA, tokens, and resets of more than
// itself.
#include <cstring>
#include <vector>

#include "os/ioctl.h"
#include "vfio/device.h"
#include "vfio/uapi.h"

namespace vtkit::vfio {

namespace {

/** VFIO_DEVICE_FEATURE: `data` goes behind the header, and what the kernel made of it comes back. */
void feature(const os::Fd& fd, uint32_t flags, const char* operation, void* data, size_t bytes) {
  std::vector<uint64_t> storage((sizeof(vfio_device_feature) + bytes) / 8 + 1);
  auto* request = reinterpret_cast<vfio_device_feature*>(storage.data());
  request->argsz = static_cast<uint32_t>(sizeof(vfio_device_feature) + bytes);
  request->flags = flags;
  if (bytes > 0) std::memcpy(request->data, data, bytes);
  os::ioctl(fd, VFIO_DEVICE_FEATURE, operation, request);
  if (bytes > 0) std::memcpy(data, request->data, bytes);
}

/** False where the device does not have the feature: ENOTTY of the device's driver, EINVAL of kernels before it. */
bool featureIfThere(const os::Fd& fd, uint32_t flags, const char* operation, void* data, size_t bytes) {
  try {
    feature(fd, flags, operation, data, bytes);
    return true;
  } catch (const os::SystemError& error) {
    if (error.error == ENOTTY || error.error == EINVAL) return false;
    throw;
  }
}

}  // namespace

std::optional<Migration> Device::migration() const {
  vfio_device_feature_migration can = {};
  const uint32_t get = VFIO_DEVICE_FEATURE_GET;
  if (!featureIfThere(fd_, get | VFIO_DEVICE_FEATURE_MIGRATION, "VFIO_DEVICE_FEATURE_MIGRATION", &can, sizeof(can))) {
    return std::nullopt;
  }
  vfio_device_feature_mig_state now = {};
  feature(fd_, get | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, "VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE", &now, sizeof(now));
  return Migration{can.flags, now.device_state};
}

bool Device::logsDma() const {
  const uint32_t probe = VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_START;
  return featureIfThere(fd_, probe, "VFIO_DEVICE_FEATURE_DMA_LOGGING_START", nullptr, 0);
}

void Device::setVfToken(const std::array<uint8_t, 16>& token) {
  auto data = token;
  const uint32_t set = VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_PCI_VF_TOKEN;
  feature(fd_, set, "VFIO_DEVICE_FEATURE_PCI_VF_TOKEN", data.data(), data.size());
}

std::vector<Dependent> Device::dependents() const {
  std::vector<uint64_t> storage((sizeof(vfio_pci_hot_reset_info)) / 8 + 1);
  for (;;) {
    auto* info = reinterpret_cast<vfio_pci_hot_reset_info*>(storage.data());
    info->argsz = static_cast<uint32_t>(storage.size() * 8);
    try {
      os::ioctl(fd_, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, "VFIO_DEVICE_GET_PCI_HOT_RESET_INFO", info);
    } catch (const os::SystemError& error) {
      const size_t needed = (sizeof(vfio_pci_hot_reset_info) + info->count * sizeof(vfio_pci_dependent_device)) / 8 + 1;
      if (error.error != ENOSPC || needed <= storage.size()) throw;
      storage.resize(needed);
      continue;
    }
    std::vector<Dependent> dependents;
    for (uint32_t i = 0; i < info->count; i++) {
      const vfio_pci_dependent_device& row = info->devices[i];
      dependents.push_back({row.group_id, row.segment, row.bus, row.devfn});
    }
    return dependents;
  }
}

void Device::hotReset(const std::vector<int>& groups) {
  std::vector<uint64_t> storage((sizeof(vfio_pci_hot_reset) + groups.size() * sizeof(int)) / 8 + 1);
  auto* request = reinterpret_cast<vfio_pci_hot_reset*>(storage.data());
  request->argsz = static_cast<uint32_t>(sizeof(vfio_pci_hot_reset) + groups.size() * sizeof(int));
  request->flags = 0;
  request->count = static_cast<uint32_t>(groups.size());
  if (!groups.empty()) std::memcpy(request->group_fds, groups.data(), groups.size() * sizeof(int));
  os::ioctl(fd_, VFIO_DEVICE_PCI_HOT_RESET, "VFIO_DEVICE_PCI_HOT_RESET", request);
}

}  // namespace vtkit::vfio
