// eventfd(2): a count that one side adds to and the other takes, and that the kernel's own parts signal.
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>

#include "os/fd.h"

namespace vtkit::os {

class EventFd {
 public:
  EventFd() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (!fd_.isOpen()) throw SystemError(errno, "eventfd");
  }

  void signal(uint64_t count) {
    if (::write(fd_.get(), &count, sizeof(count)) < 0) throw SystemError(errno, "eventfd write");
  }

  /** What was signalled since the last time; 0 if nothing was. */
  uint64_t take() {
    uint64_t count = 0;
    if (::read(fd_.get(), &count, sizeof(count)) < 0) {
      if (errno == EAGAIN) return 0;
      throw SystemError(errno, "eventfd read");
    }
    return count;
  }

  int get() const { return fd_.get(); }

 private:
  Fd fd_;
};

}  // namespace vtkit::os
