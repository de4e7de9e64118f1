// What a device can reach by DMA: an address space of either of the kernel's two interfaces.
#pragma once

#include <cstdint>
#include <vector>

namespace vtkit::vfio {

/** Inclusive, as the kernel tells them. */
struct IovaRange {
  uint64_t first;
  uint64_t last;
};

class AddressSpace {
 public:
  virtual ~AddressSpace() = default;
  /** Pins the pages and lets devices reach them at `iova`. The memory must stay mapped until unmap(). */
  virtual void map(void* address, uint64_t iova, uint64_t bytes, bool writable) = 0;
  /** Bytes that were unmapped: 0 if nothing was there. */
  virtual uint64_t unmap(uint64_t iova, uint64_t bytes) = 0;
  /** Where mappings may lie: the rest is reserved (MSI window) or above the aperture. */
  virtual std::vector<IovaRange> ranges() = 0;
};

}  // namespace vtkit::vfio
