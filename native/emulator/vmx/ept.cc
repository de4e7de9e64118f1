// Walks of the extended page tables.
#include "emulator/vmx/ept.h"

#include "emulator/cpu-model.h"
#include "emulator/translation-cache.h"
#include "emulator/vmx/capabilities.h"
#include "emulator/vmx/controls.h"

namespace vtkit::emulator::vmx {

namespace {

constexpr uint64_t kRead = 1u << 0, kWrite = 1u << 1, kExecute = 1u << 2, kLarge = 1u << 7, kAccessed = 1u << 8,
                   kDirty = 1u << 9, kUserExecute = 1u << 10, kSuppressVe = uint64_t{1} << 63;
constexpr uint64_t kAddress = 0x000ffffffffff000;
constexpr uint64_t kPageMask = 0xfff;

unsigned shiftOf(unsigned level) { return 12 + 9 * (level - 1); }

/** Whether an entry that is present could be one (29.3.3.1). */
bool isConfigured(const Cpu& cpu, uint64_t entry, unsigned level, bool leaf) {
  if ((entry & (kRead | kWrite)) == kWrite) return false;
  uint64_t reserved = kAddress & ~physicalMask(cpu);
  if (leaf) {
    constexpr unsigned kTypes = 1u << 0 | 1u << 1 | 1u << 4 | 1u << 5 | 1u << 6;
    if ((kTypes >> (entry >> 3 & 7) & 1) == 0) return false;
    reserved |= ((uint64_t{1} << shiftOf(level)) - 1) & ~kPageMask;
  } else {
    reserved |= level == 4 ? 0xf8 : 0x78;
  }
  return (entry & reserved) == 0;
}

bool misconfigured(Cpu& cpu, uint64_t guestPhysical) {
  leave(cpu, ExitReason::eptMisconfiguration);
  cpu.vmx.exit.guestPhysical = guestPhysical;
  cpu.vmx.exit.byInstruction = cpu.vmx.vectoring.information == 0;
  return false;
}

/** Makes a violation a virtualization exception where it may be one (26.5.7). True if so: #VE is pending. */
bool raisesVe(Cpu& cpu, uint64_t entry, uint64_t guestPhysical, const GuestAccess& access, uint64_t qualification) {
  if (!secondaryBased(cpu, secondary::kEptViolationVe) || (entry & kSuppressVe) != 0) return false;
  if (!cpu.protectedMode() || cpu.vmx.vectoring.information != 0) return false;
  const uint64_t area = field(cpu, Field::virtualizationExceptionAddress);
  struct {
    uint32_t reason, busy;
    uint64_t qualification, linear, physical;
    uint16_t index;
  } information = {};
  constexpr unsigned kBytes = 34;
  if (!cpu.memory->read(area, &information, kBytes) || information.busy != 0) return false;
  information = {
      static_cast<uint32_t>(ExitReason::eptViolation),    0xffffffff, qualification, access.linear, guestPhysical,
      static_cast<uint16_t>(field(cpu, Field::eptpIndex))};
  const auto* bytes = reinterpret_cast<const uint8_t*>(&information);
  for (unsigned at = 0; at < kBytes; at += 2) writePhysical(cpu, area + at, bytes + at, 2);
  raise(cpu, kVe);
  return true;
}

/** The bit of an exit qualification that tells of an IRET which had unblocked NMIs (28.2.3). */
uint64_t unblockedNmi(const Cpu& cpu) { return uint64_t{cpu.vmx.unblockedNmi} << 12; }

/** 29.4.3.1: what would have translated these addresses is gone. */
void endViolated(Cpu& cpu, uint64_t guestPhysical, const GuestAccess& access) {
  flushTlbPage(cpu, access.linear);
  if (cpu.kept == nullptr) return;
  const uint64_t root = rootOf(field(cpu, Field::eptPointer));
  cpu.kept->endGuestPhysical(root, guestPhysical);
  if (access.of == GuestAccess::Of::operand) cpu.kept->end(currentPcid(cpu).at(access.linear).ofRoot(root));
}

/** Table 28-7. */
bool violated(Cpu& cpu, uint64_t entry, uint64_t guestPhysical, const GuestAccess& access, uint64_t wanted,
              uint64_t rights) {
  constexpr uint64_t kLinearValid = 1u << 7, kTranslated = 1u << 8;
  endViolated(cpu, guestPhysical, access);
  const bool linear = access.of != GuestAccess::Of::pointer;
  // Bit 6 has a meaning only with mode-based control.
  const uint64_t qualification = (wanted & 7) | ((wanted & kUserExecute) != 0 ? kExecute : 0) | (rights & 7) << 3 |
                                 ((rights & kUserExecute) != 0 ? 1u << 6 : 0) | (linear ? kLinearValid : 0) |
                                 (access.of == GuestAccess::Of::operand ? kTranslated : 0);
  if (raisesVe(cpu, entry, guestPhysical, access, qualification)) return false;
  leave(cpu, ExitReason::eptViolation, qualification | unblockedNmi(cpu));
  cpu.vmx.exit.guestPhysical = guestPhysical;
  cpu.vmx.exit.guestLinear = linear ? access.linear : 0;
  cpu.vmx.exit.byInstruction = cpu.vmx.vectoring.information == 0;
  return false;
}

/** Notes a page that becomes dirty (29.3.6). False with an exit pending: the log is full. */
bool logPage(Cpu& cpu, uint64_t guestPhysical) {
  if (!secondaryBased(cpu, secondary::kEnablePml)) return true;
  constexpr uint64_t kEntries = 512;
  const uint64_t index = field(cpu, Field::pmlIndex), page = guestPhysical & ~kPageMask;
  if (index >= kEntries) {
    return leave(cpu, ExitReason::pageModificationLogFull, unblockedNmi(cpu));
  }
  writePhysical(cpu, field(cpu, Field::pmlAddress) + 8 * index, &page, sizeof(page));
  cpu.vmx.vmcs.set(Field::pmlIndex, index - 1);
  return true;
}

/** The bits of the entries that an access needs. */
uint64_t wantedBy(const Cpu& cpu, const GuestAccess& access) {
  const bool byMode = secondaryBased(cpu, secondary::kModeBasedExecute);
  const uint64_t execute = byMode && access.user ? kUserExecute : kExecute;
  return access.kind == Access::read ? kRead : access.kind == Access::write ? kWrite : execute;
}

bool hasFlags(const Cpu& cpu) { return (field(cpu, Field::eptPointer) >> 6 & 1) != 0; }

/** Goes on from the lowest entry that a paging-structure cache has. The level to go on with. */
unsigned shorten(const Mappings<GuestPhysicalPage>& kept, uint64_t guestPhysical, uint64_t& table, uint64_t& rights) {
  for (unsigned level = 2; level <= 4; level++) {
    const auto* structure = kept.structure(guestPhysical, shiftOf(level));
    if (structure == nullptr) continue;
    table = structure->table;
    rights = structure->rights;
    return level - 1;
  }
  return 4;
}

/** Finds a page in the tables, and sets their flags on the way. */
bool walkTables(Cpu& cpu, uint64_t guestPhysical, const GuestAccess& access, uint64_t wanted, GuestPhysicalPage& page) {
  const bool flags = hasFlags(cpu);
  const uint64_t present =
      kRead | kWrite | kExecute | (secondaryBased(cpu, secondary::kModeBasedExecute) ? kUserExecute : 0);
  const uint64_t root = rootOf(field(cpu, Field::eptPointer));
  uint64_t addresses[4], entries[4], allowed[4], rights = ~uint64_t{0}, table = root;
  unsigned used = 0, level = 4;
  const auto* kept = cpu.kept == nullptr ? nullptr : cpu.kept->guestPhysical(root);
  if (kept != nullptr) level = shorten(*kept, guestPhysical, table, rights);
  for (;; level--) {
    const uint64_t address = table + (guestPhysical >> shiftOf(level) & 511) * 8;
    uint64_t entry = ~uint64_t{0};
    cpu.memory->read(address, &entry, sizeof(entry));
    if ((entry & present) == 0) return violated(cpu, entry, guestPhysical, access, wanted, 0);
    const bool leaf = level == 1 || (level <= 3 && (entry & kLarge) != 0);
    if (!isConfigured(cpu, entry, level, leaf)) return misconfigured(cpu, guestPhysical);
    rights &= entry;
    addresses[used] = address;
    allowed[used] = rights;
    entries[used++] = entry;
    table = entry & kAddress;
    if (leaf) break;
  }
  page.offsets = page.whole = (uint64_t{1} << shiftOf(level)) - 1;
  page.base = table & ~page.offsets;
  page.rights = rights;
  page.leaf = entries[used - 1];
  if ((wanted & ~rights) != 0) return violated(cpu, page.leaf, guestPhysical, access, wanted, rights);
  for (unsigned i = 0; flags && i < used; i++) {
    const bool dirties = i + 1 == used && (wanted & kWrite) != 0;
    const uint64_t value = entries[i] | kAccessed | (dirties ? kDirty : 0);
    if (value == entries[i]) continue;
    if (((value ^ entries[i]) & kDirty) != 0 && !logPage(cpu, guestPhysical)) return false;
    writePhysical(cpu, addresses[i], &value, sizeof(value));
  }
  page.dirty = !flags || (wanted & kWrite) != 0 || (page.leaf & kDirty) != 0;
  if (cpu.kept == nullptr) return true;
  for (unsigned i = 0; i + 1 < used; i++) {
    cpu.kept->keepStructure(root, guestPhysical, shiftOf(level + used - 1 - i), {entries[i] & kAddress, allowed[i]});
  }
  cpu.kept->keep(root, guestPhysical, page);
  return true;
}

/** The guest-physical mapping that is kept of an address, or null. */
const GuestPhysicalPage* recall(const Cpu& cpu, uint64_t guestPhysical) {
  if (cpu.kept == nullptr) return nullptr;
  const auto* mappings = cpu.kept->guestPhysical(rootOf(field(cpu, Field::eptPointer)));
  return mappings == nullptr ? nullptr : mappings->page(guestPhysical);
}

}  // namespace

bool translateGuestPhysical(Cpu& cpu, uint64_t guestPhysical, const GuestAccess& access, uint64_t& physical,
                            GuestPhysicalPage* found) {
  uint64_t wanted = wantedBy(cpu, access);
  // Marking an entry of the guest's paging structures reads and writes it; with accessed and dirty flags here, whatever
  // the processor does to one counts as a write, too.
  if (access.of == GuestAccess::Of::paging && (hasFlags(cpu) || access.kind == Access::write)) wanted = kRead | kWrite;
  if (guestPhysical >> 48 != 0) return violated(cpu, kSuppressVe, guestPhysical, access, wanted, 0);
  GuestPhysicalPage page;
  const GuestPhysicalPage* kept = recall(cpu, guestPhysical);
  if (kept != nullptr) page = *kept;
  if (kept != nullptr && (wanted & ~page.rights) != 0) {
    return violated(cpu, page.leaf, guestPhysical, access, wanted, page.rights);
  }
  // A page becomes dirty by a walk.
  const bool walks = kept == nullptr || ((wanted & kWrite) != 0 && !page.dirty);
  if (walks && !walkTables(cpu, guestPhysical, access, wanted, page)) return false;
  physical = page.base | (guestPhysical & page.offsets);
  if (found != nullptr) *found = page;
  return true;
}

bool useGuestPhysical(Cpu& cpu, const GuestPhysicalPage& page, const GuestAccess& access, uint64_t& address) {
  const uint64_t wanted = wantedBy(cpu, access);
  if ((wanted & ~page.rights) != 0) return violated(cpu, page.leaf, address, access, wanted, page.rights);
  address = page.base | (address & page.offsets);
  return true;
}

bool switchEptPointer(Cpu& cpu, uint64_t index) {
  constexpr uint64_t kEntries = 512;
  uint64_t pointer = 0;
  if (index >= kEntries || !cpu.memory->read(field(cpu, Field::eptpListAddress) + 8 * index, &pointer, 8)) return false;
  if (!isEptPointer(cpu, pointer)) return false;
  cpu.vmx.vmcs.set(Field::eptPointer, pointer);
  if (secondaryBased(cpu, secondary::kEptViolationVe)) cpu.vmx.vmcs.set(Field::eptpIndex, index);
  flushTlb(cpu);
  cpu.leaveBlock = true;
  return true;
}

}  // namespace vtkit::emulator::vmx
