// Pages that hold something, by what the kernel knows of the mapping (proc_pid_pagemap(5)).
#include "machine/pages.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "memory/guest-memory.h"
#include "os/fd.h"

namespace vtkit::machine {

namespace {

using memory::kPageSize;

constexpr uint64_t kPresent = uint64_t{1} << 63, kSwapped = uint64_t{1} << 62;

/** Calls `visit` with the number of each page that has memory, in order; with all of them where nobody tells. */
template <typename Visit>
void forTouched(const uint8_t* memory, uint64_t bytes, Visit visit) {
  constexpr uint64_t kAtOnce = 4096;
  uint64_t entries[kAtOnce];
  const os::Fd pagemap(::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
  const uint64_t first = reinterpret_cast<uintptr_t>(memory) / kPageSize, count = bytes / kPageSize;
  for (uint64_t page = 0; page < count; page += kAtOnce) {
    const uint64_t some = std::min(kAtOnce, count - page), size = some * sizeof(entries[0]);
    const auto at = static_cast<off_t>((first + page) * sizeof(entries[0]));
    const bool known = pagemap.get() >= 0 && ::pread(pagemap.get(), entries, size, at) == static_cast<ssize_t>(size);
    for (uint64_t i = 0; i < some; i++) {
      if (!known || (entries[i] & (kPresent | kSwapped)) != 0) visit(static_cast<uint32_t>(page + i));
    }
  }
}

bool isZero(const uint8_t* page) {
  static const uint8_t kZeros[kPageSize] = {};
  return std::memcmp(page, kZeros, kPageSize) == 0;
}

}  // namespace

std::vector<uint32_t> usedPages(const uint8_t* memory, uint64_t bytes) {
  std::vector<uint32_t> pages;
  forTouched(memory, bytes, [&](uint32_t page) {
    if (!isZero(memory + page * kPageSize)) pages.push_back(page);
  });
  return pages;
}

void setPages(uint8_t* memory, uint64_t bytes, const std::vector<uint32_t>& pages, const uint8_t* contents) {
  auto next = pages.begin();
  forTouched(memory, bytes, [&](uint32_t page) {
    while (next != pages.end() && *next < page) ++next;
    uint8_t* at = memory + page * kPageSize;
    if ((next == pages.end() || *next != page) && !isZero(at)) std::memset(at, 0, kPageSize);
  });
  for (const uint32_t page : pages) {
    std::memcpy(memory + page * kPageSize, contents, kPageSize);
    contents += kPageSize;
  }
}

}  // namespace vtkit::machine
