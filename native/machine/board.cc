// Exits offered to the devices of a machine.
#include "machine/board.h"

#include <cstring>

namespace vtkit::machine {

bool Board::answer(vcpu::Cell& cell, vcpu::ExitRecord& exit) {
  using vcpu::ExitKind;
  const bool writes = exit.kind == ExitKind::ioOut || exit.kind == ExitKind::mmioWrite;
  const bool port = exit.kind == ExitKind::ioIn || exit.kind == ExitKind::ioOut;
  const bus::Space space = port ? bus::Space::ports : bus::Space::memory;
  for (uint32_t item = 0; item < exit.count; item++) {
    uint8_t* data = exit.data + static_cast<size_t>(item) * exit.size;
    uint64_t value = 0;
    if (writes) std::memcpy(&value, data, exit.size);
    const bus::Answer answer =
        writes ? bus_.write(space, exit.address, exit.size, value) : bus_.read(space, exit.address, exit.size, value);
    // A device answers all items of one string instruction alike, so only the first can be refused.
    if (answer == bus::Answer::exit) return false;
    if (!writes) std::memcpy(data, &value, exit.size);
    trace(exit, exit.kind, value);
  }
  cell.exitCounts[static_cast<uint32_t>(exit.kind)]++;
  return true;
}

void Board::trace(const vcpu::ExitRecord& exit, vcpu::ExitKind kind, uint64_t value) {
  if (!tracing_) return;
  const uint32_t detail = static_cast<uint32_t>(kind) | exit.size << 8;
  outbox_.push({bus::Record::traced, detail, exit.address, value, exit.rip, nanoseconds()});
}

}  // namespace vtkit::machine
