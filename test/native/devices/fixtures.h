// What the devices' tests put around a device: a line that counts, a terminal that reads along, random accesses.
#pragma once

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "bus/device.h"
#include "bus/outbox.h"
#include "devices/edge-line.h"
#include "test/native/check.h"

namespace vtkit::test {

struct FakeLine final : devices::EdgeLine {
  void set(bool to) override {
    rises += to && !level;
    level = to;
  }
  void edge() override {
    level = true;
    rises++;
  }
  bool level = false;
  int rises = 0;
};

/** The reader of an outbox: drains it whenever it is told to. */
struct Terminal {
  std::string text() {
    drain();
    return received;
  }
  void drain() {
    while (ring.tail.load() != ring.head.load()) {
      received += static_cast<char>(ring.records[ring.tail.load() % bus::Ring::kRecords].value);
      ring.tail.store(ring.tail.load() + 1);
    }
  }
  std::unique_ptr<bus::Ring> memory = std::make_unique<bus::Ring>();
  bus::Ring& ring = *memory;
  std::string received;
  bus::Outbox outbox{ring, [] {}};
};

inline uint64_t readFrom(bus::Device& device, uint64_t offset, unsigned size) {
  uint64_t value = 0;
  device.read(offset, size, value);
  return size == 8 ? value : value & ((uint64_t{1} << (8 * size)) - 1);
}

/** One access as a hostile guest makes it: any offset of the range, any size, any value. */
inline void accessAnyhow(std::mt19937_64& random, bus::Device& device, unsigned ports) {
  const uint64_t bits = random();
  const uint64_t offset = (bits >> 8) % ports;
  const unsigned size = 1u << (bits & 3);
  if ((bits & 4) != 0) {
    readFrom(device, offset, size);
  } else {
    device.write(offset, size, random());
  }
}

}  // namespace vtkit::test
