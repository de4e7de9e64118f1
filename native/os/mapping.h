// A memory mapping that unmaps itself.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <utility>

#include "os/fd.h"

namespace vtkit::os {

class Mapping {
 public:
  Mapping() = default;
  Mapping(Mapping&& other) noexcept
      : address_(std::exchange(other.address_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  Mapping& operator=(Mapping&& other) noexcept {
    std::swap(address_, other.address_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Mapping() {
    if (address_ != nullptr) ::munmap(address_, bytes_);
  }

  /** Zeroed private memory that costs only the pages that are touched. */
  static Mapping anonymous(size_t bytes) {
    return map(bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
  }

  /** Asks for huge pages (madvise(2)); a kernel without them gives small ones. */
  Mapping inHugePages() && {
    ::madvise(address_, bytes_, MADV_HUGEPAGE);
    return std::move(*this);
  }

  static Mapping shared(const Fd& fd, size_t bytes) { return map(bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get()); }

  /** A part of a device's file. */
  static Mapping device(const Fd& fd, uint64_t offset, size_t bytes) {
    return map(bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), offset);
  }

  uint8_t* data() const { return static_cast<uint8_t*>(address_); }
  size_t bytes() const { return bytes_; }

 private:
  Mapping(void* address, size_t bytes) : address_(address), bytes_(bytes) {}
  static Mapping map(size_t bytes, int protection, int flags, int fd, uint64_t offset = 0) {
    void* address = ::mmap(nullptr, bytes, protection, flags, fd, static_cast<off_t>(offset));
    if (address == MAP_FAILED) throw SystemError(errno, "mmap");
    return Mapping(address, bytes);
  }

  void* address_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace vtkit::os
