// What a guest of a hypervisor may ask: CPUID leaves from 40000000H, and VMCALL by KVM's convention.
#include "emulator/cpu-model.h"
#include "test/native/emulator/guest.h"

using namespace vtkit;
using namespace vtkit::test;

namespace {

constexpr uint64_t kNoSuchCall = static_cast<uint64_t>(-1000), kSendIpi = 10;
#define BYTES(TEXT) std::string(TEXT, sizeof(TEXT) - 1)
const std::string kCpuid = BYTES("\x0f\xa2"), kVmcall = BYTES("\x0f\x01\xc1");

}  // namespace

TEST("a leaf that no hypervisor uses is 0, and not the highest basic leaf") {
  for (const uint64_t leaf : {0x40000001u, 0x40000003u, 0x40000100u, 0x4fffffffu}) {
    Guest guest(64);
    guest.regs.rax = leaf;
    guest.regs.rbx = guest.regs.rdx = 1;
    guest.run(kCpuid);
    CHECK_EQUAL(guest.regs.rax | guest.regs.rbx | guest.regs.rcx | guest.regs.rdx, 0u);
  }
}

TEST("VMCALL of a number that is not known answers -ENOSYS") {
  Guest guest(64);
  guest.regs.rax = 0xffffffff;
  CHECK_EQUAL(static_cast<int>(guest.run(kVmcall)), static_cast<int>(Emulator::Stop::halted));
  CHECK_EQUAL(guest.regs.rax, kNoSuchCall);
  Guest narrow(32);
  narrow.run(kVmcall);
  CHECK_EQUAL(narrow.regs.rax, kNoSuchCall & 0xffffffff);
}

TEST("VMMCALL does the same, whoever made the processor") {
  const std::string vmmcall = BYTES("\x0f\x01\xd9");
  Guest intel(64);
  CHECK_EQUAL(static_cast<int>(intel.run(vmmcall)), static_cast<int>(Emulator::Stop::halted));
  CHECK_EQUAL(intel.regs.rax, kNoSuchCall);
  Guest amd(64);
  std::vector<emulator::CpuidRow> rows = emulator::defaultCpuid();
  std::memcpy(&rows[0].ebx, "Auth", 4);
  std::memcpy(&rows[0].edx, "enti", 4);
  std::memcpy(&rows[0].ecx, "cAMD", 4);
  amd.processor->setCpuid(rows);
  CHECK_EQUAL(static_cast<int>(amd.run(vmmcall)), static_cast<int>(Emulator::Stop::halted));
  CHECK_EQUAL(amd.regs.rax, kNoSuchCall);
}

TEST("VMCALL sends interrupts to the processors of a set") {
  Guest guest(64);
  guest.processor->apic().write(0xf0, 0x1ff);
  guest.regs.rax = kSendIpi;
  guest.regs.rbx = 1;
  guest.regs.rsi = 0x55;
  guest.run(kVmcall);
  CHECK_EQUAL(guest.regs.rax, 1u);
  CHECK_EQUAL(guest.processor->apic().pending(), 0x55);
}

TEST("VMCALL to processors that are not there reaches none") {
  Guest guest(64);
  guest.regs.rax = kSendIpi;
  guest.regs.rbx = guest.regs.rdx = 0xffffffff;
  guest.run(kVmcall);
  CHECK_EQUAL(guest.regs.rax, 0u);
}

TEST("VMCALL and VMMCALL are undefined where CPUID announces no hypervisor") {
  Guest guest(64), other(64);
  std::vector<emulator::CpuidRow> rows = emulator::defaultCpuid();
  for (emulator::CpuidRow& row : rows) {
    if (row.leaf == 1) row.ecx &= ~(1u << emulator::model::kHypervisor.bit);
  }
  guest.processor->setCpuid(rows);
  CHECK_EQUAL(static_cast<int>(guest.run(kVmcall)), static_cast<int>(Emulator::Stop::shutdown));
  CHECK_EQUAL(guest.regs.rip, Guest::kCode);
  other.processor->setCpuid(rows);
  CHECK_EQUAL(static_cast<int>(other.run(BYTES("\x0f\x01\xd9"))), static_cast<int>(Emulator::Stop::shutdown));
}
