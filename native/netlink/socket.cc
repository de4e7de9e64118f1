// A netlink socket: messages to the kernel and back, as bytes.
#include "netlink/socket.h"

#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/time.h>

namespace vtkit::netlink {

namespace {

constexpr int secondsToWait = 10;

/** What a kernel does not know of these costs only the words of an error. */
void ask(const os::Fd& fd, int option) {
  const int on = 1;
  ::setsockopt(fd.get(), SOL_NETLINK, option, &on, sizeof(on));
}

}  // namespace

Socket::Socket(int protocol) : fd_(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol)) {
  if (!fd_.isOpen()) throw os::SystemError(errno, "socket(AF_NETLINK)");
  const timeval limit = {secondsToWait, 0};
  if (::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0) {
    throw os::SystemError(errno, "setsockopt(SO_RCVTIMEO)");
  }
  ask(fd_, NETLINK_EXT_ACK);
  ask(fd_, NETLINK_CAP_ACK);
  sockaddr_nl self = {};
  self.nl_family = AF_NETLINK;
  if (::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&self), sizeof(self)) < 0) {
    throw os::SystemError(errno, "bind(AF_NETLINK)");
  }
}

void Socket::send(const uint8_t* data, size_t bytes) {
  sockaddr_nl kernel = {};
  kernel.nl_family = AF_NETLINK;
  ssize_t sent;
  do {
    sent = ::sendto(fd_.get(), data, bytes, 0, reinterpret_cast<const sockaddr*>(&kernel), sizeof(kernel));
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) throw os::SystemError(errno, "sendto(AF_NETLINK)");
}

std::vector<uint8_t> Socket::receive() {
  for (;;) {
    // With MSG_TRUNC the answer is the datagram's true length, whatever the buffer holds.
    const ssize_t length = ::recv(fd_.get(), nullptr, 0, MSG_PEEK | MSG_TRUNC);
    if (length < 0 && errno == EINTR) continue;
    if (length < 0) throw os::SystemError(errno == EAGAIN ? ETIMEDOUT : errno, "recv(AF_NETLINK)");
    std::vector<uint8_t> datagram(static_cast<size_t>(length));
    sockaddr_nl from = {};
    socklen_t fromBytes = sizeof(from);
    const ssize_t got =
        ::recvfrom(fd_.get(), datagram.data(), datagram.size(), 0, reinterpret_cast<sockaddr*>(&from), &fromBytes);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw os::SystemError(errno == EAGAIN ? ETIMEDOUT : errno, "recv(AF_NETLINK)");
    // Any process may send to this socket: the kernel alone has no port.
    if (from.nl_pid != 0) continue;
    datagram.resize(static_cast<size_t>(got));
    return datagram;
  }
}

}  // namespace vtkit::netlink
