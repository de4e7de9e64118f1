// Walks of the page tables: what they find, and what they refuse (SDM Vol. 3A, chapter 4).
#include <algorithm>

#include "emulator/cpu-model.h"
#include "emulator/mmu.h"
#include "emulator/translation-cache.h"
#include "emulator/vmx/ept.h"

namespace vtkit::emulator {

namespace {

constexpr uint64_t kPresent = 1, kWritable = 2, kUser = 4, kAccessed = 0x20, kDirty = 0x40, kLarge = 0x80,
                   kGlobal = 0x100;
constexpr uint64_t kNoExecute = uint64_t{1} << 63;
constexpr uint64_t kAddressMask = 0x000ffffffffff000;  // 52 bits
constexpr uint64_t kPageMask = 0xfff;

// Page-fault error code (SDM Vol. 3A, 4.7)
constexpr uint32_t kErrorPresent = 1, kErrorWrite = 2, kErrorUser = 4, kErrorReserved = 8, kErrorFetch = 16,
                   kErrorKey = 32;

bool pageFault(Cpu& cpu, uint64_t linear, Access access, bool user, uint32_t error) {
  flushTlbPage(cpu, linear);  // 4.10.4.1: the fault must not come again for what was remembered alone
  endTranslations(cpu, currentPcid(cpu).at(linear));
  cpu.vmx.cr2Before = cpu.cr2;
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
  uint64_t guestAddress[5];
  uint64_t entryAddress[5];
  uint64_t entry[5];
  Rights rights[5];  // with those above
  unsigned entries = 0;
};

uint64_t readEntry(Cpu& cpu, uint64_t address, bool wide) {
  const uint8_t* host = cpu.memory->at(address, wide ? 8 : 4);
  // A table outside memory reads as all ones on the bus: a reserved-bit fault where such bits exist.
  if (host == nullptr) return wide ? ~uint64_t{0} : 0xffffffff;
  uint64_t value = 0;
  std::memcpy(&value, host, wide ? 8 : 4);
  return value;
}

void setEntryBits(Cpu& cpu, uint64_t address, bool wide, uint64_t entry, uint64_t bits) {
  const uint64_t value = entry | bits;
  writePhysical(cpu, address, &value, wide ? 8 : 4);
}

/** Where an entry of the paging structures lies. False with an exit pending: EPT does not let the guest have it. */
bool reachEntry(Cpu& cpu, uint64_t address, uint64_t linear, Access access, uint64_t& physical) {
  physical = address;
  constexpr auto kPaging = vmx::GuestAccess::Of::paging;
  return !cpu.ept || vmx::translateGuestPhysical(cpu, address, {access, linear, kPaging, false}, physical);
}

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
bool keyAllows(const Cpu& cpu, const LinearPage& page, Access access, bool user) {
  if ((cpu.cr4 & kCr4Pke) == 0 || !cpu.longMode() || !page.rights.user || access == Access::execute) return true;
  const uint32_t bits = cpu.pkru >> (2 * page.key);
  if ((bits & 1) != 0) return false;
  return (bits & 2) == 0 || access == Access::read || (!user && (cpu.cr0 & kCr0Wp) == 0);
}

/** Whether a page may be accessed. False with #PF pending. */
bool permits(Cpu& cpu, uint64_t linear, Access access, bool user, const LinearPage& page) {
  const bool keyed = keyAllows(cpu, page, access, user);
  if (allows(cpu, page.rights, access, user) && keyed) return true;
  return pageFault(cpu, linear, access, user, kErrorPresent | (keyed ? 0 : kErrorKey));
}

/** Goes on from the lowest entry that a paging-structure cache has (4.10.3.2). The level to go on with. */
int shorten(const Cpu& cpu, uint64_t linear, const Paging& paging, uint64_t& table, Rights& rights) {
  for (int level = 2; level <= paging.levels; level++) {
    const auto* structure = cpu.kept->structure(cpu, linear, paging.shiftOf(level));
    if (structure == nullptr) continue;
    table = structure->table;
    rights = structure->rights;
    return level - 1;
  }
  return paging.levels;
}

/** Keeps the entries of a walk that lead to tables, the last of which is at `level`'s. */
void keepStructures(Cpu& cpu, uint64_t linear, const Paging& paging, const Walk& walk, int level) {
  for (unsigned i = 0; i + 1 < walk.entries; i++) {
    const unsigned shift = paging.shiftOf(level + static_cast<int>(walk.entries - 1 - i));
    const uint64_t table = walk.entry[i] & (paging.wide ? kAddressMask : 0xfffff000);
    cpu.kept->keepStructure(cpu, linear, shift, {table, walk.rights[i]});
  }
}

/** Finds a page in the tables, and sets A and D on the way. False with #PF or an exit pending. */
bool walkTables(Cpu& cpu, uint64_t linear, Access access, bool user, LinearPage& page) {
  const Paging paging(cpu);
  Walk walk;
  uint64_t table = paging.longMode ? cpu.cr3 & kAddressMask : cpu.cr3 & (paging.wide ? 0xffffffe0 : 0xfffff000);
  Rights& rights = page.rights;
  uint64_t entry = 0;
  int level = cpu.kept == nullptr ? paging.levels : shorten(cpu, linear, paging, table, rights);
  for (;; level--) {
    const unsigned shift = paging.shiftOf(level);
    const bool pointer = paging.isPointer(level);
    const uint64_t index = linear >> shift & (pointer ? 3 : (uint64_t{1} << paging.indexBits) - 1);
    const uint64_t address = table + index * (paging.wide ? 8 : 4);
    uint64_t place = 0;
    if (!pointer && !reachEntry(cpu, address, linear, Access::read, place)) return false;
    entry = pointer ? cpu.pointers[index] : readEntry(cpu, place, paging.wide);
    if ((entry & kPresent) == 0) return pageFault(cpu, linear, access, user, 0);
    const bool large = level > 1 && paging.mayBeLarge(cpu, level) && (entry & kLarge) != 0;
    if (!paging.isValid(entry, level, large)) {
      return pageFault(cpu, linear, access, user, kErrorPresent | kErrorReserved);
    }
    if (!pointer) {
      rights.writable = rights.writable && (entry & kWritable) != 0;
      rights.user = rights.user && (entry & kUser) != 0;
      rights.noExecute = rights.noExecute || (paging.wide && paging.noExecute && (entry & kNoExecute) != 0);
      walk.guestAddress[walk.entries] = address;
      walk.entryAddress[walk.entries] = place;
      walk.rights[walk.entries] = rights;
      walk.entry[walk.entries++] = entry;
    }
    if (large) page.offsets = (uint64_t{1} << shift) - 1;
    if (large || level == 1) break;
    table = paging.wide ? entry & kAddressMask : entry & 0xfffff000;
  }
  page.key = entry >> 59 & 15;
  if (!permits(cpu, linear, access, user, page)) return false;

  for (unsigned i = 0; i < walk.entries; i++) {
    const bool leaf = i + 1 == walk.entries;
    const uint64_t bits = kAccessed | (leaf && access == Access::write ? kDirty : 0);
    if ((walk.entry[i] & bits) == bits) continue;
    if (!reachEntry(cpu, walk.guestAddress[i], linear, Access::write, walk.entryAddress[i])) return false;
    setEntryBits(cpu, walk.entryAddress[i], paging.wide, walk.entry[i], bits);
  }
  uint64_t base = paging.wide ? entry & kAddressMask : entry & 0xfffff000;
  if (!paging.wide && page.offsets > kPageMask) base = (entry & 0xffc00000) | (entry & 0x1fe000) << 19;  // PSE-36
  page.base = base & ~page.offsets;
  page.whole = page.offsets;
  page.dirty = access == Access::write || (entry & kDirty) != 0;
  page.global = (entry & kGlobal) != 0 && (cpu.cr4 & kCr4Pge) != 0;
  if (cpu.kept != nullptr) keepStructures(cpu, linear, paging, walk, level);
  return true;
}

/** Looks for a translation that is kept. False with #PF pending. */
bool recall(Cpu& cpu, uint64_t linear, Access access, bool user, LinearPage& page, bool& kept) {
  const LinearPage* found = cpu.kept == nullptr ? nullptr : cpu.kept->page(cpu, linear);
  kept = found != nullptr;
  if (!kept) return true;
  page = *found;
  if (!permits(cpu, linear, access, user, page)) return false;
  if (access != Access::write || (page.dirty && (!cpu.ept || page.behind.dirty))) return true;
  // A page becomes dirty by a walk (4.8; Vol. 3C, 29.3.5).
  cpu.kept->end(currentPcid(cpu).at(linear));
  page = LinearPage();
  kept = false;
  return true;
}

/** Under EPT a translation goes as far as both pages do. */
void keep(Cpu& cpu, uint64_t linear, LinearPage& page) {
  if (cpu.ept && page.behind.offsets < page.offsets) {
    page.base |= linear & page.offsets & ~page.behind.offsets;
    page.offsets = page.behind.offsets;
  }
  cpu.kept->keep(cpu, linear, page);
}

}  // namespace

bool translate(Cpu& cpu, uint64_t linear, Access access, bool user, uint64_t& physical) {
  if ((cpu.cr0 & kCr0Pg) == 0) {
    cpu.lastGuarded = false;
    physical = linear;
    if (!cpu.ept) return true;
    // 29.3.3.2: user-mode addresses without paging
    return vmx::translateGuestPhysical(cpu, linear, {access, linear, vmx::GuestAccess::Of::operand, true}, physical);
  }
  LinearPage page;
  bool kept;
  if (!recall(cpu, linear, access, user, page, kept)) return false;
  if (!kept && !walkTables(cpu, linear, access, user, page)) return false;
  if (page.whole > kPageMask) {
    cpu.largeFrom = std::min(cpu.largeFrom, linear & ~page.whole);
    cpu.largeTo = std::max(cpu.largeTo, linear | page.whole);
    cpu.largeMask |= page.whole;
  }
  physical = page.base | (linear & page.offsets);
  cpu.lastGuarded = !user && page.rights.user && access != Access::execute && (cpu.cr4 & kCr4Smap) != 0;
  if (cpu.ept) {
    const vmx::GuestAccess reach = {access, linear, vmx::GuestAccess::Of::operand, page.rights.user};
    if (kept) return vmx::useGuestPhysical(cpu, page.behind, reach, physical);
    if (!vmx::translateGuestPhysical(cpu, physical, reach, physical, &page.behind)) return false;
  }
  if (cpu.kept != nullptr && !kept) keep(cpu, linear, page);
  return true;
}

}  // namespace vtkit::emulator
