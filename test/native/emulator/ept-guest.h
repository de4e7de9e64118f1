// A guest in VMX non-root operation whose first 4 MiB extended page tables map one to one, by 4 KiB pages.
#pragma once

#include "test/native/emulator/vmx-guest.h"

namespace vtkit::test {

class EptGuest : public VmxGuest {
 public:
  static constexpr uint64_t kTop = 0x30000, kPointers3 = 0x31000, kDirectory = 0x32000, kTable = 0x33000;
  static constexpr uint64_t kTarget = 0x40000;

  explicit EptGuest(bool flags = false, unsigned bits = 64) : VmxGuest(bits) {
    put<uint64_t>(kTop, kPointers3 | 7);
    put<uint64_t>(kPointers3, kDirectory | 7);
    for (uint64_t i = 0; i < 2; i++) put<uint64_t>(kDirectory + 8 * i, (kTable + 0x1000 * i) | 7);
    for (uint64_t page = 0; page < 1024; page++) map(page << 12, page << 12, 7);
    control(Field::primaryControls,
            emulator::vmx::primary::kActivateSecondaryControls | emulator::vmx::primary::kHltExiting);
    control(Field::secondaryControls, emulator::vmx::secondary::kEnableEpt);
    field(Field::eptPointer, kTop | 3 << 3 | 6 | (flags ? 1 << 6 : 0));
  }
  void map(uint64_t guest, uint64_t physical, uint64_t rights) {
    put<uint64_t>(kTable + (guest >> 12) * 8, physical | rights | 6 << 3);
  }
  uint64_t entry(uint64_t guest) { return get<uint64_t>(kTable + (guest >> 12) * 8); }
  bool left(ExitReason reason) { return basicReason() == static_cast<uint64_t>(reason); }
};

}  // namespace vtkit::test
