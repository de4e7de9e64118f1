// A processor of 64 or 32 bits in VMX root operation with a current VMCS for a guest of as many, in the same memory as
// its host.
#pragma once

#include "emulator/msrs.h"
#include "emulator/vmx/capabilities.h"
#include "emulator/vmx/controls.h"
#include "test/native/emulator/guest.h"

namespace vtkit::test {

using emulator::vmx::ExitReason;
using emulator::vmx::Field;

inline std::string bytesOf(uint32_t value) { return std::string(reinterpret_cast<const char*>(&value), 4); }
#define BYTES(TEXT) std::string(TEXT, sizeof(TEXT) - 1)
inline const std::string kVmcall = BYTES("\x0f\x01\xc1");
inline uint64_t number(ExitReason reason) { return static_cast<uint64_t>(reason); }

class VmxGuest : public Guest {
 public:
  static constexpr uint64_t kVmxon = 0x20000, kVmcs = 0x21000, kOther = 0x23000, kPointers = 0x22000;
  static constexpr uint64_t kHostCode = kCode, kHostExit = 0x1800, kGuestCode = 0x2000, kGuestStack = 0x9000;
  static constexpr uint64_t kBitmaps = 0x24000, kIdt = 0x28000, kGdt = 0x27000, kHandler = 0x3000;

  explicit VmxGuest(unsigned bits = 64) : Guest(bits) {
    std::vector<emulator::CpuidRow> rows = processor->cpuid();
    for (emulator::CpuidRow& row : rows) row.ecx |= row.leaf == 1 ? 1u << 5 : 0;
    processor->setCpuid(rows);
    enable(1u << 13);
    emulator::writeMsr(processor->cpu(), emulator::vmx::kFeatureControl, 5);
    vcpu::Sregs sregs;
    processor->getSregs(sregs);
    sregs.cr0 |= 1u << 5;
    if (bits == 32) {
      put<uint32_t>(kTables, 0x87);  // 4 MiB
      sregs.cr4 |= 1u << 4;
      sregs.cr0 |= 1u << 31;
    }
    put<uint64_t>(kGdt + 8, bits == 64 ? 0x00209b0000000000 : 0x00cf9b000000ffff);  // code
    put<uint64_t>(kGdt + 16, 0x00cf93000000ffff);                                   // data
    sregs.gdt.base = kGdt;
    sregs.gdt.limit = 0xff;
    processor->setSregs(sregs);
    for (const uint64_t region : {kVmxon, kVmcs, kOther}) put<uint32_t>(region, emulator::vmx::kRevision);
    put<uint64_t>(kPointers, kVmxon);
    put<uint64_t>(kPointers + 8, kVmcs);
    put<uint64_t>(kPointers + 16, kOther);
    write(kHostExit, "\xf4");
    run(vmxon() + vmclear(8) + vmptrld(8));
    fill();
  }

  static std::string vmxon() { return BYTES("\xf3\x0f\xc7\x34\x25") + bytesOf(kPointers); }
  static std::string vmclear(unsigned at) { return BYTES("\x66\x0f\xc7\x34\x25") + bytesOf(kPointers + at); }
  static std::string vmptrld(unsigned at) { return BYTES("\x0f\xc7\x34\x25") + bytesOf(kPointers + at); }
  static std::string vmlaunch() { return BYTES("\x0f\x01\xc2"); }
  static std::string vmresume() { return BYTES("\x0f\x01\xc3"); }

  uint64_t field(Field name) { return processor->cpu().vmx.vmcs.get(name); }
  void field(Field name, uint64_t value) { processor->cpu().vmx.vmcs.set(name, value); }
  void control(Field name, uint64_t bits) { field(name, field(name) | bits); }
  /** Makes it a guest of 32 bits under a host of 64; CR3 and CR4 say how it pages. */
  void narrow() {
    field(Field::entryControls, field(Field::entryControls) & ~uint64_t{emulator::vmx::onEntry::kIa32eModeGuest});
    field(Field::guestCsAccessRights, 0xc09b);
    put<uint64_t>(kGdt + 8, 0x00cf9b000000ffff);
  }
  /** A message of the APICs' bus: INIT, a startup message, an interrupt. */
  void send(bus::DeliveryMode mode, uint8_t vector = 0) {
    bus::InterruptMessage message;
    message.broadcast = true;
    message.mode = mode;
    message.vector = vector;
    processor->apic().accept(message);
  }
  bool inGuest() { return processor->cpu().guest; }
  uint64_t reason() { return field(Field::exitReason); }
  uint64_t basicReason() { return reason() & 0xffff; }

  /** Enters `code` by VMLAUNCH, or VMRESUME behind the first time, and runs to the host's HLT. */
  void enter(const std::string& code) {
    write(kGuestCode, code);
    field(Field::guestRip, kGuestCode);
    again();
  }
  /** Goes on where the guest left. */
  void again() { run(processor->cpu().vmx.vmcs.launched ? vmresume() : vmlaunch()); }
  /** Goes on behind the instruction that left. */
  void skip() {
    field(Field::guestRip, field(Field::guestRip) + field(Field::exitInstructionLength));
    again();
  }

 private:
  void segment(unsigned index, uint16_t selector, uint64_t limit, uint32_t rights) {
    field(static_cast<Field>(static_cast<uint32_t>(Field::guestEsSelector) + 2 * index), selector);
    field(static_cast<Field>(static_cast<uint32_t>(Field::guestEsLimit) + 2 * index), limit);
    field(static_cast<Field>(static_cast<uint32_t>(Field::guestEsAccessRights) + 2 * index), rights);
  }
  void fill() {
    const emulator::Cpu& cpu = processor->cpu();
    field(Field::pinBasedControls, 0x16);
    field(Field::primaryControls, 0x0401e172 & ~(3u << 15));
    field(Field::exitControls, 0x00036dff | (bits_ == 64 ? emulator::vmx::onExit::kHostAddressSpaceSize : 0));
    field(Field::entryControls, 0x000011ff | (bits_ == 64 ? emulator::vmx::onEntry::kIa32eModeGuest : 0));
    field(Field::vmcsLinkPointer, ~uint64_t{0});
    for (const Field name : {Field::guestCr0, Field::hostCr0}) field(name, cpu.cr0);
    for (const Field name : {Field::guestCr3, Field::hostCr3}) field(name, cpu.cr3);
    for (const Field name : {Field::guestCr4, Field::hostCr4}) field(name, cpu.cr4);
    for (unsigned index = 0; index < 6; index++)
      segment(index, index == 1 ? 8 : 16, 0xffffffff,
              index == 1 && bits_ == 64 ? 0xa09b
              : index == 1              ? 0xc09b
                                        : 0xc093);
    segment(6, 0, 0xffff, 0x10082);
    segment(7, 24, 0x67, 0x8b);
    field(Field::guestRflags, 2);
    field(Field::guestRsp, kGuestStack);
    field(Field::guestDr7, 0x400);
    field(Field::guestGdtrBase, kGdt);
    field(Field::guestGdtrLimit, 0xff);
    field(Field::guestIdtrBase, kIdt);
    field(Field::guestIdtrLimit, 0xfff);
    field(Field::hostCsSelector, 8);
    for (const Field name : {Field::hostSsSelector, Field::hostDsSelector, Field::hostEsSelector}) field(name, 16);
    field(Field::hostTrSelector, 24);
    field(Field::hostGdtrBase, kGdt);
    field(Field::hostRip, kHostExit);
    field(Field::hostRsp, kStack);
    // An interrupt gate for every vector.
    for (unsigned vector = 0; vector < 256; vector++) {
      put<uint64_t>(kIdt + (bits_ == 64 ? 16 : 8) * vector, kHandler | 8u << 16 | uint64_t{0x8e00} << 32);
    }
  }
};

}  // namespace vtkit::test
