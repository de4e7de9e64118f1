// Guest-physical memory: slot lookup and checked copies.
#include "memory/guest-memory.h"

#include <algorithm>
#include <cstring>

namespace vtkit::memory {

GuestMemory::Result GuestMemory::addSlot(uint32_t number, uint64_t guestPhysical, uint64_t bytes, uint8_t* host,
                                         bool readOnly, bool logDirty) {
  const uint64_t end = guestPhysical + bytes;
  if (bytes == 0 || guestPhysical % kPageSize != 0 || bytes % kPageSize != 0 || end < guestPhysical) {
    return Result::misaligned;
  }
  for (const Slot& slot : slots_) {
    if (slot.number == number) return Result::overlap;
    if (guestPhysical < slot.guestPhysical + slot.bytes && slot.guestPhysical < end) return Result::overlap;
  }
  Slot slot{number, guestPhysical, bytes, host, readOnly, logDirty, nullptr};
  if (logDirty) slot.dirty = std::make_unique<std::atomic<uint64_t>[]>((bytes / kPageSize + 63) / 64);
  const auto place = std::find_if(slots_.begin(), slots_.end(),
                                  [&](const Slot& other) { return other.guestPhysical > guestPhysical; });
  slots_.insert(place, std::move(slot));
  noteExternalChange();
  return Result::ok;
}

GuestMemory::Result GuestMemory::removeSlot(uint32_t number) {
  const auto place =
      std::find_if(slots_.begin(), slots_.end(), [&](const Slot& slot) { return slot.number == number; });
  if (place == slots_.end()) return Result::noSlot;
  slots_.erase(place);
  noteExternalChange();
  return Result::ok;
}

const Slot* GuestMemory::find(uint64_t guestPhysical) const noexcept {
  for (const Slot& slot : slots_) {
    if (guestPhysical - slot.guestPhysical < slot.bytes) return &slot;
  }
  return nullptr;
}

uint8_t* GuestMemory::at(uint64_t guestPhysical, uint64_t bytes) const noexcept {
  const Slot* slot = find(guestPhysical);
  if (slot == nullptr) return nullptr;
  const uint64_t offset = guestPhysical - slot->guestPhysical;
  return bytes <= slot->bytes - offset ? slot->host + offset : nullptr;
}

uint64_t GuestMemory::coveredUntil(uint64_t guestPhysical, uint64_t bytes) const noexcept {
  uint64_t done = 0;
  while (done < bytes) {
    const Slot* slot = find(guestPhysical + done);
    if (slot == nullptr) break;
    done += std::min(bytes - done, slot->bytes - (guestPhysical + done - slot->guestPhysical));
    if (guestPhysical + done < guestPhysical) break;  // the top of the address space
  }
  return guestPhysical + done;
}

namespace {

/** Calls `copy(host, offset, bytes)` for each piece of a range, or returns false before the first if a byte is absent.
 */
template <typename Copy>
bool forEachPiece(const GuestMemory& memory, uint64_t guestPhysical, uint64_t bytes, Copy copy) {
  if (bytes == 0) return true;
  if (guestPhysical + bytes - 1 < guestPhysical) return false;
  if (memory.coveredUntil(guestPhysical, bytes) != guestPhysical + bytes) return false;
  uint64_t done = 0;
  while (done < bytes) {
    const Slot* slot = memory.find(guestPhysical + done);
    const uint64_t offset = guestPhysical + done - slot->guestPhysical;
    const uint64_t piece = std::min(bytes - done, slot->bytes - offset);
    copy(slot->host + offset, done, piece);
    done += piece;
  }
  return true;
}

}  // namespace

bool GuestMemory::read(uint64_t guestPhysical, void* to, uint64_t bytes) const noexcept {
  return forEachPiece(*this, guestPhysical, bytes, [to](uint8_t* host, uint64_t offset, uint64_t piece) {
    std::memcpy(static_cast<uint8_t*>(to) + offset, host, piece);
  });
}

bool GuestMemory::write(uint64_t guestPhysical, const void* from, uint64_t bytes) noexcept {
  const bool ok = forEachPiece(*this, guestPhysical, bytes, [from](uint8_t* host, uint64_t offset, uint64_t piece) {
    std::memcpy(host, static_cast<const uint8_t*>(from) + offset, piece);
  });
  if (ok) noteExternalChange();
  return ok;
}

}  // namespace vtkit::memory
