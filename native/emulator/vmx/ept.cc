// Walks of the extended page tables.
#include "emulator/vmx/ept.h"

#include "emulator/cpu-model.h"
#include "emulator/vmx/capabilities.h"
#include "emulator/vmx/controls.h"

namespace vtkit::emulator::vmx {

namespace {

constexpr uint64_t kRead = 1u << 0, kWrite = 1u << 1, kExecute = 1u << 2, kLarge = 1u << 7, kAccessed = 1u << 8,
                   kDirty = 1u << 9, kUserExecute = 1u << 10, kSuppressVe = uint64_t{1} << 63;
constexpr uint64_t kAddress = 0x000ffffffffff000;
constexpr uint64_t kPageMask = 0xfff;

/** Whether an entry that is present could be one (29.3.3.1). */
bool isConfigured(const Cpu& cpu, uint64_t entry, unsigned level, bool leaf) {
  if ((entry & (kRead | kWrite)) == kWrite) return false;
  uint64_t reserved = kAddress & ~physicalMask(cpu);
  if (leaf) {
    constexpr unsigned kTypes = 1u << 0 | 1u << 1 | 1u << 4 | 1u << 5 | 1u << 6;
    if ((kTypes >> (entry >> 3 & 7) & 1) == 0) return false;
    if (level > 1) reserved |= ((uint64_t{1} << (12 + 9 * (level - 1))) - 1) & ~kPageMask;
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
  constexpr uint8_t kVe = 20;
  raise(cpu, kVe);
  return true;
}

/** The bit of an exit qualification that tells of an IRET which had unblocked NMIs (28.2.3). */
uint64_t unblockedNmi(const Cpu& cpu) { return uint64_t{cpu.vmx.unblockedNmi} << 12; }

/** Table 28-7. */
bool violated(Cpu& cpu, uint64_t entry, uint64_t guestPhysical, const GuestAccess& access, uint64_t wanted,
              uint64_t rights) {
  constexpr uint64_t kLinearValid = 1u << 7, kTranslated = 1u << 8;
  const bool linear = access.of != GuestAccess::Of::pointer;
  const bool byMode = secondaryBased(cpu, secondary::kModeBasedExecute);
  const uint64_t qualification = (wanted & 7) | ((wanted & kUserExecute) != 0 ? kExecute : 0) | (rights & 7) << 3 |
                                 (byMode && (rights & kUserExecute) != 0 ? 1u << 6 : 0) | (linear ? kLinearValid : 0) |
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

}  // namespace

bool translateGuestPhysical(Cpu& cpu, uint64_t guestPhysical, const GuestAccess& access, uint64_t& physical) {
  const uint64_t pointer = field(cpu, Field::eptPointer);
  const bool flags = (pointer >> 6 & 1) != 0, byMode = secondaryBased(cpu, secondary::kModeBasedExecute);
  const uint64_t execute = byMode && access.user ? kUserExecute : kExecute;
  const uint64_t present = kRead | kWrite | kExecute | (byMode ? kUserExecute : 0);
  uint64_t wanted = access.kind == Access::read ? kRead : access.kind == Access::write ? kWrite : execute;
  // Marking an entry of the guest's paging structures reads and writes it; with accessed and dirty flags here, whatever
  // the processor does to one counts as a write, too.
  if (access.of == GuestAccess::Of::paging && (flags || access.kind == Access::write)) wanted = kRead | kWrite;
  uint64_t addresses[4], entries[4], rights = present, table = pointer & kAddress, base = 0, offset = kPageMask;
  unsigned used = 0;
  if (guestPhysical >> 48 != 0) return violated(cpu, kSuppressVe, guestPhysical, access, wanted, 0);
  for (unsigned level = 4; level >= 1; level--) {
    const unsigned shift = 12 + 9 * (level - 1);
    const uint64_t address = table + (guestPhysical >> shift & 511) * 8;
    uint64_t entry = ~uint64_t{0};
    cpu.memory->read(address, &entry, sizeof(entry));
    if ((entry & present) == 0) return violated(cpu, entry, guestPhysical, access, wanted, 0);
    const bool leaf = level == 1 || (level <= 3 && (entry & kLarge) != 0);
    if (!isConfigured(cpu, entry, level, leaf)) return misconfigured(cpu, guestPhysical);
    rights &= entry;
    addresses[used] = address;
    entries[used++] = entry;
    table = base = entry & kAddress;
    if (!leaf) continue;
    offset = (uint64_t{1} << shift) - 1;
    break;
  }
  if ((wanted & ~rights) != 0) return violated(cpu, entries[used - 1], guestPhysical, access, wanted, rights);
  for (unsigned i = 0; flags && i < used; i++) {
    const bool dirties = i + 1 == used && (wanted & kWrite) != 0;
    const uint64_t value = entries[i] | kAccessed | (dirties ? kDirty : 0);
    if (value == entries[i]) continue;
    if (((value ^ entries[i]) & kDirty) != 0 && !logPage(cpu, guestPhysical)) return false;
    writePhysical(cpu, addresses[i], &value, sizeof(value));
  }
  physical = (base & ~offset) | (guestPhysical & offset);
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
