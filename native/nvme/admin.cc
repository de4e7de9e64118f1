// Administration commands of an NVMe controller, through its character device.
#include "nvme/admin.h"

#include <linux/nvme_ioctl.h>

#include "os/ioctl.h"

namespace vtkit::nvme {

uint32_t admin(const std::string& path, const Command& command, uint8_t* data, size_t bytes) {
  const os::Fd device = os::Fd::open(path, O_RDONLY);
  nvme_admin_cmd request = {};
  request.opcode = command.opcode;
  request.cdw10 = command.cdw10;
  request.cdw11 = command.cdw11;
  request.addr = reinterpret_cast<uintptr_t>(data);
  request.data_len = static_cast<uint32_t>(bytes);
  return static_cast<uint32_t>(os::ioctl(device, NVME_IOCTL_ADMIN_CMD, "NVME_IOCTL_ADMIN_CMD", &request));
}

}  // namespace vtkit::nvme
