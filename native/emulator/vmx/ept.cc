// Walks of the extended page tables.
#include "emulator/vmx/ept.h"

#include "emulator/cpu-model.h"
#include "emulator/vmx/controls.h"

namespace vtkit::emulator::vmx {

namespace {

constexpr uint64_t kRead = 1, kWrite = 2, kExecute = 4, kRights = 7, kLarge = 1u << 7, kAccessed = 1u << 8,
                   kDirty = 1u << 9;
constexpr uint64_t kAddress = 0x000ffffffffff000;

/** Whether an entry that is present could be one (29.3.3.1). */
bool isConfigured(const Cpu& cpu, uint64_t entry, unsigned level, bool leaf) {
  if ((entry & (kRead | kWrite)) == kWrite) return false;
  uint64_t reserved = kAddress & ~physicalMask(cpu);
  if (leaf) {
    constexpr unsigned kTypes = 1u << 0 | 1u << 1 | 1u << 4 | 1u << 5 | 1u << 6;
    if ((kTypes >> (entry >> 3 & 7) & 1) == 0) return false;
    if (level > 1) reserved |= ((uint64_t{1} << (12 + 9 * (level - 1))) - 1) & ~uint64_t{0xfff};
  } else {
    reserved |= level == 4 ? 0xf8 : 0x78;
  }
  return (entry & reserved) == 0;
}

bool misconfigured(Cpu& cpu, uint64_t guestPhysical) {
  leave(cpu, ExitReason::eptMisconfiguration);
  cpu.vmx.exit.guestPhysical = guestPhysical;
  return false;
}

/** Table 28-7. */
bool violated(Cpu& cpu, uint64_t guestPhysical, const GuestAccess& access, uint64_t wanted, uint64_t rights) {
  constexpr uint64_t kLinearValid = 1u << 7, kTranslated = 1u << 8, kUnblockedNmi = 1u << 12;
  leave(cpu, ExitReason::eptViolation,
        wanted | rights << 3 | kLinearValid | (access.ofPaging ? 0 : kTranslated) |
            (cpu.vmx.unblockedNmi ? kUnblockedNmi : 0));
  cpu.vmx.exit.guestPhysical = guestPhysical;
  cpu.vmx.exit.guestLinear = access.linear;
  return false;
}

}  // namespace

bool translateGuestPhysical(Cpu& cpu, uint64_t guestPhysical, const GuestAccess& access, uint64_t& physical) {
  const uint64_t pointer = field(cpu, Field::eptPointer);
  const bool flags = (pointer >> 6 & 1) != 0;
  uint64_t wanted = access.kind == Access::read ? kRead : access.kind == Access::write ? kWrite : kExecute;
  // With accessed and dirty flags, whatever the processor does to the guest's paging structures is a write.
  if (flags && access.ofPaging) wanted = kRead | kWrite;
  uint64_t addresses[4], entries[4], rights = kRights, table = pointer & kAddress, base = 0, offset = 0xfff;
  unsigned used = 0;
  if (guestPhysical >> 48 != 0) return violated(cpu, guestPhysical, access, wanted, 0);
  for (unsigned level = 4; level >= 1; level--) {
    const unsigned shift = 12 + 9 * (level - 1);
    const uint64_t address = table + (guestPhysical >> shift & 511) * 8;
    uint64_t entry = ~uint64_t{0};
    cpu.memory->read(address, &entry, sizeof(entry));
    if ((entry & kRights) == 0) return violated(cpu, guestPhysical, access, wanted, 0);
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
  if ((wanted & ~rights) != 0) return violated(cpu, guestPhysical, access, wanted, rights);
  for (unsigned i = 0; flags && i < used; i++) {
    const bool last = i + 1 == used;
    const uint64_t value = entries[i] | kAccessed | (last && (wanted & kWrite) != 0 ? kDirty : 0);
    if (value != entries[i]) writePhysical(cpu, addresses[i], &value, sizeof(value));
  }
  physical = (base & ~offset) | (guestPhysical & offset);
  return true;
}

}  // namespace vtkit::emulator::vmx
