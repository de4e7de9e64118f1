// Decoded code: runs of micro-ops by physical address, dropped when their page is written.
#pragma once

#include <memory>
#include <unordered_map>
#include <vector>

#include "emulator/micro-op.h"

namespace vtkit::emulator {

/** A run of instructions without a way in but its first. All of it lies in one page, but for its last instruction. */
struct Block {
  uint64_t key;       // physical address | code size
  uint64_t physical;  // of the first instruction
  uint32_t bytes;
  std::vector<MicroOp> ops;
};

class Blocks {
 public:
  /** The block at RIP, decoding it if need be. Null: a fault is pending, or the instruction is not known. */
  Block* at(Cpu& cpu);

  bool holds(uint64_t physical) const { return pages_.count(physical >> 12) != 0; }
  /** Memory changed: what was decoded from the page goes, once nobody executes it. */
  void written(Cpu& cpu, uint64_t physical);
  void clear(Cpu& cpu);
  /** Frees what was dropped. Between blocks only. */
  void sweep() { dropped_.clear(); }

 private:
  Block* decode(Cpu& cpu, uint64_t linear, uint64_t physical, uint64_t key);
  void drop(uint64_t page);

  static constexpr unsigned kCached = 4096;
  struct Slot {
    uint64_t key = ~uint64_t{0};
    Block* block = nullptr;
  };
  Slot cache_[kCached];
  std::unordered_map<uint64_t, std::unique_ptr<Block>> blocks_;
  std::unordered_map<uint64_t, std::vector<uint64_t>> pages_;  // page number -> keys of its blocks
  std::vector<std::unique_ptr<Block>> dropped_;
};

}  // namespace vtkit::emulator
