// The cache of decoded code.
#include "emulator/blocks.h"

#include <algorithm>
#include <utility>

#include "emulator/conditional-jumps.h"
#include "emulator/decode.h"
#include "emulator/families.h"
#include "emulator/opcode-table.h"
#include "emulator/vmx/controls.h"

namespace vtkit::emulator {

namespace {

constexpr uint64_t kPageMask = 0xfff;

uint64_t keyOf(const Cpu& cpu, uint64_t physical) {
  return physical | uint64_t{cpu.codeBits} << 56 | uint64_t{cpu.guest} << 63;
}
unsigned cacheSlot(uint64_t physical, unsigned slots) {
  return static_cast<unsigned>((physical ^ physical >> 12) % slots);
}

/** The 64-byte pieces of the page at `page` that a block has bytes in. */
uint64_t heldBy(const Block& block, uint64_t page) {
  const uint64_t inFirst = std::min<uint64_t>(block.bytes, 0x1000 - (block.physical & kPageMask));
  uint64_t first = block.physical & kPageMask, bytes = inFirst;
  if (page != (block.physical & ~kPageMask)) {
    first = 0;
    bytes = block.bytes - inFirst;
  }
  return maskOf(static_cast<unsigned>((first + bytes - 1) / 64 + 1)) & ~((uint64_t{1} << first / 64) - 1);
}

bool failed(Cpu& cpu, Decoded why) {
  switch (why) {
    case Decoded::invalid:
      return raise(cpu, kUd);
    case Decoded::tooLong:
      return gp(cpu);
    default:
      cpu.unknown = true;
      return false;
  }
}

/** In VMX non-root operation, what may exit is asked first. */
void intercept(Block& block, const Opcode& row, const MicroOp& op, bool ends) {
  const Handler check = vmx::interceptOf(row, op);
  if (check == nullptr) return;
  MicroOp asked = op;
  asked.run = check;
#ifdef VTKIT_COUNT_OPCODES
  asked.counted = 0;
#endif
  asked.rest = static_cast<uint8_t>(block.count);
  if (op.base == kRip && ends) asked.displacement += op.end;
  block.ops.push_back(asked);
}

/** Ends a block that no jump ends. */
void finish(Block& block, bool stops) {
  MicroOp end = {};
  end.run = stops ? stopBehind : fallThrough;
  end.end = static_cast<uint16_t>(block.bytes);
  block.ops.push_back(end);
}

}  // namespace

/** Where the code at RIP lies. False with a fault pending. */
bool Blocks::reach(Cpu& cpu, uint64_t& linear, uint64_t& physical) {
  const uint64_t rip = cpu.rip();
  if (cpu.code64() ? !canonical(cpu, rip) : rip > cpu.seg[CS].limit) return gp(cpu);
  linear = cpu.code64() ? rip : static_cast<uint32_t>(cpu.seg[CS].base + rip);
  return fetchPage(cpu, linear, physical) != nullptr;
}

Block* Blocks::at(Cpu& cpu) {
  uint64_t linear, physical;
  if (!reach(cpu, linear, physical)) return nullptr;
  const uint64_t key = keyOf(cpu, physical);
  Block* block = cache_[cacheSlot(physical, kCached)];
  if (block == nullptr || block->key != key) {
    const auto found = blocks_.find(key);
    block = found == blocks_.end() ? nullptr : found->second.get();
  }
  if (block != nullptr && block->nextPage != kNoPage) {
    uint64_t next;
    if (fetchPage(cpu, (linear & ~kPageMask) + 0x1000, next) == nullptr) return nullptr;
    if ((next & ~kPageMask) != block->nextPage) block = nullptr;
  }
  // A block may be too long for a smaller segment limit than it was decoded under.
  if (block != nullptr && !cpu.code64() && cpu.rip() + block->bytes - 1 > cpu.seg[CS].limit) block = nullptr;
  if (block != nullptr) return cache_[cacheSlot(physical, kCached)] = block;
  std::unique_ptr<Block> decoded = decode(cpu, linear, physical, kMaxOps);
  return decoded == nullptr ? nullptr : keep(cpu, std::move(decoded));
}

Block* Blocks::one(Cpu& cpu) {
  cpu.way = 0;  // it may lead out of the block that goes here
  uint64_t linear, physical;
  if (!reach(cpu, linear, physical)) return nullptr;
  one_ = decode(cpu, linear, physical, 1);
  return one_.get();
}

std::unique_ptr<Block> Blocks::decode(Cpu& cpu, uint64_t linear, uint64_t physical, unsigned most) {
  auto block = std::make_unique<Block>();
  block->key = keyOf(cpu, physical);
  block->physical = physical;
  block->nextPage = kNoPage;
  block->count = 0;
  uint64_t page;
  const uint8_t* host = fetchPage(cpu, linear, page);
  if (host == nullptr) return nullptr;
  const auto start = static_cast<unsigned>(linear & kPageMask);
  unsigned at = start;
  bool ends = false, stops = false;
  Result result = Result::unknown;  // of the instruction before
  unsigned resultBytes = 1;
  while (!ends && !stops && at < 0x1000 && block->count < most) {
    const bool first = block->count == 0;
    MicroOp op;
    const Opcode* row = nullptr;
    Decoded decoded = emulator::decode(host + at, 0x1000 - at, cpu.codeBits, cpu.features, op, row);
    if (decoded == Decoded::needsMore) {
      if (!first) break;
      uint8_t bytes[kMaxLength];
      const unsigned here = 0x1000 - at;
      std::memcpy(bytes, host + at, here);
      uint64_t next = linear + here, following;
      if (!cpu.code64()) next = static_cast<uint32_t>(next);
      const uint8_t* rest = fetchPage(cpu, next, following);
      if (rest == nullptr) return nullptr;
      std::memcpy(bytes + here, rest, kMaxLength - here);
      decoded = emulator::decode(bytes, kMaxLength, cpu.codeBits, cpu.features, op, row);
      block->nextPage = following & ~kPageMask;
    }
    if (decoded != Decoded::ok) {
      if (first) failed(cpu, decoded);
      if (first) return nullptr;
      break;
    }
    if (!cpu.code64() && cpu.rip() + (at - start) + op.length - 1 > cpu.seg[CS].limit) {
      if (first) gp(cpu);
      if (first) return nullptr;
      break;
    }
    at += op.length;
    op.end = static_cast<uint16_t>(at - start);
    ends = row->handlers->ends[formOf(*row, op)];
    stops = (row->flags & kEnds) != 0;
    // RIP stands at the start of the block, but for handlers that end it.
    if (op.base == kRip && !ends) op.displacement += op.end;
    if (row->handlers == &kJcc) op.run = conditionalJump(op, result, resultBytes);
    result = row->handlers->result;
    resultBytes = op.operandBytes;
    if (cpu.guest) intercept(*block, *row, op, ends);
    op.rest = static_cast<uint8_t>(block->count++);
    block->ops.push_back(op);
  }
  block->bytes = at - start;
  for (MicroOp& op : block->ops) op.rest = static_cast<uint8_t>(block->count - 1 - op.rest);
  if (!ends) finish(*block, stops);
  return block;
}

Block* Blocks::keep(Cpu& cpu, std::unique_ptr<Block> block) {
  Block* result = block.get();
  const auto found = blocks_.find(result->key);
  if (found != blocks_.end()) drop(cpu, *found->second);
  for (const uint64_t at : {result->physical & ~kPageMask, result->nextPage}) {
    if (at == kNoPage) continue;
    Page& page = pages_[at >> 12];
    if (page.keys.empty()) {
      for (Cpu* writer : *cpu.all) flushTlbWrites(*writer);
    }
    page.keys.push_back(result->key);
    page.held |= heldBy(*result, at);
  }
  cache_[cacheSlot(result->physical, kCached)] = result;
  blocks_[result->key] = std::move(block);
  return result;
}

void Blocks::drop(Cpu& cpu, Block& block) {
  newEpoch(cpu);
  for (const uint64_t at : {block.physical & ~kPageMask, block.nextPage}) {
    const auto found = at == kNoPage ? pages_.end() : pages_.find(at >> 12);
    if (found == pages_.end()) continue;
    Page& page = found->second;
    page.keys.erase(std::remove(page.keys.begin(), page.keys.end(), block.key), page.keys.end());
    page.held = 0;
    for (const uint64_t key : page.keys) page.held |= heldBy(*blocks_.at(key), at);
    if (page.keys.empty()) pages_.erase(found);
  }
  Block*& cached = cache_[cacheSlot(block.physical, kCached)];
  if (cached == &block) cached = nullptr;
  const auto place = blocks_.find(block.key);
  dropped_.push_back(std::move(place->second));
  blocks_.erase(place);
}

void Blocks::written(Cpu& cpu, uint64_t physical, unsigned bytes) {
  const auto found = pages_.find(physical >> 12);
  if (found == pages_.end()) return;
  const uint64_t first = physical & kPageMask, last = first + bytes - 1;
  const uint64_t pieces = uint64_t{1} << first / 64 | uint64_t{1} << last / 64;
  if ((found->second.held & pieces) == 0) return;
  const uint64_t page = physical & ~kPageMask;
  // Looking at many for each write, as code on a stack has them written, costs more than decoding them again.
  constexpr size_t kMany = 64;
  const bool all = found->second.keys.size() > kMany;
  const std::vector<uint64_t> keys = all ? std::exchange(found->second.keys, {}) : found->second.keys;
  for (const uint64_t key : keys) {
    Block& block = *blocks_.at(key);
    // Of a block that comes over from the page before, only the first bytes are looked at as one piece.
    const bool crosses = block.nextPage == page;
    const uint64_t from = block.physical & kPageMask;
    const bool hit = crosses ? (heldBy(block, page) & pieces) != 0 : first < from + block.bytes && last >= from;
    if (!all && !hit) continue;
    drop(cpu, block);
    cpu.leaveBlock = true;
  }
}

void Blocks::clear(Cpu& cpu) {
  for (auto& entry : blocks_) dropped_.push_back(std::move(entry.second));
  blocks_.clear();
  pages_.clear();
  for (Block*& block : cache_) block = nullptr;
  cpu.leaveBlock = true;
  newEpoch(cpu);
}

void newEpoch(Cpu& cpu) {
  cpu.epoch++;  // of 61 bits: no two are the same
  cpu.way = 0;
  cpu.codeState = (cpu.codeState & kJumpMode) | cpu.epoch << kJumpEpochShift;
}

}  // namespace vtkit::emulator
