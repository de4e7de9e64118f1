// Extended page tables: from guest-physical to physical addresses (SDM Vol. 3C, 29.3).
#pragma once

#include "emulator/mappings.h"
#include "emulator/mmu.h"

namespace vtkit::emulator::vmx {

/** What reaches for guest-physical memory: the exit that it may cause tells of it. */
struct GuestAccess {
  enum class Of : uint8_t {
    operand,  // what a linear address translates to
    paging,   // an entry of the guest's paging structures, on the way there
    pointer,  // a PDPTE that a control register loads: no linear address is translated
  };
  Access kind;
  uint64_t linear;
  Of of;
  bool user;  // of a linear address that the guest's paging lets ring 3 have
};

/** False with an exit pending, or #VE: a violation, a misconfiguration, a full page-modification log. */
bool translateGuestPhysical(Cpu& cpu, uint64_t guestPhysical, const GuestAccess& access, uint64_t& physical,
                            GuestPhysicalPage* found = nullptr);

/** The same by what a combined mapping has: `address` is guest-physical before, and physical behind. */
bool useGuestPhysical(Cpu& cpu, const GuestPhysicalPage& page, const GuestAccess& access, uint64_t& address);

/** VM function 0 (26.5.6.3): false if the list's entry is no pointer that an entry would take. */
bool switchEptPointer(Cpu& cpu, uint64_t index);

}  // namespace vtkit::emulator::vmx
