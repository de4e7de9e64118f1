// The TLB, and the ways to memory behind it: the local APIC's page, MMIO, code pages, page crossings.
#include <algorithm>

#include "emulator/blocks.h"
#include "emulator/breakpoints.h"
#include "emulator/dispatch.h"
#include "emulator/mmu.h"
#include "emulator/vmx/virtual-apic.h"

namespace vtkit::emulator {

namespace {

constexpr uint64_t kPageMask = 0xfff;

void clear(Cpu& cpu, unsigned number) {
  TlbEntry& entry = cpu.tlb[number];
  entry.readTag = entry.writeTag = entry.executeTag = cpu.tlbPages[number].watchedTag = kNoTag;
}

/** Spread by a product, as what a kernel and its tables occupy often differs in high bits alone. */
unsigned regionOf(uint64_t linear) {
  static_assert(Cpu::kRegions == 64);
  return static_cast<unsigned>((linear >> Cpu::kRegionShift) * 0x9e3779b97f4a7c15 >> 58);
}

/** Grows with every flush that concerns an address. */
uint64_t flushesOf(const Cpu& cpu, uint64_t linear) { return cpu.flushes + cpu.regionFlushes[regionOf(linear)]; }

/** Whether code was found around an address, of which no entry tells any more. */
bool gaveWay(const Cpu& cpu, uint64_t linear) { return (cpu.codeRegions >> regionOf(linear) & 1) != 0; }

/** Calls `visit` with the number of each entry that may hold something, of 64 at a time. */
template <typename Visit>
void forFilled(Cpu& cpu, unsigned first, unsigned last, Visit visit) {
  for (unsigned word = first / 64; word <= last / 64; word++) {
    for (uint64_t left = cpu.filled[word]; left != 0; left &= left - 1) {
      visit(word * 64 + static_cast<unsigned>(__builtin_ctzll(left)));
    }
  }
}

/** The entries of a naturally aligned piece of linear memory: of 2 MiB, or of 4 as many as there are. */
void flushPiece(Cpu& cpu, uint64_t linear, uint64_t mask) {
  constexpr unsigned kLast = Cpu::kTlbEntries - 1;
  static_assert(kLast >= 0x3fffff >> 12);
  const uint64_t from = linear & ~mask, to = linear | mask;
  bool code = false;
  forFilled(cpu, from >> 12 & kLast, to >> 12 & kLast, [&](unsigned number) {
    const TlbEntry& entry = cpu.tlb[number];
    for (const uint64_t tag : {entry.readTag, entry.executeTag}) {
      if (tag == kNoTag || ((tag ^ linear) & ~mask) != 0) continue;
      code = code || entry.executeTag != kNoTag;
      return clear(cpu, number);
    }
  });
  for (const uint64_t at : {from, to}) {
    cpu.regionFlushes[regionOf(at)]++;
    code = code || gaveWay(cpu, at);
  }
  if (code) newEpoch(cpu);
}

}  // namespace

void flushTlb(Cpu& cpu) {
  forFilled(cpu, 0, Cpu::kTlbEntries - 1, [&](unsigned number) { clear(cpu, number); });
  for (uint64_t& word : cpu.filled) word = 0;
  cpu.flushes++;
  cpu.codeRegions = 0;
  cpu.largeFrom = ~uint64_t{0};
  cpu.largeTo = cpu.largeMask = 0;
  newEpoch(cpu);
}

void flushTlbPage(Cpu& cpu, uint64_t linear) {
  constexpr uint64_t kLargestPiece = 0x3fffff;  // 4 MiB; of a larger page all goes
  // Of a large page, any number of entries may be there.
  if (linear >= cpu.largeFrom && linear <= cpu.largeTo) {
    return cpu.largeMask > kLargestPiece ? flushTlb(cpu) : flushPiece(cpu, linear, cpu.largeMask);
  }
  const TlbEntry& entry = entryOf(cpu, linear);
  cpu.translations[linear >> 12 & (Cpu::kTranslations - 1)].tag = kNoTag;
  if (((entry.readTag ^ linear) & ~kPageMask) != 0 && ((entry.executeTag ^ linear) & ~kPageMask) != 0) {
    if (gaveWay(cpu, linear)) newEpoch(cpu);
    return;
  }
  const bool code = entry.executeTag != kNoTag || gaveWay(cpu, linear);
  clear(cpu, entryNumber(linear));
  if (code) newEpoch(cpu);
}

void flushTlbWrites(Cpu& cpu) {
  forFilled(cpu, 0, Cpu::kTlbEntries - 1, [&](unsigned number) { cpu.tlb[number].writeTag = kNoTag; });
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

/** Devices are asked for at most eight bytes at a time. */
bool inPieces(const Cpu& cpu, uint64_t physical, unsigned bytes) {
  if (bytes <= 8) return false;
  const memory::Slot* slot = cpu.memory->find(physical);
  return isApic(cpu, physical) || slot == nullptr || slot->readOnly;
}

}  // namespace

bool readPhysical(Cpu& cpu, uint64_t physical, void* to, unsigned bytes) {
  if (inPieces(cpu, physical, bytes)) {
    return readPhysical(cpu, physical, to, 8) &&
           readPhysical(cpu, physical + 8, static_cast<uint8_t*>(to) + 8, bytes - 8);
  }
  if (isApic(cpu, physical)) {
    readApic(cpu, physical, to, bytes);
    return true;
  }
  const uint8_t* host = cpu.memory->at(physical, bytes);
  if (host != nullptr) {
    std::memcpy(to, host, bytes);
    return true;
  }
  spend(cpu, kDeviceTicks);
  if (cpu.platform->mmioRead(physical, bytes, to)) return true;
  cpu.closing = true;
  return false;
}

bool writePhysical(Cpu& cpu, uint64_t physical, const void* from, unsigned bytes) {
  if (inPieces(cpu, physical, bytes)) {
    return writePhysical(cpu, physical, from, 8) &&
           writePhysical(cpu, physical + 8, static_cast<const uint8_t*>(from) + 8, bytes - 8);
  }
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
  spend(cpu, kDeviceTicks);
  if (cpu.platform->mmioWrite(physical, bytes, from)) return true;
  cpu.closing = true;
  return false;
}

namespace {

/** translate(), remembering what it found: the TLB is small, and a walk is long. */
bool find(Cpu& cpu, uint64_t linear, Access access, bool user, uint64_t& physical) {
  const uint64_t tag = (linear & ~kPageMask) | (user ? 1 : 0), allowed = uint64_t{1} << static_cast<unsigned>(access);
  Translation& known = cpu.translations[linear >> 12 & (Cpu::kTranslations - 1)];
  const bool same = known.tag == tag && known.flushes == flushesOf(cpu, linear);
  if (same && (known.physical & allowed) != 0) {
    physical = (known.physical & ~kPageMask) | (linear & kPageMask);
    cpu.lastGuarded = false;
    return true;
  }
  if (!translate(cpu, linear, access, user, physical)) return false;
  if (cpu.lastGuarded) return true;  // AC decides each time anew
  const uint64_t page = physical & ~kPageMask;
  known.physical = page | allowed | (same && (known.physical & ~kPageMask) == page ? known.physical & kPageMask : 0);
  known.tag = tag;
  known.flushes = flushesOf(cpu, linear);
  return true;
}

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
      (physical & ~kPageMask) == cpu.apic->page() || vmx::isAccessPage(cpu, physical))
    return;
  const unsigned number = entryNumber(linear);
  TlbEntry& entry = cpu.tlb[number];
  TlbPage& page = cpu.tlbPages[number];
  const uint64_t tag = (linear & ~kPageMask) | (user ? 1 : 0);
  const uint8_t* host = slot->host + ((physical & ~kPageMask) - slot->guestPhysical);
  const uint64_t toHost = reinterpret_cast<uint64_t>(host) - (linear & ~kPageMask);
  if (entry.readTag != tag || entry.toHost != toHost) {
    if (entry.executeTag != kNoTag) cpu.codeRegions |= uint64_t{1} << regionOf(entry.executeTag);
    cpu.filled[number / 64] |= uint64_t{1} << number % 64;
    entry.readTag = tag;
    entry.writeTag = entry.executeTag = page.watchedTag = kNoTag;
    entry.toHost = toHost;
    page.physical = physical & ~kPageMask;
  }
  if (access == Access::execute) entry.executeTag = tag;
  if (cpu.watchesData) entry.readTag = kNoTag;
  // A write entry lets writes go unseen: not where somebody watches the page.
  if (access == Access::write && !slot->readOnly) {
    (slot->logDirty || codeLies(cpu, physical) ? page.watchedTag : entry.writeTag) = tag;
  }
}

/** memcpy() for the sizes of operands, which is a move each. */
void copy(void* to, const void* from, unsigned bytes) {
  switch (bytes) {
    case 4:
      std::memcpy(to, from, 4);
      return;
    case 8:
      std::memcpy(to, from, 8);
      return;
    default:
      std::memcpy(to, from, bytes);
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
  if (!find(cpu, linear, access, user, physical)) return false;
  if (first == bytes) fill(cpu, linear, physical, access, user);
  uint64_t next = linear + first;
  if (!cpu.code64()) next = static_cast<uint32_t>(next);
  if (first < bytes && !find(cpu, next, access, user, second)) return false;
  if (cpu.checksAlignment && user && isMisaligned(linear, bytes)) return raise(cpu, kAcFault, 0);
  return part(physical, 0u, first) && (first == bytes || part(second, first, bytes - first));
}

}  // namespace

bool readSlow(Cpu& cpu, uint64_t linear, void* to, unsigned bytes, bool user) {
  if ((linear & kPageMask) + bytes <= 0x1000 && !cpu.watchesData && !cpu.checksAlignment) {
    uint64_t physical;
    if (!find(cpu, linear, Access::read, user, physical)) return false;
    fill(cpu, linear, physical, Access::read, user);
    const TlbEntry& entry = entryOf(cpu, linear);
    if (entry.readTag == ((linear & ~kPageMask) | (user ? 1 : 0))) {
      copy(to, entry.host(linear), bytes);
      return true;
    }
  }
  if (cpu.watchesData) watchData(cpu, linear, bytes, false);
  return forPages(cpu, linear, bytes, Access::read, user, [&](uint64_t physical, unsigned offset, unsigned part) {
    uint8_t* piece = static_cast<uint8_t*>(to) + offset;
    return vmx::isAccessPage(cpu, physical) ? vmx::readAccessPage(cpu, physical, piece, part)
                                            : readPhysical(cpu, physical, piece, part);
  });
}

bool writeSlow(Cpu& cpu, uint64_t linear, const void* from, unsigned bytes, bool user) {
  if (cpu.watchesData) watchData(cpu, linear, bytes, true);
  const TlbPage& page = cpu.tlbPages[entryNumber(linear)];
  const uint64_t at = linear & kPageMask;
  if (page.watchedTag == ((linear & ~kPageMask) | (user ? 1 : 0)) && at + bytes <= 0x1000) {
    return writePhysical(cpu, page.physical | at, from, bytes);
  }
  return forPages(cpu, linear, bytes, Access::write, user, [&](uint64_t physical, unsigned offset, unsigned part) {
    const uint8_t* piece = static_cast<const uint8_t*>(from) + offset;
    return vmx::isAccessPage(cpu, physical) ? vmx::writeAccessPage(cpu, physical, piece, part)
                                            : writePhysical(cpu, physical, piece, part);
  });
}

bool probeWrite(Cpu& cpu, unsigned seg, uint64_t offset, unsigned bytes) {
  uint64_t linear, physical;
  if (!linearOf(cpu, seg, offset, bytes, true, linear)) return false;
  const bool user = cpu.cpl == 3;
  if (!find(cpu, linear, Access::write, user, physical)) return false;
  const uint64_t last = linear + bytes - 1;
  return (last & ~kPageMask) == (linear & ~kPageMask) || find(cpu, last & ~kPageMask, Access::write, user, physical);
}

const uint8_t* fetchPage(Cpu& cpu, uint64_t linear, uint64_t& physical) {
  const bool user = cpu.cpl == 3;
  const TlbEntry& entry = entryOf(cpu, linear);
  if (entry.executeTag != ((linear & ~kPageMask) | (user ? 1 : 0))) {
    if (!find(cpu, linear, Access::execute, user, physical)) return nullptr;
    if (vmx::isAccessPage(cpu, physical) && !vmx::fetchAccessPage(cpu, physical)) return nullptr;
    if (cpu.memory->find(physical) == nullptr) {
      cpu.unknown = true;  // code in no memory: reported, not guessed
      return nullptr;
    }
    fill(cpu, linear, physical, Access::execute, user);
  }
  physical = cpu.tlbPages[entryNumber(linear)].physical | (linear & kPageMask);
  return entry.host(linear & ~kPageMask);
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
