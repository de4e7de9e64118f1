// Ports and MMIO of one machine: range lookup and dispatch.
#include "bus/bus.h"

#include <algorithm>
#include <utility>

namespace vtkit::bus {

namespace {
constexpr uint64_t kPorts = 0x10000;
constexpr size_t kMaxPortRanges = 255;  // portIndex_ is one byte a port
constexpr uint64_t onesOf(unsigned size) { return size >= 8 ? ~uint64_t{0} : (uint64_t{1} << (size * 8)) - 1; }
}  // namespace

bool Bus::map(Space space, uint64_t from, uint64_t count, std::shared_ptr<Device> device) {
  std::vector<Range>& ranges = space == Space::ports ? ports_ : memory_;
  if (count == 0 || from + count - 1 < from) return false;
  if (space == Space::ports && (from + count > kPorts || ranges.size() >= kMaxPortRanges)) return false;
  for (const Range& range : ranges) {
    if (from <= range.from + (range.count - 1) && range.from <= from + (count - 1)) return false;
  }
  ranges.push_back({from, count, std::move(device)});
  if (space == Space::ports) {
    portIndex_.resize(kPorts);
    std::fill_n(portIndex_.begin() + static_cast<std::ptrdiff_t>(from), count, static_cast<uint8_t>(ranges.size()));
  }
  return true;
}

bool Bus::unmap(Space space, uint64_t from) {
  std::vector<Range>& ranges = space == Space::ports ? ports_ : memory_;
  const auto place = std::find_if(ranges.begin(), ranges.end(), [&](const Range& range) { return range.from == from; });
  if (place == ranges.end()) return false;
  ranges.erase(place);
  if (space == Space::ports) {
    std::fill(portIndex_.begin(), portIndex_.end(), uint8_t{0});
    for (size_t i = 0; i < ranges.size(); i++) {
      std::fill_n(portIndex_.begin() + static_cast<std::ptrdiff_t>(ranges[i].from), ranges[i].count,
                  static_cast<uint8_t>(i + 1));
    }
  }
  return true;
}

void Bus::clear() {
  ports_.clear();
  memory_.clear();
  std::fill(portIndex_.begin(), portIndex_.end(), uint8_t{0});
}

void Bus::setDefault(Space space, Answer answer) { (space == Space::ports ? portDefault_ : memoryDefault_) = answer; }

Bus::Range* Bus::find(Space space, uint64_t address) noexcept {
  if (space == Space::ports) {
    const uint8_t index = portIndex_.empty() ? uint8_t{0} : portIndex_[address & (kPorts - 1)];
    return index == 0 ? nullptr : &ports_[index - 1];
  }
  for (Range& range : memory_) {
    if (address - range.from < range.count) return &range;
  }
  return nullptr;
}

Answer Bus::read(Space space, uint64_t address, unsigned size, uint64_t& value) {
  Range* range = find(space, address);
  if (range == nullptr) {
    value = onesOf(size);
    return space == Space::ports ? portDefault_ : memoryDefault_;
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  const Answer answer = range->device->read(address - range->from, size, value);
  value &= onesOf(size);
  return answer;
}

Answer Bus::write(Space space, uint64_t address, unsigned size, uint64_t value) {
  Range* range = find(space, address);
  if (range == nullptr) return space == Space::ports ? portDefault_ : memoryDefault_;
  const std::lock_guard<std::mutex> lock(mutex_);
  return range->device->write(address - range->from, size, value & onesOf(size));
}

}  // namespace vtkit::bus
