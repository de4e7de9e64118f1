// The cache of decoded code.
#include "emulator/blocks.h"

#include <utility>

#include "emulator/decode.h"

namespace vtkit::emulator {

namespace {

constexpr uint64_t kPageMask = 0xfff;
constexpr unsigned kMaxOps = 64;

uint64_t keyOf(const Cpu& cpu, uint64_t physical) { return physical | uint64_t{cpu.codeBits} << 56; }

}  // namespace

Block* Blocks::at(Cpu& cpu) {
  const bool code64 = cpu.code64();
  const uint64_t rip = cpu.rip();
  const uint64_t linear = code64 ? rip : static_cast<uint32_t>(cpu.seg[CS].base + rip);
  if (code64 ? !canonical(rip) : rip > cpu.seg[CS].limit) {
    gp(cpu);
    return nullptr;
  }
  uint64_t physical;
  if (fetchPage(cpu, linear, physical) == nullptr) return nullptr;
  const uint64_t key = keyOf(cpu, physical);
  const auto fits = [&](const Block& block) { return code64 || rip + block.bytes - 1 <= cpu.seg[CS].limit; };
  Slot& slot = cache_[(physical ^ physical >> 12) % kCached];
  if (slot.key == key && fits(*slot.block)) return slot.block;
  const auto found = blocks_.find(key);
  if (found != blocks_.end() && fits(*found->second)) {
    slot = {key, found->second.get()};
    return slot.block;
  }
  return decode(cpu, linear, physical, key);
}

Block* Blocks::decode(Cpu& cpu, uint64_t linear, uint64_t physical, uint64_t key) {
  auto block = std::make_unique<Block>();
  block->key = key;
  block->physical = physical;
  uint64_t page;
  const uint8_t* host = fetchPage(cpu, linear, page);
  if (host == nullptr) return nullptr;
  const unsigned start = static_cast<unsigned>(linear & kPageMask);
  unsigned at = start;
  bool cacheable = true;
  while (block->ops.size() < kMaxOps) {
    const bool first = block->ops.empty();
    MicroOp op;
    Decoded decoded = emulator::decode(host + at, 0x1000 - at, cpu.codeBits, op);
    if (decoded == Decoded::needsMore) {
      // The instruction goes on in the next page: decoded alone, and anew each time, since either page may change.
      if (!first) break;
      uint8_t bytes[kMaxLength];
      const unsigned here = 0x1000 - at;
      std::memcpy(bytes, host + at, here);
      uint64_t next = linear + here, unused;
      if (!cpu.code64()) next = static_cast<uint32_t>(next);
      const uint8_t* following = fetchPage(cpu, next, unused);
      if (following == nullptr) return nullptr;
      std::memcpy(bytes + here, following, kMaxLength - here);
      decoded = emulator::decode(bytes, kMaxLength, cpu.codeBits, op);
      cacheable = false;
    }
    if (decoded != Decoded::ok) {
      if (!first) break;
      if (decoded == Decoded::invalid) {
        raise(cpu, kUd);
      } else if (decoded == Decoded::tooLong) {
        gp(cpu);
      } else {
        cpu.unknown = true;
      }
      return nullptr;
    }
    const uint64_t end = cpu.rip() + (at - start) + op.length - 1;
    if (!cpu.code64() && end > cpu.seg[CS].limit) {
      if (!first) break;
      gp(cpu);
      return nullptr;
    }
    at += op.length;
    block->ops.push_back(op);
    if (op.endsBlock || !cacheable || at >= 0x1000) break;
  }
  block->bytes = at - start;
  Block* result = block.get();
  if (!cacheable) {
    dropped_.push_back(std::move(block));
    return result;
  }
  std::vector<uint64_t>& keys = pages_[physical >> 12];
  if (keys.empty()) flushTlbWrites(cpu);
  keys.push_back(key);
  std::unique_ptr<Block>& place = blocks_[key];
  if (place != nullptr) dropped_.push_back(std::move(place));  // one that a smaller segment limit made too long
  place = std::move(block);
  cache_[(physical ^ physical >> 12) % kCached] = {key, result};
  return result;
}

void Blocks::drop(uint64_t page) {
  const auto keys = pages_.find(page);
  if (keys == pages_.end()) return;
  for (const uint64_t key : keys->second) {
    const auto block = blocks_.find(key);
    if (block == blocks_.end()) continue;
    const uint64_t physical = block->second->physical;
    Slot& slot = cache_[(physical ^ physical >> 12) % kCached];
    if (slot.key == key) slot = {};
    dropped_.push_back(std::move(block->second));
    blocks_.erase(block);
  }
  pages_.erase(keys);
}

void Blocks::written(Cpu& cpu, uint64_t physical) {
  if (!holds(physical)) return;
  drop(physical >> 12);
  cpu.leaveBlock = true;
}

void Blocks::clear(Cpu& cpu) {
  for (auto& entry : blocks_) dropped_.push_back(std::move(entry.second));
  blocks_.clear();
  pages_.clear();
  for (Slot& slot : cache_) slot = {};
  cpu.leaveBlock = true;
}

}  // namespace vtkit::emulator
