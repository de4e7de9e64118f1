// Memory for guests of tests, zeroed, between pages that nothing may touch.
#pragma once

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>

namespace vtkit::test {

class Ram {
 public:
  explicit Ram(uint64_t bytes) : bytes_(bytes) {
    void* region = mmap(nullptr, bytes + 2 * kGuard, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (region == MAP_FAILED) std::abort();
    host_ = static_cast<uint8_t*>(region) + kGuard;
    if (mprotect(host_, bytes, PROT_READ | PROT_WRITE) != 0) std::abort();
  }
  ~Ram() { munmap(host_ - kGuard, bytes_ + 2 * kGuard); }
  Ram(const Ram&) = delete;
  Ram& operator=(const Ram&) = delete;

  uint8_t* get() const { return host_; }
  uint64_t bytes() const { return bytes_; }
  /** Zeroes again. */
  void clear() { madvise(host_, bytes_, MADV_DONTNEED); }

 private:
  static constexpr uint64_t kGuard = 4096;
  uint8_t* host_;
  const uint64_t bytes_;
};

}  // namespace vtkit::test
