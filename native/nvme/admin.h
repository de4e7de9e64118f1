// Administration commands of an NVMe controller, through its character device.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace vtkit::nvme {

struct Command {
  uint8_t opcode;
  uint32_t cdw10;
  uint32_t cdw11;
};

/**
 * Runs a command on /dev/nvmeN. `data` receives what the controller sends; null where it sends nothing.
 * @return the status of the completion, 0 for success
 * @throws SystemError
 */
uint32_t admin(const std::string& path, const Command& command, uint8_t* data, size_t bytes);

}  // namespace vtkit::nvme
