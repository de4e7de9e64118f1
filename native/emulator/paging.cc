// Paging, the TLB and the slow ways to memory (SDM Vol. 3A, chapter 4).
#include <algorithm>

#include "emulator/blocks.h"
#include "emulator/breakpoints.h"
#include "emulator/cpu-model.h"
#include "emulator/mmu.h"

namespace vtkit::emulator {

namespace {

constexpr uint64_t kPresent = 1, kWritable = 2, kUser = 4, kAccessed = 0x20, kDirty = 0x40, kLarge = 0x80;
constexpr uint64_t kNoExecute = uint64_t{1} << 63;
constexpr uint64_t kAddressMask = 0x000ffffffffff000;  // 52 bits
constexpr uint64_t kPageMask = 0xfff;

// Page-fault error code (SDM Vol. 3A, 4.7)
constexpr uint32_t kErrorPresent = 1, kErrorWrite = 2, kErrorUser = 4, kErrorReserved = 8, kErrorFetch = 16,
                   kErrorKey = 32;

bool pageFault(Cpu& cpu, uint64_t linear, Access access, bool user, uint32_t error) {
  cpu.cr2 = linear;
  if (access == Access::write) error |= kErrorWrite;
  if (user) error |= kErrorUser;
  const bool executeDisable = (cpu.efer & kEferNxe) != 0 && (cpu.cr4 & kCr4Pae) != 0;
  if (access == Access::execute && (executeDisable || (cpu.cr4 & kCr4Smep) != 0)) error |= kErrorFetch;
  return raise(cpu, kPfFault, error);
}

/** One kind of paging (4.1.1): how entries are read, and what is reserved in them. */
struct Paging {
  bool wide;      // 64-bit entries
  bool longMode;  // 4 or 5 levels
  int levels;
  unsigned indexBits;
  bool noExecute;     // EFER.NXE
  uint64_t reserved;  // in every entry of 4- and 5-level and PAE paging

  explicit Paging(const Cpu& cpu)
      : wide((cpu.cr4 & kCr4Pae) != 0),
        longMode(cpu.longMode()),
        levels(longMode ? ((cpu.cr4 & kCr4La57) != 0 ? 5 : 4)
               : wide   ? 3
                        : 2),
        indexBits(wide ? 9 : 10),
        noExecute((cpu.efer & kEferNxe) != 0),
        reserved((kAddressMask & ~physicalMask(cpu)) | (noExecute ? 0 : kNoExecute) |
                 (longMode ? 0 : 0x7ff0000000000000)) {}

  unsigned shiftOf(int level) const { return 12 + indexBits * static_cast<unsigned>(level - 1); }
  /** A PDPTE of PAE paging, which has no rights. */
  bool isPointer(int level) const { return level == 3 && !longMode; }
  bool mayBeLarge(const Cpu& cpu, int level) const {
    return (level == 2 && (wide || (cpu.cr4 & kCr4Pse) != 0)) || (level == 3 && longMode);
  }
  bool isValid(uint64_t entry, int level, bool large) const {
    if (!wide) return !large || (entry & 0x200000) == 0;  // PSE-36 for 40 bits: bit 21 is reserved (4.3)
    uint64_t bits = reserved;
    if (isPointer(level)) bits |= 0x1e6 | kNoExecute;
    if (longMode && level >= 4) bits |= kLarge;
    if (large) bits |= ((uint64_t{1} << shiftOf(level)) - 1) & ~uint64_t{0x1fff};
    return (entry & bits) == 0;
  }
};

struct Walk {
  uint64_t entryAddress[5];
  uint64_t entry[5];
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

/** What all entries of a translation allow together. */
struct Rights {
  bool writable = true, user = true, noExecute = false;
};

/** Whether the rights allow an access, but for protection keys (4.6.1). */
bool allows(const Cpu& cpu, const Rights& rights, Access access, bool user) {
  if (access == Access::execute) {
    if (rights.noExecute) return false;
    return user ? rights.user : !rights.user || (cpu.cr4 & kCr4Smep) == 0;
  }
  if (user) return rights.user && (access == Access::read || rights.writable);
  const bool guarded = rights.user && (cpu.cr4 & kCr4Smap) != 0;
  if (guarded && (cpu.implicit || (cpu.rflags & kAc) == 0)) return false;
  return access == Access::read || rights.writable || (cpu.cr0 & kCr0Wp) == 0;
}

/** Protection keys of user pages (4.6.2). */
bool keyAllows(const Cpu& cpu, uint64_t leaf, const Rights& rights, Access access, bool user) {
  if ((cpu.cr4 & kCr4Pke) == 0 || !cpu.longMode() || !rights.user || access == Access::execute) return true;
  const uint32_t bits = cpu.pkru >> (2 * (leaf >> 59 & 15));
  if ((bits & 1) != 0) return false;
  return (bits & 2) == 0 || access == Access::read || (!user && (cpu.cr0 & kCr0Wp) == 0);
}

}  // namespace

bool translate(Cpu& cpu, uint64_t linear, Access access, bool user, uint64_t& physical) {
  if ((cpu.cr0 & kCr0Pg) == 0) {
    physical = linear;
    return true;
  }
  const Paging paging(cpu);
  Walk walk;
  uint64_t table = paging.longMode ? cpu.cr3 & kAddressMask : cpu.cr3 & (paging.wide ? 0xffffffe0 : 0xfffff000);
  Rights rights;
  uint64_t offsetMask = kPageMask;
  uint64_t entry = 0;
  for (int level = paging.levels; level >= 1; level--) {
    const unsigned shift = paging.shiftOf(level);
    const bool pointer = paging.isPointer(level);
    const uint64_t index = linear >> shift & (pointer ? 3 : (uint64_t{1} << paging.indexBits) - 1);
    const uint64_t address = table + index * (paging.wide ? 8 : 4);
    entry = readEntry(cpu, address, paging.wide);
    if ((entry & kPresent) == 0) return pageFault(cpu, linear, access, user, 0);
    const bool large = level > 1 && paging.mayBeLarge(cpu, level) && (entry & kLarge) != 0;
    if (!paging.isValid(entry, level, large)) {
      return pageFault(cpu, linear, access, user, kErrorPresent | kErrorReserved);
    }
    if (!pointer) {
      rights.writable = rights.writable && (entry & kWritable) != 0;
      rights.user = rights.user && (entry & kUser) != 0;
      rights.noExecute = rights.noExecute || (paging.wide && paging.noExecute && (entry & kNoExecute) != 0);
      walk.entryAddress[walk.entries] = address;
      walk.entry[walk.entries++] = entry;
    }
    if (large) {
      offsetMask = (uint64_t{1} << shift) - 1;
      cpu.largeFrom = std::min(cpu.largeFrom, linear & ~offsetMask);
      cpu.largeTo = std::max(cpu.largeTo, linear | offsetMask);
      break;
    }
    table = paging.wide ? entry & kAddressMask : entry & 0xfffff000;
  }
  const bool keyed = keyAllows(cpu, entry, rights, access, user);
  if (!allows(cpu, rights, access, user) || !keyed) {
    return pageFault(cpu, linear, access, user, kErrorPresent | (keyed ? 0 : kErrorKey));
  }

  for (unsigned i = 0; i < walk.entries; i++) {
    const bool leaf = i + 1 == walk.entries;
    setEntryBits(cpu, walk.entryAddress[i], paging.wide, walk.entry[i],
                 kAccessed | (leaf && access == Access::write ? kDirty : 0));
  }
  uint64_t base = paging.wide ? entry & kAddressMask : entry & 0xfffff000;
  if (!paging.wide && offsetMask > kPageMask) base = (entry & 0xffc00000) | (entry & 0x1fe000) << 19;  // PSE-36
  physical = (base & ~offsetMask) | (linear & offsetMask);
  cpu.lastGuarded = !user && rights.user && access != Access::execute && (cpu.cr4 & kCr4Smap) != 0;
  return true;
}

void flushTlb(Cpu& cpu) {
  const auto clear = [](TlbEntry& entry) {
    entry.readTag = entry.writeTag = entry.executeTag = entry.watchedTag = kNoTag;
  };
  if (cpu.filledCount <= Cpu::kFilledKnown) {
    for (unsigned i = 0; i < cpu.filledCount; i++) clear(cpu.tlb[cpu.filled[i]]);
  } else {
    for (TlbEntry& entry : cpu.tlb) clear(entry);
  }
  cpu.filledCount = 0;
  cpu.largeFrom = ~uint64_t{0};
  cpu.largeTo = 0;
  newEpoch(cpu);
}

void flushTlbPage(Cpu& cpu, uint64_t linear) {
  // Of a large page, any number of entries may be there.
  if (linear >= cpu.largeFrom && linear <= cpu.largeTo) return flushTlb(cpu);
  TlbEntry& entry = cpu.tlb[linear >> 12 & (Cpu::kTlbEntries - 1)];
  entry.readTag = entry.writeTag = entry.executeTag = entry.watchedTag = kNoTag;
  newEpoch(cpu);
}

void flushTlbWrites(Cpu& cpu) {
  for (TlbEntry& entry : cpu.tlb) entry.writeTag = kNoTag;
}

namespace {

/** The registers of the local APIC: 32 bits at each multiple of 16 (SDM Vol. 3A, 11.4.1). */
void readApic(Cpu& cpu, uint64_t physical, void* to, unsigned bytes) {
  const auto offset = static_cast<uint32_t>(physical & kPageMask);
  const uint64_t value = (offset & 15) < 4 ? cpu.apic->read(offset & ~15u) >> (8 * (offset & 3)) : 0;
  std::memcpy(to, &value, bytes);
}

void writeApic(Cpu& cpu, uint64_t physical, const void* from, unsigned bytes) {
  uint32_t value = 0;
  if ((physical & 15) != 0 || bytes < 4) return;  // other accesses are not defined
  std::memcpy(&value, from, 4);
  cpu.apic->write(static_cast<uint32_t>(physical & kPageMask), value);
  cpu.leaveBlock = true;  // what it sent may be for this processor
}

bool isApic(const Cpu& cpu, uint64_t physical) { return (physical & ~kPageMask) == cpu.apic->page(); }

}  // namespace

bool readPhysical(Cpu& cpu, uint64_t physical, void* to, unsigned bytes) {
  if (isApic(cpu, physical)) {
    readApic(cpu, physical, to, bytes);
    return true;
  }
  const uint8_t* host = cpu.memory->at(physical, bytes);
  if (host != nullptr) {
    std::memcpy(to, host, bytes);
    return true;
  }
  if (cpu.platform->mmioRead(physical, bytes, to)) {
    if (cpu.attention.load(std::memory_order_relaxed) != 0) cpu.leaveBlock = true;
    return true;
  }
  cpu.closing = true;
  return false;
}

bool writePhysical(Cpu& cpu, uint64_t physical, const void* from, unsigned bytes) {
  if (isApic(cpu, physical)) {
    writeApic(cpu, physical, from, bytes);
    return true;
  }
  const memory::Slot* slot = cpu.memory->find(physical);
  if (slot != nullptr && !slot->readOnly) {
    std::memcpy(slot->host + (physical - slot->guestPhysical), from, bytes);
    memory::GuestMemory::markDirty(*slot, physical);
    for (Cpu* holder : *cpu.all) holder->blocks->written(*holder, physical, bytes);
    return true;
  }
  if (cpu.platform->mmioWrite(physical, bytes, from)) {
    if (cpu.attention.load(std::memory_order_relaxed) != 0) cpu.leaveBlock = true;
    return true;
  }
  cpu.closing = true;
  return false;
}

namespace {

/** Whether any processor has decoded code of a page. */
bool codeLies(const Cpu& cpu, uint64_t physical) {
  return std::any_of(cpu.all->begin(), cpu.all->end(),
                     [&](const Cpu* other) { return other->blocks->holds(physical); });
}

/** Fills the TLB for one access; a page that is no plain memory gets no entry. */
void fill(Cpu& cpu, uint64_t linear, uint64_t physical, Access access, bool user) {
  const memory::Slot* slot = cpu.memory->find(physical);
  if (slot == nullptr || (cpu.watchesData && access != Access::execute)) return;
  // Where SMAP looks at AC, each access has to be looked at; and no entry hides the APIC's registers.
  if (cpu.lastGuarded || (cpu.checksAlignment && access != Access::execute) ||
      (physical & ~kPageMask) == cpu.apic->page())
    return;
  TlbEntry& entry = cpu.tlb[linear >> 12 & (Cpu::kTlbEntries - 1)];
  const uint64_t tag = (linear & ~kPageMask) | (user ? 1 : 0);
  uint8_t* host = slot->host + ((physical & ~kPageMask) - slot->guestPhysical);
  if (entry.readTag != tag || entry.host != host) {
    if (cpu.filledCount < Cpu::kFilledKnown) {
      cpu.filled[cpu.filledCount] = static_cast<uint16_t>(&entry - cpu.tlb);
    }
    if (cpu.filledCount <= Cpu::kFilledKnown) cpu.filledCount++;
    entry.readTag = tag;
    entry.writeTag = entry.executeTag = entry.watchedTag = kNoTag;
    entry.host = host;
    entry.physical = physical & ~kPageMask;
  }
  if (access == Access::execute) entry.executeTag = tag;
  if (cpu.watchesData) entry.readTag = kNoTag;
  // A write entry lets writes go unseen: not where somebody watches the page.
  if (access == Access::write && !slot->readOnly) {
    (slot->logDirty || codeLies(cpu, physical) ? entry.watchedTag : entry.writeTag) = tag;
  }
}

/** Operands that alignment checks know are as long as they have to be aligned (SDM Vol. 3A, table 6-7). */
bool isMisaligned(uint64_t linear, unsigned bytes) {
  return (bytes == 2 || bytes == 4 || bytes == 8) && (linear & (bytes - 1)) != 0;
}

/** Calls `part(physical, offset, bytes)` for the one or two pages of an access, after translating both. */
template <typename Part>
bool forPages(Cpu& cpu, uint64_t linear, unsigned bytes, Access access, bool user, Part part) {
  const unsigned first = static_cast<unsigned>(std::min<uint64_t>(bytes, 0x1000 - (linear & kPageMask)));
  uint64_t physical, second = 0;
  if (!translate(cpu, linear, access, user, physical)) return false;
  if (first == bytes) fill(cpu, linear, physical, access, user);
  uint64_t next = linear + first;
  if (!cpu.code64()) next = static_cast<uint32_t>(next);
  if (first < bytes && !translate(cpu, next, access, user, second)) return false;
  if (cpu.checksAlignment && user && isMisaligned(linear, bytes)) return raise(cpu, kAcFault, 0);
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
