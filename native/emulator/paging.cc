// Paging, the TLB and the slow ways to memory (SDM Vol. 3A, chapter 4).
#include <algorithm>

#include "emulator/blocks.h"
#include "emulator/breakpoints.h"
#include "emulator/mmu.h"

namespace vtkit::emulator {

namespace {

constexpr uint64_t kPresent = 1, kWritable = 2, kUser = 4, kAccessed = 0x20, kDirty = 0x40, kLarge = 0x80;
constexpr uint64_t kNoExecute = uint64_t{1} << 63;
constexpr uint64_t kPhysicalMask = 0x000ffffffffff000;  // 52 bits
constexpr uint64_t kPageMask = 0xfff;

// Page-fault error code (SDM Vol. 3A, 4.7)
constexpr uint32_t kErrorPresent = 1, kErrorWrite = 2, kErrorUser = 4, kErrorReserved = 8, kErrorFetch = 16;

bool pageFault(Cpu& cpu, uint64_t linear, Access access, bool user, uint32_t error) {
  cpu.cr2 = linear;
  if (access == Access::write) error |= kErrorWrite;
  if (user) error |= kErrorUser;
  const bool fetchReported = (cpu.efer & kEferNxe) != 0 && (cpu.cr4 & kCr4Pae) != 0;
  if (access == Access::execute && fetchReported) error |= kErrorFetch;
  return raise(cpu, kPfFault, error);
}

struct Walk {
  uint64_t entryAddress[4];
  uint64_t entry[4];
  unsigned entries = 0;
};

uint64_t readEntry(Cpu& cpu, uint64_t address, bool wide) {
  uint64_t value = 0;
  // A table outside memory reads as all ones on the bus: a reserved-bit fault where such bits exist.
  if (!cpu.memory->read(address, &value, wide ? 8 : 4)) value = wide ? ~uint64_t{0} : 0xffffffff;
  return value;
}

void setEntryBits(Cpu& cpu, uint64_t address, bool wide, uint64_t entry, uint64_t bits) {
  if ((entry & bits) == bits) return;
  const uint64_t value = entry | bits;
  writePhysical(cpu, address, &value, wide ? 8 : 4);
}

}  // namespace

bool translate(Cpu& cpu, uint64_t linear, Access access, bool user, uint64_t& physical) {
  if ((cpu.cr0 & kCr0Pg) == 0) {
    physical = linear;
    return true;
  }
  const bool wide = (cpu.cr4 & kCr4Pae) != 0;
  const bool longMode = cpu.longMode();
  const bool nx = (cpu.efer & kEferNxe) != 0;
  const int levels = longMode ? 4 : (wide ? 3 : 2);
  const unsigned indexBits = wide ? 9 : 10;

  Walk walk;
  uint64_t table = longMode ? cpu.cr3 & kPhysicalMask : (wide ? cpu.cr3 & 0xffffffe0 : cpu.cr3 & 0xfffff000);
  bool writable = true, userOk = true, noExecute = false;
  uint64_t offsetMask = kPageMask;
  uint64_t entry = 0;
  for (int level = levels; level >= 1; level--) {
    const unsigned shift = 12 + indexBits * static_cast<unsigned>(level - 1);
    const uint64_t index = linear >> shift & ((level == 3 && !longMode) ? 3 : (uint64_t{1} << indexBits) - 1);
    const uint64_t address = table + index * (wide ? 8 : 4);
    entry = readEntry(cpu, address, wide);
    if ((entry & kPresent) == 0) return pageFault(cpu, linear, access, user, 0);

    const bool pointer = level == 3 && !longMode;  // a PDPTE of PAE paging has no rights
    const bool mayBeLarge = (level == 2 && (wide || (cpu.cr4 & kCr4Pse) != 0)) || (level == 3 && longMode);
    const bool large = level > 1 && mayBeLarge && (entry & kLarge) != 0;
    if (wide) {
      uint64_t reserved = longMode ? 0 : 0x7ff0000000000000;
      if (!nx) reserved |= kNoExecute;
      if (pointer) reserved |= 0x1e6 | kNoExecute;
      if (level == 4) reserved |= kLarge;
      if (large) reserved |= ((uint64_t{1} << shift) - 1) & ~uint64_t{0x1fff} & kPhysicalMask;
      if ((entry & reserved) != 0) return pageFault(cpu, linear, access, user, kErrorPresent | kErrorReserved);
    }
    if (!pointer) {
      writable = writable && (entry & kWritable) != 0;
      userOk = userOk && (entry & kUser) != 0;
      noExecute = noExecute || (wide && nx && (entry & kNoExecute) != 0);
      walk.entryAddress[walk.entries] = address;
      walk.entry[walk.entries++] = entry;
    }
    if (large) {
      offsetMask = (uint64_t{1} << shift) - 1;
      break;
    }
    table = wide ? entry & kPhysicalMask : entry & 0xfffff000;
  }

  const bool supervisorWrite = !user && (cpu.cr0 & kCr0Wp) == 0;
  const bool denied = (user && !userOk) || (access == Access::write && !writable && !supervisorWrite) ||
                      (access == Access::execute && noExecute);
  if (denied) return pageFault(cpu, linear, access, user, kErrorPresent);

  for (unsigned i = 0; i < walk.entries; i++) {
    const bool leaf = i + 1 == walk.entries;
    setEntryBits(cpu, walk.entryAddress[i], wide, walk.entry[i],
                 kAccessed | (leaf && access == Access::write ? kDirty : 0));
  }
  uint64_t base = wide ? entry & kPhysicalMask : entry & 0xfffff000;
  if (!wide && offsetMask > kPageMask) base = (entry & 0xffc00000) | (entry & 0x1fe000) << 19;  // PSE-36
  physical = (base & ~offsetMask) | (linear & offsetMask);
  return true;
}

void flushTlb(Cpu& cpu) {
  for (TlbEntry& entry : cpu.tlb) entry.readTag = entry.writeTag = entry.executeTag = entry.watchedTag = kNoTag;
  newEpoch(cpu);
}

void flushTlbPage(Cpu& cpu, uint64_t linear) {
  TlbEntry& entry = cpu.tlb[linear >> 12 & (Cpu::kTlbEntries - 1)];
  entry.readTag = entry.writeTag = entry.executeTag = entry.watchedTag = kNoTag;
  newEpoch(cpu);
}

void flushTlbWrites(Cpu& cpu) {
  for (TlbEntry& entry : cpu.tlb) entry.writeTag = kNoTag;
}

bool readPhysical(Cpu& cpu, uint64_t physical, void* to, unsigned bytes) {
  const uint8_t* host = cpu.memory->at(physical, bytes);
  if (host != nullptr) {
    std::memcpy(to, host, bytes);
    return true;
  }
  if (cpu.platform->mmioRead(physical, bytes, to)) return true;
  cpu.closing = true;
  return false;
}

bool writePhysical(Cpu& cpu, uint64_t physical, const void* from, unsigned bytes) {
  const memory::Slot* slot = cpu.memory->find(physical);
  if (slot != nullptr && !slot->readOnly) {
    std::memcpy(slot->host + (physical - slot->guestPhysical), from, bytes);
    memory::GuestMemory::markDirty(*slot, physical);
    cpu.blocks->written(cpu, physical, bytes);
    return true;
  }
  if (cpu.platform->mmioWrite(physical, bytes, from)) return true;
  cpu.closing = true;
  return false;
}

namespace {

/** Fills the TLB for one access; a page that is no plain memory gets no entry. */
void fill(Cpu& cpu, uint64_t linear, uint64_t physical, Access access, bool user) {
  const memory::Slot* slot = cpu.memory->find(physical);
  if (slot == nullptr || (cpu.watchesData && access != Access::execute)) return;
  TlbEntry& entry = cpu.tlb[linear >> 12 & (Cpu::kTlbEntries - 1)];
  const uint64_t tag = (linear & ~kPageMask) | (user ? 1 : 0);
  uint8_t* host = slot->host + ((physical & ~kPageMask) - slot->guestPhysical);
  if (entry.readTag != tag || entry.host != host) {
    entry.readTag = tag;
    entry.writeTag = entry.executeTag = entry.watchedTag = kNoTag;
    entry.host = host;
    entry.physical = physical & ~kPageMask;
  }
  if (access == Access::execute) entry.executeTag = tag;
  if (cpu.watchesData) entry.readTag = kNoTag;
  // A write entry lets writes go unseen: not where somebody watches the page.
  if (access == Access::write && !slot->readOnly) {
    (slot->logDirty || cpu.blocks->holds(physical) ? entry.watchedTag : entry.writeTag) = tag;
  }
}

/** Calls `part(physical, offset, bytes)` for the one or two pages of an access, after translating both. */
template <typename Part>
bool forPages(Cpu& cpu, uint64_t linear, unsigned bytes, Access access, bool user, Part part) {
  const unsigned first = static_cast<unsigned>(std::min<uint64_t>(bytes, 0x1000 - (linear & kPageMask)));
  uint64_t physical, second = 0;
  if (!translate(cpu, linear, access, user, physical)) return false;
  uint64_t next = linear + first;
  if (!cpu.code64()) next = static_cast<uint32_t>(next);
  if (first < bytes && !translate(cpu, next, access, user, second)) return false;
  fill(cpu, linear, physical, access, user);
  return part(physical, 0u, first) && (first == bytes || part(second, first, bytes - first));
}

}  // namespace

bool readSlow(Cpu& cpu, uint64_t linear, void* to, unsigned bytes, bool user) {
  if (cpu.watchesData) watchData(cpu, linear, bytes, false);
  return forPages(cpu, linear, bytes, Access::read, user, [&](uint64_t physical, unsigned offset, unsigned part) {
    return readPhysical(cpu, physical, static_cast<uint8_t*>(to) + offset, part);
  });
}

bool writeSlow(Cpu& cpu, uint64_t linear, const void* from, unsigned bytes, bool user) {
  if (cpu.watchesData) watchData(cpu, linear, bytes, true);
  const TlbEntry& entry = cpu.tlb[linear >> 12 & (Cpu::kTlbEntries - 1)];
  const uint64_t at = linear & kPageMask;
  if (entry.watchedTag == ((linear & ~kPageMask) | (user ? 1 : 0)) && at + bytes <= 0x1000) {
    return writePhysical(cpu, entry.physical | at, from, bytes);
  }
  return forPages(cpu, linear, bytes, Access::write, user, [&](uint64_t physical, unsigned offset, unsigned part) {
    return writePhysical(cpu, physical, static_cast<const uint8_t*>(from) + offset, part);
  });
}

bool probeWrite(Cpu& cpu, unsigned seg, uint64_t offset, unsigned bytes) {
  uint64_t linear, physical;
  if (!linearOf(cpu, seg, offset, bytes, true, linear)) return false;
  const bool user = cpu.cpl == 3;
  if (!translate(cpu, linear, Access::write, user, physical)) return false;
  const uint64_t last = linear + bytes - 1;
  return (last & ~kPageMask) == (linear & ~kPageMask) ||
         translate(cpu, last & ~kPageMask, Access::write, user, physical);
}

const uint8_t* fetchPage(Cpu& cpu, uint64_t linear, uint64_t& physical) {
  const bool user = cpu.cpl == 3;
  const TlbEntry& entry = cpu.tlb[linear >> 12 & (Cpu::kTlbEntries - 1)];
  if (entry.executeTag != ((linear & ~kPageMask) | (user ? 1 : 0))) {
    if (!translate(cpu, linear, Access::execute, user, physical)) return nullptr;
    if (cpu.memory->find(physical) == nullptr) {
      cpu.unknown = true;  // code in no memory: reported, not guessed
      return nullptr;
    }
    fill(cpu, linear, physical, Access::execute, user);
  }
  physical = entry.physical | (linear & kPageMask);
  return entry.host;
}

bool checkSegment(Cpu& cpu, unsigned seg, uint64_t offset, unsigned bytes, bool write) {
  const vcpu::Segment& s = cpu.seg[seg];
  const uint8_t vector = seg == SS ? kSsFault : kGp;
  if (s.unusable != 0 || s.present == 0) return raise(cpu, vector, 0);
  if (cpu.protectedMode() && !cpu.v86()) {
    const bool code = (s.type & 8) != 0;
    if (write ? code || (s.type & 2) == 0 : code && (s.type & 2) == 0) return raise(cpu, vector, 0);
    if (!code && (s.type & 4) != 0) {  // expand-down: above the limit, up to the top
      const uint64_t top = s.db != 0 ? 0xffffffff : 0xffff;
      if (offset <= s.limit || offset + bytes - 1 > top) return raise(cpu, vector, 0);
      return true;
    }
  }
  return offset + bytes - 1 <= s.limit ? true : raise(cpu, vector, 0);
}

}  // namespace vtkit::emulator
