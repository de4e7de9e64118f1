// The one door to ioctl(2).
#pragma once

#include <sys/ioctl.h>

#include "os/fd.h"

namespace vtkit::os {

/**
 * Issues an ioctl, retrying on EINTR. Not for KVM_RUN, where EINTR is an answer (somebody asked the vCPU to stop).
 * @throws SystemError with `operation`
 */
template <typename Argument>
int ioctl(const Fd& fd, unsigned long request, const char* operation, Argument argument) {
  int result;
  do {
    result = ::ioctl(fd.get(), request, argument);
  } while (result < 0 && errno == EINTR);
  if (result < 0) throw SystemError(errno, operation);
  return result;
}

}  // namespace vtkit::os
