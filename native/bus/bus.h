// Ports and MMIO of one machine: which device answers an access.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "bus/device.h"

namespace vtkit::bus {

enum class Space { ports, memory };

/**
 * The address map of the devices, for both engines.
 *
 * Ranges change only while no processor runs. An access that no device claims goes to the space's default: open bus
 * (all ones, writes ignored) or an exit. An access that begins in a range belongs to it whole.
 */
class Bus {
 public:
  /** Maps a device. False if the range is empty, leaves the space, overlaps another, or the space is full. */
  bool map(Space space, uint64_t from, uint64_t count, std::shared_ptr<Device> device);
  bool unmap(Space space, uint64_t from);
  void clear();

  /** What happens to accesses that no device claims. */
  void setDefault(Space space, Answer answer);

  Answer read(Space space, uint64_t address, unsigned size, uint64_t& value);
  Answer write(Space space, uint64_t address, unsigned size, uint64_t value);

 private:
  struct Range {
    uint64_t from, count;
    std::shared_ptr<Device> device;
  };
  Range* find(Space space, uint64_t address) noexcept;

  std::mutex mutex_;  // devices see one access at a time
  std::vector<Range> ports_, memory_;
  std::vector<uint8_t> portIndex_;  // 1 + index into ports_, 0 = nobody; empty without ranges
  Answer portDefault_ = Answer::exit, memoryDefault_ = Answer::exit;
};

}  // namespace vtkit::bus
