// Decoded code: runs of micro-ops by physical address, dropped when their bytes are written.
#pragma once

#include <memory>
#include <unordered_map>
#include <vector>

#include "emulator/micro-op.h"

namespace vtkit::emulator {

/** A run of instructions without a way in but its first. All of it lies in one page, but for its last instruction. */
struct Block {
  Jump ways[2];    // where it was left to: on to the next instruction, and by its jump
  uint32_t count;  // instructions
  uint32_t bytes;
  uint64_t key;       // physical address | code size | VMX non-root operation
  uint64_t physical;  // of the first instruction
  uint64_t nextPage;  // physical address of the page that the last instruction crosses into, or kNoPage
  std::vector<MicroOp> ops;
};

/** The most instructions of a block. */
inline constexpr unsigned kMaxOps = 64;
inline constexpr uint64_t kNoPage = ~uint64_t{0};

// The state of a Jump: code size and privilege in the low bits, and the epoch.
inline constexpr uint64_t kJumpMode = 7;
inline constexpr unsigned kJumpEpochShift = 3;
inline unsigned jumpSlot(uint64_t linear) { return static_cast<unsigned>((linear ^ linear >> 12) & (Cpu::kJumps - 1)); }

class Blocks {
 public:
  /** The block at RIP, decoding it if need be. Null: a fault is pending, or the instruction is not known. */
  Block* at(Cpu& cpu);
  /** The instruction at RIP alone, decoded anew. */
  Block* one(Cpu& cpu);

  bool holds(uint64_t physical) const { return pages_.count(physical >> 12) != 0; }
  /** Memory changed: blocks that hold any of these bytes go, once nobody executes them. */
  void written(Cpu& cpu, uint64_t physical, unsigned bytes);
  void clear(Cpu& cpu);
  /** Frees what was dropped. Between blocks only. */
  void sweep(Cpu& cpu) {
    if (dropped_.empty()) return;
    dropped_.clear();
    cpu.way = 0;
  }

 private:
  struct Page {
    uint64_t held = 0;  // a bit for each 64 bytes that some block has bytes in
    std::vector<uint64_t> keys;
  };

  bool reach(Cpu& cpu, uint64_t& linear, uint64_t& physical);
  std::unique_ptr<Block> decode(Cpu& cpu, uint64_t linear, uint64_t physical, unsigned most);
  Block* keep(Cpu& cpu, std::unique_ptr<Block> block);
  void drop(Cpu& cpu, Block& block);

  static constexpr unsigned kCached = 4096;
  Block* cache_[kCached] = {};
  std::unordered_map<uint64_t, std::unique_ptr<Block>> blocks_;
  std::unordered_map<uint64_t, Page> pages_;  // by page number
  std::vector<std::unique_ptr<Block>> dropped_;
  std::unique_ptr<Block> one_;
};

}  // namespace vtkit::emulator
