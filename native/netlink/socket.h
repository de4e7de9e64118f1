// A netlink socket: messages to the kernel and back, as bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "os/fd.h"

namespace vtkit::netlink {

class Socket {
 public:
  /** @param protocol NETLINK_ROUTE, NETLINK_GENERIC … @throws SystemError */
  explicit Socket(int protocol);

  /** Sends one datagram to the kernel, which acts on it before this returns. */
  void send(const uint8_t* data, size_t bytes);

  /** The next datagram from the kernel; waits for it, at most some seconds. */
  std::vector<uint8_t> receive();

 private:
  os::Fd fd_;
};

}  // namespace vtkit::netlink
