// What tests of VMX instructions share: their opcodes, states of host and guest, and in words how code ended.
#pragma once

#include "emulator/vmx/vmcs.h"
#include "test/native/emulator/ept-guest.h"
#include "test/native/emulator/vmx-breaks.h"

namespace vtkit::test {

using vmx::kNoVmcs;
using vmx::kRevision;

constexpr uint64_t kArithmetic = 0x8d5, kShadow = 0x25000, kOperand = 0x26000, kTask = 0x2a000;
constexpr uint64_t kUnmapped = 0x400000, kNotCanonical = uint64_t{1} << 60;
inline const std::string kVmxoff = BYTES("\x0f\x01\xc4"), kVmfunc = BYTES("\x0f\x01\xd4");
/** Opcodes with a memory operand of an absolute address. */
inline const std::string kVmclear = BYTES("\x66\x0f\xc7\x34\x25"), kVmptrld = BYTES("\x0f\xc7\x34\x25"),
                         kVmptrst = BYTES("\x0f\xc7\x3c\x25"), kVmxon = BYTES("\xf3\x0f\xc7\x34\x25"),
                         kInvept = BYTES("\x66\x0f\x38\x80\x04\x25"), kInvvpid = BYTES("\x66\x0f\x38\x81\x04\x25"),
                         kStoreField = BYTES("\x0f\x78\x04\x25"), kLoadField = BYTES("\x0f\x79\x04\x25");
inline const std::string kVmread = BYTES("\x0f\x78\xc1"), kVmwrite = BYTES("\x0f\x79\xc3");  // rcx, rax; rax, rbx

inline std::string at(const std::string& opcode, uint64_t address = kOperand) {
  return opcode + bytesOf(static_cast<uint32_t>(address));
}

inline const struct Instruction {
  const char* name;
  std::string code;
  ExitReason reason;
} kInstructions[] = {
    {"VMCALL", kVmcall, ExitReason::vmcall},
    {"VMLAUNCH", VmxGuest::vmlaunch(), ExitReason::vmlaunch},
    {"VMRESUME", VmxGuest::vmresume(), ExitReason::vmresume},
    {"VMXOFF", kVmxoff, ExitReason::vmxoff},
    {"VMCLEAR", at(kVmclear), ExitReason::vmclear},
    {"VMPTRLD", at(kVmptrld), ExitReason::vmptrld},
    {"VMPTRST", at(kVmptrst), ExitReason::vmptrst},
    {"VMXON", at(kVmxon), ExitReason::vmxon},
    {"VMREAD", kVmread, ExitReason::vmread},
    {"VMWRITE", kVmwrite, ExitReason::vmwrite},
    {"INVEPT", at(kInvept), ExitReason::invept},
    {"INVVPID", at(kInvvpid), ExitReason::invvpid},
};

inline void holds(const std::string& found, const std::string& expected, const std::string& what) {
  if (!CHECK_EQUAL(found, expected)) std::printf("  of %s\n", what.c_str());
}

inline std::string exception(uint64_t vector, uint64_t error) {
  const std::string code = '(' + std::to_string(error) + ')';
  return vector == 6 ? "#UD" : vector == 12 ? "#SS" + code : vector == 13 ? "#GP" + code : "#PF" + code;
}

/** What the flags say, all of which were set before. */
inline std::string told(const VmxGuest& guest, uint64_t flags, uint64_t error) {
  switch (flags & kArithmetic) {
    case 0:
      return "succeeds";
    case 1:
      return "VMfailInvalid";
    case 1 << 6:
      return "VMfailValid " + std::to_string(error);
    default:
      return (flags & kArithmetic) == kArithmetic ? "flags as before" : "flags " + shown(guest.regs.rflags);
  }
}

/** How code ends in root operation, or outside of VMX operation: each exception leads to a HLT of its own. */
inline std::string ending(VmxGuest& host, const std::string& code) {
  const bool wide = host.processor->cpu().longMode();
  for (unsigned vector = 0; vector < 256; vector++) {
    host.put<uint16_t>(VmxGuest::kIdt + (wide ? 16 : 8) * vector, VmxGuest::kHandler + vector);
  }
  host.write(VmxGuest::kHandler, std::string(256, '\xf4'));
  emulator::Cpu& cpu = host.processor->cpu();
  cpu.idt.base = VmxGuest::kIdt;
  cpu.idt.limit = 0xfff;
  cpu.seg[emulator::TR].base = kTask;
  cpu.seg[emulator::TR].limit = 0x67;
  host.put<uint64_t>(kTask + 4, VmxGuest::kStack);
  host.field(Field::vmInstructionError, 0);
  host.regs.rflags = 2 | kArithmetic;
  host.regs.rsp = VmxGuest::kStack;
  host.run(code);
  const uint64_t vector = host.regs.rip - 1 - VmxGuest::kHandler;
  if (vector < 256) {
    const uint64_t behindError = host.regs.rsp + (vector == 6 ? 0 : wide ? 8 : 4);
    CHECK_EQUAL(host.get<uint32_t>(behindError), VmxGuest::kCode);  // a fault: RIP stands at the instruction
    return exception(vector, host.get<uint32_t>(host.regs.rsp));
  }
  return told(host, host.regs.rflags, host.field(Field::vmInstructionError));
}

/** How code ends in non-root operation: behind it stands CPUID, which exits in every ring. */
inline std::string guestEnding(VmxGuest& guest, const std::string& code) {
  guest.field(Field::exceptionBitmap, 0xffffffff);
  guest.control(Field::guestRflags, kArithmetic);
  guest.field(Field::vmInstructionError, 0);
  guest.field(Field::exitReason, 0xffff);
  guest.enter(code + BYTES("\x0f\xa2"));
  const uint64_t reason = guest.reason();
  if (reason == number(ExitReason::cpuid)) {
    return told(guest, guest.field(Field::guestRflags), guest.field(Field::vmInstructionError));
  }
  CHECK_EQUAL(guest.field(Field::guestRip), VmxGuest::kGuestCode);
  if (reason != number(ExitReason::exceptionOrNmi)) return "exit " + std::to_string(reason);
  return exception(guest.field(Field::exitInterruptionInformation) & 0xff,
                   guest.field(Field::exitInterruptionErrorCode));
}
inline std::string exits(ExitReason reason) { return "exit " + std::to_string(number(reason)); }

inline void leaveOperation(VmxGuest& host) { host.run(kVmxoff); }
inline void forgetCurrent(VmxGuest& host) { host.run(VmxGuest::vmclear(8)); }
inline std::string loadsCurrent() { return VmxGuest::vmptrld(8); }
/** The current VMCS pointer, as VMPTRST has it. */
inline uint64_t current(VmxGuest& host) {
  host.run(at(kVmptrst, kOperand + 0x100));
  return host.get<uint64_t>(kOperand + 0x100);
}

// The state of a host, and of a guest

template <typename Change>
inline void change(VmxGuest& host, Change&& change) {
  vcpu::Sregs sregs;
  host.processor->getSregs(sregs);
  change(sregs);
  CHECK_EQUAL(host.processor->setSregs(sregs) == nullptr, true);
}
inline void hostInRing3(VmxGuest& host) {
  change(host, [](vcpu::Sregs& sregs) { sregs.cs.dpl = sregs.ss.dpl = 3; });
}
inline void hostInCompatibilityMode(VmxGuest& host) {
  change(host, [](vcpu::Sregs& sregs) {
    sregs.cs.l = 0;
    sregs.cs.db = 1;
  });
}
inline void clearCr0(VmxGuest& host, uint64_t bits) {
  change(host, [=](vcpu::Sregs& sregs) { sregs.cr0 &= ~bits; });
}

inline void compatibilityMode(VmxGuest& guest) { guest.field(Field::guestCsAccessRights, 0xc09b); }
inline void realMode(VmxGuest& guest) {
  guest.control(Field::secondaryControls, vmx::secondary::kUnrestrictedGuest);
  guest.narrow();
  take(Field::guestCr0, kPeAndPg)(guest);
}

/** With a shadow VMCS for all fields. */
inline void shadowed(VmxGuest& guest) {
  activate(vmx::secondary::kVmcsShadowing)(guest);
  guest.field(Field::vmreadBitmap, VmxGuest::kBitmaps);
  guest.field(Field::vmwriteBitmap, VmxGuest::kBitmaps + 0x1000);
  guest.field(Field::vmcsLinkPointer, kShadow);
  guest.put<uint32_t>(kShadow, kRevision | 1u << 31);
}

}  // namespace vtkit::test
