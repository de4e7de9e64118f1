// Extended page tables: from guest-physical to physical addresses (SDM Vol. 3C, 29.3).
#pragma once

#include "emulator/mmu.h"

namespace vtkit::emulator::vmx {

/** What reaches for guest-physical memory: the exit that it may cause tells of it. */
struct GuestAccess {
  Access kind;
  uint64_t linear;
  bool ofPaging;  // an entry of the guest's paging structures, not what the linear address translates to
};

/** False with an EPT violation or misconfiguration recorded as exit. */
bool translateGuestPhysical(Cpu& cpu, uint64_t guestPhysical, const GuestAccess& access, uint64_t& physical);

}  // namespace vtkit::emulator::vmx
