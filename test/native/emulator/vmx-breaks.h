// A VMCS with something of it changed, and what VM entry makes of it.
#pragma once

#include <functional>

#include "emulator/cpu-model.h"
#include "test/native/emulator/vmx-guest.h"

namespace vtkit::test {

namespace vmx = emulator::vmx;

using Break = std::function<void(VmxGuest&)>;
struct Row {
  const char* what;
  Break breaks;
};

inline Break set(Field field, uint64_t value) {
  return [=](VmxGuest& guest) { guest.field(field, value); };
}
inline Break add(Field field, uint64_t bits) {
  return [=](VmxGuest& guest) { guest.field(field, guest.field(field) | bits); };
}
inline Break take(Field field, uint64_t bits) {
  return [=](VmxGuest& guest) { guest.field(field, guest.field(field) & ~bits); };
}
inline Break both(const Break& first, const Break& second) {
  return [=](VmxGuest& guest) {
    first(guest);
    second(guest);
  };
}
inline Break activate(uint32_t bits) {
  return both(add(Field::primaryControls, vmx::primary::kActivateSecondaryControls),
              add(Field::secondaryControls, bits));
}
inline Break all(const std::vector<Break>& parts) {
  return [=](VmxGuest& guest) {
    for (const Break& part : parts) part(guest);
  };
}
/** On a processor that announces a feature, or does not. */
inline Break announce(const emulator::CpuidBit& feature, bool has = true) {
  return [=](VmxGuest& guest) {
    std::vector<emulator::CpuidRow> rows = guest.processor->cpuid();
    for (emulator::CpuidRow& row : rows) {
      if (row.leaf != feature.leaf || row.subleaf != feature.subleaf) continue;
      uint32_t& word = row.*feature.word;
      word = has ? word | 1u << feature.bit : word & ~(1u << feature.bit);
    }
    guest.processor->setCpuid(rows);
  };
}
inline Break without(const emulator::CpuidBit& feature) { return announce(feature, false); }
inline Break inject(uint64_t information) { return set(Field::entryInterruptionInformation, information | 1u << 31); }

inline constexpr uint64_t kWide = uint64_t{1} << 51, kCrooked = 0xaaaaaaaaaaaaaaaa;

/** An entry of a list of MSRs, for VM entries and exits. */
inline constexpr uint64_t kMsrList = 0x100000;
inline void putMsr(VmxGuest& guest, uint64_t number, uint32_t index, uint32_t reserved = 0, uint64_t value = 0) {
  guest.put<uint64_t>(kMsrList + 16 * number, index | uint64_t{reserved} << 32);
  guest.put<uint64_t>(kMsrList + 16 * number + 8, value);
}

/** What VMLAUNCH leaves: 0 entered, the error number, or the exit reason with its qualification. */
inline uint64_t outcome(VmxGuest& guest) {
  guest.field(Field::vmInstructionError, 0);
  guest.field(Field::exitReason, 0);
  guest.write(VmxGuest::kHandler, "\xf4");
  guest.processor->setLimit(guest.processor->instructionsRetired() + 1000);
  guest.again();
  const uint64_t reason = guest.reason();
  if (reason >> 31 != 0) return reason | guest.field(Field::exitQualification) << 32;
  return guest.field(Field::vmInstructionError);
}

inline void hold(const std::vector<Row>& rows, uint64_t expected, unsigned bits = 64) {
  for (const Row& row : rows) {
    VmxGuest guest(bits);
    guest.control(Field::primaryControls, vmx::primary::kHltExiting);
    guest.write(VmxGuest::kGuestCode, "\xf4");
    guest.field(Field::guestRip, VmxGuest::kGuestCode);
    row.breaks(guest);
    const uint64_t found = outcome(guest);
    if (found == expected) continue;
    std::printf("%s: %llx, expected %llx\n", row.what, static_cast<unsigned long long>(found),
                static_cast<unsigned long long>(expected));
    countFailure();
  }
}
inline constexpr uint64_t kGuestState = 33 | 1u << 31, kPage = 0x40000, kBetween = 0x40008;

inline Break tprShadow(uint32_t bits = 0) {
  return all({activate(bits), add(Field::primaryControls, vmx::primary::kUseTprShadow),
              set(Field::virtualApicAddress, kPage), set(Field::apicAccessAddress, kPage)});
}
/** EPT with a pointer that is right, of tables that nothing walks. */
inline Break ept(uint32_t bits = 0) {
  return both(activate(vmx::secondary::kEnableEpt | bits), set(Field::eptPointer, 0x3001e));
}
inline Break delivery() {
  return both(tprShadow(vmx::secondary::kVirtualInterruptDelivery), add(Field::pinBasedControls, 1));
}
inline Break posted() {
  return all({delivery(), add(Field::pinBasedControls, vmx::pin::kPostedInterrupts),
              add(Field::exitControls, vmx::onExit::kAcknowledgeInterrupt),
              set(Field::postedInterruptDescriptorAddress, kPage)});
}
inline const Break kUser = all({add(Field::guestCsSelector, 3), add(Field::guestCsAccessRights, 0x60),
                                add(Field::guestSsSelector, 3), add(Field::guestSsAccessRights, 0x60)});
inline void v86(VmxGuest& guest) {
  guest.control(Field::guestRflags, 1u << 17);
  for (unsigned seg = 0; seg < 6; seg++) {
    const auto of = [&](Field first) { return static_cast<Field>(static_cast<uint32_t>(first) + 2 * seg); };
    guest.field(of(Field::guestEsSelector), 0);
    guest.field(of(Field::guestEsLimit), 0xffff);
    guest.field(of(Field::guestEsAccessRights), 0xf3);
  }
}
inline const Break kInterruptsOn = add(Field::guestRflags, 0x200);
inline constexpr uint64_t kPeAndPg = 0x80000001;
inline Break unrestricted() { return ept(vmx::secondary::kUnrestrictedGuest); }

}  // namespace vtkit::test
