// Cached translations of one kind under one set of tags (SDM Vol. 3A, 4.10.2, 4.10.3; Vol. 3C, 29.4.1).
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <unordered_map>

namespace vtkit::emulator {

/** What all entries of a translation allow together. */
struct Rights {
  bool writable = true, user = true, noExecute = false;
};

/** What extended page tables say of one page. */
struct GuestPhysicalPage {
  uint64_t base = 0, offsets = 0xfff;
  uint64_t whole = 0xfff;  // as offsets
  uint64_t rights = 0;     // bits that all entries have
  uint64_t leaf = 0;       // the last entry
  bool dirty = false;      // a write needs no walk
};

/** What page tables say of one page. Under EPT `base` is guest-physical, and `behind` the rest of the way. */
struct LinearPage {
  uint64_t base = 0, offsets = 0xfff;
  uint64_t whole = 0xfff;  // offsets in the page that the tables have, of which this may be a piece
  Rights rights;
  uint8_t key = 0;
  bool global = false, dirty = false;
  GuestPhysicalPage behind;
};

template <typename Page>
class Mappings {
 public:
  /** What a paging-structure cache has of an entry: the table that it leads to, what it and those above it allow. */
  struct Structure {
    uint64_t table;
    decltype(Page::rights) rights;
  };

  size_t count() const { return pages_.size() + structures_.size(); }

  /** Null, or a page around the address: the smallest, as that is the one which a larger one took the place of. */
  const Page* page(uint64_t address) const {
    for (uint64_t left = sizes_; left != 0; left &= left - 1) {
      const auto found = pages_.find(keyOf(address, static_cast<unsigned>(__builtin_ctzll(left))));
      if (found != pages_.end()) return &found->second;
    }
    return nullptr;
  }
  void keep(uint64_t address, const Page& page) {
    const auto bits = static_cast<unsigned>(__builtin_popcountll(page.offsets));
    pages_[keyOf(address, bits)] = page;
    sizes_ |= uint64_t{1} << bits;
    hasPieces_ = hasPieces_ || page.whole != page.offsets;
  }

  /** The structure for the region of 2^bits bytes around the address, or null. */
  const Structure* structure(uint64_t address, unsigned bits) const {
    const auto found = structures_.find(keyOf(address, bits));
    return found == structures_.end() ? nullptr : &found->second;
  }
  void keepStructure(uint64_t address, unsigned bits, const Structure& structure) {
    structures_[keyOf(address, bits)] = structure;
  }

  /** Ends every page around the address, with all pieces of it that there are. */
  void endPages(uint64_t address) {
    for (uint64_t left = sizes_; left != 0; left &= left - 1) {
      pages_.erase(keyOf(address, static_cast<unsigned>(__builtin_ctzll(left))));
    }
    if (!hasPieces_) return;
    for (auto at = pages_.begin(); at != pages_.end();) {
      at = ((at->first ^ address) & ~at->second.whole) == 0 ? pages_.erase(at) : std::next(at);
    }
  }
  void endStructures(uint64_t address) {
    for (const unsigned bits : {21u, 22u, 30u, 39u, 48u}) structures_.erase(keyOf(address, bits));
  }
  void endStructures() { structures_.clear(); }

 private:
  static uint64_t keyOf(uint64_t address, unsigned bits) { return (address & ~((uint64_t{1} << bits) - 1)) | bits; }

  std::unordered_map<uint64_t, Page> pages_;
  std::unordered_map<uint64_t, Structure> structures_;
  uint64_t sizes_ = 0;  // bit n: there may be pages of 2^n bytes
  bool hasPieces_ = false;
};

}  // namespace vtkit::emulator
