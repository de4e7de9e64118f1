// Guest-physical memory: slots of host memory, and the one checked door to them.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace vtkit::memory {

inline constexpr uint64_t kPageSize = 4096;

/** A range of guest-physical addresses backed by host memory that somebody else owns and keeps mapped. */
struct Slot {
  uint32_t number;
  uint64_t guestPhysical;  // page aligned
  uint64_t bytes;          // a multiple of the page size
  uint8_t* host;           // page aligned
  bool readOnly;           // guest writes become MMIO exits; the door may still write
  bool logDirty;
  std::unique_ptr<std::atomic<uint64_t>[]> dirty;  // one bit a page, when logDirty
};

/**
 * The slots of one machine, sorted by address and never overlapping.
 *
 * Slots change only while no processor runs; reads and writes may come from any thread at any time, with the
 * guarantees that a guest's processors give each other (none beyond the hardware's).
 */
class GuestMemory {
 public:
  enum class Result { ok, overlap, misaligned, noSlot };

  Result addSlot(uint32_t number, uint64_t guestPhysical, uint64_t bytes, uint8_t* host, bool readOnly, bool logDirty);
  Result removeSlot(uint32_t number);
  const std::vector<Slot>& slots() const { return slots_; }

  /** The slot that holds an address, or null. */
  const Slot* find(uint64_t guestPhysical) const noexcept;

  /** Host address of a range that lies wholly inside one slot, or null. */
  uint8_t* at(uint64_t guestPhysical, uint64_t bytes) const noexcept;

  /** Copies out of or into guest memory, across adjacent slots. False, and nothing copied, if any byte has no slot. */
  bool read(uint64_t guestPhysical, void* to, uint64_t bytes) const noexcept;
  bool write(uint64_t guestPhysical, const void* from, uint64_t bytes) noexcept;

  /** The first address at or after `guestPhysical` that has no slot within the range, or its end. */
  uint64_t coveredUntil(uint64_t guestPhysical, uint64_t bytes) const noexcept;

  /** Counts writes through the door and slot changes, so that a processor knows when decoded code may be stale. */
  uint64_t externalChanges() const noexcept { return externalChanges_.load(std::memory_order_acquire); }
  void noteExternalChange() noexcept { externalChanges_.fetch_add(1, std::memory_order_acq_rel); }

  /** Marks a page that a processor wrote. No effect on a slot that keeps no log. */
  static void markDirty(const Slot& slot, uint64_t guestPhysical) noexcept {
    if (!slot.logDirty) return;
    const uint64_t page = (guestPhysical - slot.guestPhysical) / kPageSize;
    slot.dirty[page / 64].fetch_or(uint64_t{1} << (page % 64), std::memory_order_relaxed);
  }

 private:
  std::vector<Slot> slots_;
  std::atomic<uint64_t> externalChanges_{0};
};

}  // namespace vtkit::memory
