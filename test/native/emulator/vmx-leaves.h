// What tests of exiting instructions share: a guest for which all exists, controls that make it leave, and how it left.
#pragma once

#include "test/native/emulator/vmx-breaks.h"

namespace vtkit::test {

namespace primary = vtkit::emulator::vmx::primary;
namespace secondary = vtkit::emulator::vmx::secondary;

constexpr uint64_t kData = Guest::kData, kCode = VmxGuest::kGuestCode;
/** How a guest leaves that is no exit reason: by an exception, or not at all. */
constexpr uint64_t kFault = 0x1000, kUd = kFault | 6, kGp = kFault | 13, kPf = kFault | 14, kStays = 0x2000;
constexpr uint64_t kOsxsave = 1u << 18;
constexpr uint16_t kPort = 0x80;

inline void nothing(VmxGuest&) {}
inline Break base(uint64_t address, Field field = Field::guestDsBase) { return set(field, address); }
inline Break primaries(uint32_t bits) { return add(Field::primaryControls, bits); }

/** Everything exists, no port is allowed in ring 3, and the MSR bitmap makes nothing exit. */
inline void prepare(VmxGuest& guest) {
  announce(emulator::model::kMonitor)(guest);
  activate(secondary::kEnableRdtscp | secondary::kEnableInvpcid | secondary::kEnableXsaves)(guest);
  guest.control(Field::primaryControls, primary::kUseMsrBitmaps);
  guest.field(Field::msrBitmap, VmxGuest::kBitmaps);
  guest.field(Field::ioBitmapA, VmxGuest::kBitmaps + 0x1000);
  guest.field(Field::ioBitmapB, VmxGuest::kBitmaps + 0x2000);
  guest.control(Field::guestCr4, kOsxsave);
  guest.field(Field::exceptionBitmap, 1u << 6 | 1u << 13 | 1u << 14);
  guest.put<uint16_t>(102, 0xffff);                                // of the TSS
  guest.put<uint64_t>(VmxGuest::kGdt + 0x28, 0x0000890000000067);  // one for LTR
  guest.regs.rax = Guest::kTables;                                 // a CR3
  guest.regs.rdx = kPort;
  guest.regs.rsi = guest.regs.rdi = kData;
  guest.regs.r8 = guest.field(Field::guestCr0);
  guest.regs.r9 = guest.field(Field::guestCr4);
}

/** How the guest leaves that executes `code`, and VMCALL behind it. */
inline uint64_t leaves(VmxGuest& guest, const std::string& code) {
  guest.processor->setLimit(guest.processor->instructionsRetired() + 10000);
  guest.enter(code + kVmcall);
  if (guest.inGuest()) return kStays;
  const uint64_t reason = guest.reason();
  return reason == 0 ? kFault | (guest.field(Field::exitInterruptionInformation) & 0xff) : reason;
}
inline uint64_t leaves(const Break& change, const std::string& code, unsigned bits = 64) {
  VmxGuest guest(bits);
  prepare(guest);
  change(guest);
  return leaves(guest, code);
}

inline void expect(uint64_t found, uint64_t expected, const std::string& what) {
  if (!CHECK_EQUAL(found, expected)) std::printf("  of %s\n", what.c_str());
}

inline std::string at(const std::string& opcode, uint64_t address) {
  return opcode + bytesOf(static_cast<uint32_t>(address));
}

inline Break hide(Field mask, Field shadow, uint64_t owned, uint64_t seen) {
  return both(set(mask, owned), set(shadow, seen));
}
inline Break hideCr0(uint64_t owned, uint64_t seen) {
  return hide(Field::cr0GuestHostMask, Field::cr0ReadShadow, owned, seen);
}
inline Break hideCr4(uint64_t owned, uint64_t seen) {
  return hide(Field::cr4GuestHostMask, Field::cr4ReadShadow, owned, seen);
}
constexpr uint64_t kMp = 2, kEm = 4, kTs = 8, kVmxe = 1u << 13;

inline const Break kTables = activate(secondary::kDescriptorTableExiting),
                   kPorts = primaries(primary::kUnconditionalIoExiting),
                   kMsrs = take(Field::primaryControls, primary::kUseMsrBitmaps),
                   kDebug = primaries(primary::kMovDrExiting), kTsc = primaries(primary::kRdtscExiting),
                   kInvlpg = primaries(primary::kInvlpgExiting);

}  // namespace vtkit::test
