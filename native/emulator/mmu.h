// Linear and physical memory as a processor reaches it: segment checks, TLB, and what lies behind them.
#pragma once

#include "emulator/cpu.h"

namespace vtkit::emulator {

enum class Access : uint8_t { read, write, execute };

inline constexpr uint64_t kNoTag = ~uint64_t{0};

/** Walks the page tables (SDM Vol. 3A, chapter 4), setting A and D. False with #PF pending. */
bool translate(Cpu& cpu, uint64_t linear, Access access, bool user, uint64_t& physical);

/** Global pages go too: an earlier end than the architecture promises is always allowed. */
void flushTlb(Cpu& cpu);
void flushTlbPage(Cpu& cpu, uint64_t linear);
/** Makes every write look again: a page became code. */
void flushTlbWrites(Cpu& cpu);

/** The way past the TLB: page crossings, faults, MMIO, code pages. */
bool readSlow(Cpu& cpu, uint64_t linear, void* to, unsigned bytes, bool user);
bool writeSlow(Cpu& cpu, uint64_t linear, const void* from, unsigned bytes, bool user);

/** A physical range, memory or MMIO; never crosses a page. */
bool readPhysical(Cpu& cpu, uint64_t physical, void* to, unsigned bytes);
bool writePhysical(Cpu& cpu, uint64_t physical, const void* from, unsigned bytes);

/** Checks an access against a segment outside 64-bit mode. False with #GP or #SS pending. */
bool checkSegment(Cpu& cpu, unsigned seg, uint64_t offset, unsigned bytes, bool write);

/** The linear address of an operand, or false with a fault pending. */
VTKIT_HOT inline bool linearOf(Cpu& cpu, unsigned seg, uint64_t offset, unsigned bytes, bool write, uint64_t& linear) {
  if (cpu.code64()) {
    linear = seg == FS || seg == GS ? cpu.seg[seg].base + offset : offset;
    if (!canonical(cpu, linear) || !canonical(cpu, linear + bytes - 1)) {
      return raise(cpu, seg == SS ? kSsFault : kGp, 0);
    }
    return true;
  }
  if ((cpu.flat >> seg & 1) != 0 && offset <= 0x100000000u - bytes) {
    linear = offset;
    return true;
  }
  if (!checkSegment(cpu, seg, offset, bytes, write)) return false;
  linear = static_cast<uint32_t>(cpu.seg[seg].base + offset);
  return true;
}

/** Where an offset lies for the TLB: what it holds is canonical, and within the limit of a flat segment. */
inline uint64_t quickLinear(const Cpu& cpu, unsigned seg, uint64_t offset) { return cpu.linearBase[seg] + offset; }

inline unsigned entryNumber(uint64_t linear) { return linear >> 12 & (Cpu::kTlbEntries - 1); }
inline const TlbEntry& entryOf(const Cpu& cpu, uint64_t linear) { return cpu.tlb[entryNumber(linear)]; }
/** The tag that an access needs of its entry: that of its last byte's page, which is another where it crosses pages. */
template <typename T>
inline uint64_t tagOf(uint64_t linear, uint64_t user) {
  return ((linear + sizeof(T) - 1) & ~uint64_t{0xfff}) | user;
}

template <typename T>
VTKIT_HOT inline bool readLinear(Cpu& cpu, uint64_t linear, T& value, bool user) {
  const TlbEntry& entry = entryOf(cpu, linear);
  if (entry.readTag == tagOf<T>(linear, user ? 1 : 0)) {
    std::memcpy(&value, entry.host(linear), sizeof(T));
    return true;
  }
  return readSlow(cpu, linear, &value, sizeof(T), user);
}

template <typename T>
VTKIT_HOT inline bool writeLinear(Cpu& cpu, uint64_t linear, T value, bool user) {
  const TlbEntry& entry = entryOf(cpu, linear);
  if (entry.writeTag == tagOf<T>(linear, user ? 1 : 0)) {
    std::memcpy(entry.host(linear), &value, sizeof(T));
    return true;
  }
  return writeSlow(cpu, linear, &value, sizeof(T), user);
}

// Operands of instructions, at the privilege of the code.

template <typename T>
__attribute__((noinline)) bool loadChecked(Cpu& cpu, unsigned seg, uint64_t offset, T& value) {
  uint64_t linear;
  return linearOf(cpu, seg, offset, sizeof(T), false, linear) && readLinear<T>(cpu, linear, value, cpu.cpl == 3);
}
template <typename T>
__attribute__((noinline)) bool storeChecked(Cpu& cpu, unsigned seg, uint64_t offset, T value) {
  uint64_t linear;
  return linearOf(cpu, seg, offset, sizeof(T), true, linear) && writeLinear<T>(cpu, linear, value, cpu.cpl == 3);
}

template <typename T>
VTKIT_HOT inline bool load(Cpu& cpu, unsigned seg, uint64_t offset, T& value) {
  const uint64_t linear = quickLinear(cpu, seg, offset);
  const TlbEntry& entry = entryOf(cpu, linear);
  if (__builtin_expect(entry.readTag != tagOf<T>(linear, cpu.userTag), false)) {
    T checked;  // apart, so that the other has no address and may be a register
    if (!loadChecked<T>(cpu, seg, offset, checked)) return false;
    value = checked;
    return true;
  }
  std::memcpy(&value, entry.host(linear), sizeof(T));
  return true;
}

template <typename T>
VTKIT_HOT inline bool store(Cpu& cpu, unsigned seg, uint64_t offset, T value) {
  const uint64_t linear = quickLinear(cpu, seg, offset);
  const TlbEntry& entry = entryOf(cpu, linear);
  if (__builtin_expect(entry.writeTag != tagOf<T>(linear, cpu.userTag), false)) {
    return storeChecked<T>(cpu, seg, offset, value);
  }
  std::memcpy(entry.host(linear), &value, sizeof(T));
  return true;
}

/** Descriptor tables, task state and interrupt stacks: supervisor accesses whatever the code's privilege. */
template <typename T>
inline bool loadSystem(Cpu& cpu, uint64_t linear, T& value) {
  cpu.implicit = true;
  const bool loaded = readLinear<T>(cpu, linear, value, false);
  cpu.implicit = false;
  return loaded;
}
template <typename T>
inline bool storeSystem(Cpu& cpu, uint64_t linear, T value) {
  cpu.implicit = true;
  const bool stored = writeLinear<T>(cpu, linear, value, false);
  cpu.implicit = false;
  return stored;
}

/** Makes sure that a later write of these bytes cannot fault (for read-modify-write and for multi-part stores). */
bool probeWrite(Cpu& cpu, unsigned seg, uint64_t offset, unsigned bytes);

/** Host address of the page of code at a linear address, or null with a fault pending; `physical` is its address. */
const uint8_t* fetchPage(Cpu& cpu, uint64_t linear, uint64_t& physical);

// The stack -----------------------------------------------------------------------------------------------------------

template <typename T>
inline bool push(Cpu& cpu, T value) {
  const uint64_t rsp = (cpu.gpr[RSP] - sizeof(T)) & cpu.stackMask;
  if (!store<T>(cpu, SS, rsp, value)) return false;
  cpu.gpr[RSP] = (cpu.gpr[RSP] & ~cpu.stackMask) | rsp;
  return true;
}

template <typename T>
inline bool pop(Cpu& cpu, T& value) {
  if (!load<T>(cpu, SS, cpu.gpr[RSP] & cpu.stackMask, value)) return false;
  cpu.gpr[RSP] = (cpu.gpr[RSP] & ~cpu.stackMask) | ((cpu.gpr[RSP] + sizeof(T)) & cpu.stackMask);
  return true;
}

}  // namespace vtkit::emulator
