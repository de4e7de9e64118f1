// The APIC that a guest sees: what its page answers, what exits, and how virtual interrupts come (SDM Vol. 3C, 30).
#include "test/native/emulator/vmx-guest.h"

using namespace vtkit;
using namespace vtkit::test;
namespace vmx = vtkit::emulator::vmx;

namespace {

using vmx::primary::kUseTprShadow;

/** With a virtual-APIC page, and an APIC-access page at 40000H. */
class ApicGuest : public VmxGuest {
 public:
  static constexpr uint64_t kPage = 0x50000, kAccess = 0x40000, kDescriptor = 0x52000;

  explicit ApicGuest(uint64_t secondary, uint64_t primary = kUseTprShadow, unsigned bits = 64) : VmxGuest(bits) {
    control(Field::primaryControls, primary | vmx::primary::kActivateSecondaryControls | vmx::primary::kHltExiting |
                                        vmx::primary::kUseMsrBitmaps);
    control(Field::secondaryControls, secondary);
    field(Field::virtualApicAddress, kPage);
    field(Field::apicAccessAddress, kAccess);
    field(Field::msrBitmap, kBitmaps);
    field(Field::postedInterruptDescriptorAddress, kDescriptor);
    if ((secondary & vmx::secondary::kVirtualInterruptDelivery) != 0) control(Field::pinBasedControls, 1);
  }
  uint32_t reg(uint32_t offset) { return get<uint32_t>(kPage + offset); }
  void reg(uint32_t offset, uint32_t value) { put<uint32_t>(kPage + offset, value); }
  bool left(ExitReason reason) { return basicReason() == static_cast<uint64_t>(reason); }
  void request(unsigned vector) { reg(0x200 + (vector >> 5) * 16, 1u << (vector & 31)); }
};

/** mov eax, [40000H + offset]; hlt */
std::string reads(uint32_t offset) { return BYTES("\x8b\x04\x25") + bytesOf(ApicGuest::kAccess + offset) + "\xf4"; }
/** mov dword [40000H + offset], value; hlt */
std::string writes(uint32_t offset, uint32_t value) {
  return BYTES("\xc7\x04\x25") + bytesOf(ApicGuest::kAccess + offset) + bytesOf(value) + "\xf4";
}
/** mov ecx, msr; rdmsr; hlt */
std::string readsMsr(uint32_t msr) { return BYTES("\xb9") + bytesOf(msr) + BYTES("\x0f\x32\xf4"); }
/** mov ecx, msr; mov eax, value; cdq; wrmsr; hlt */
std::string writesMsr(uint32_t msr, uint32_t value) {
  return BYTES("\xb9") + bytesOf(msr) + BYTES("\xb8") + bytesOf(value) + BYTES("\x99\x0f\x30\xf4");
}
const std::string kHandled = BYTES("\xb3\x77\xf4");  // mov bl, 77H; hlt

constexpr uint64_t kAccesses = vmx::secondary::kVirtualizeApicAccesses,
                   kRegisters = vmx::secondary::kApicRegisterVirtualization,
                   kX2apic = vmx::secondary::kVirtualizeX2apicMode,
                   kDelivery = vmx::secondary::kVirtualInterruptDelivery;

}  // namespace

TEST("an access to the APIC-access page exits with its offset, kind and length") {
  const struct {
    std::string code;
    uint64_t qualification, length;
  } rows[] = {
      {reads(0x20), 0x0020, 7},
      {writes(0x20, 1), 0x1020, 11},
      {reads(0x80), 0x0080, 7},
      {writes(0x3fc, 1), 0x13fc, 11},
  };
  for (const auto& row : rows) {
    ApicGuest guest(kAccesses, 0);
    guest.enter(row.code);
    CHECK_EQUAL(guest.left(ExitReason::apicAccess), true);
    CHECK_EQUAL(guest.field(Field::exitQualification), row.qualification);
    CHECK_EQUAL(guest.field(Field::exitInstructionLength), row.length);
    CHECK_EQUAL(guest.field(Field::guestRip), VmxGuest::kGuestCode);
    guest.skip();
    CHECK_EQUAL(guest.left(ExitReason::hlt), true);
  }
}

TEST("without virtualized accesses the APIC-access page is memory") {
  ApicGuest guest(kX2apic | kRegisters);
  guest.put<uint32_t>(ApicGuest::kAccess + 0x80, 0x12345678);
  guest.enter(reads(0x80));
  CHECK_EQUAL(guest.left(ExitReason::hlt), true);
  CHECK_EQUAL(guest.regs.rax, 0x12345678u);
}

TEST("an event whose stack is the APIC-access page exits, though an operand would be answered") {
  // The first push is EFLAGS, in 32 bits at the task priority.
  for (const unsigned bits : {32u, 64u}) {
    ApicGuest guest(kAccesses | kRegisters, kUseTprShadow, bits);
    guest.field(Field::guestRsp, ApicGuest::kAccess + (bits == 32 ? 0x84 : 0x90));
    guest.enter(BYTES("\xcd\x30"));  // int 30H
    CHECK_EQUAL(guest.left(ExitReason::apicAccess), true);
    CHECK_EQUAL(guest.field(Field::exitQualification), bits == 32 ? 0x3080u : 0x3088u);
    CHECK_EQUAL(guest.field(Field::idtVectoringInformation), 0x80000430u);
    CHECK_EQUAL(guest.reg(0x80), 0u);
  }
}

TEST("code on the APIC-access page is not executed") {
  ApicGuest guest(kAccesses | kRegisters);
  guest.enter(BYTES("\xb8\x00\x00\x04\x00\xff\xe0"));
  CHECK_EQUAL(guest.left(ExitReason::apicAccess), true);
  CHECK_EQUAL(guest.field(Field::exitQualification), 0x2000u);
}

TEST("with a TPR shadow, the task priority moves without an exit, and nothing else does") {
  ApicGuest guest(kAccesses);
  guest.enter(writes(0x80, 0xabcdef57));
  CHECK_EQUAL(guest.left(ExitReason::hlt), true);
  CHECK_EQUAL(guest.reg(0x80), 0x57u);
  guest.enter(reads(0x80));
  CHECK_EQUAL(guest.left(ExitReason::hlt), true);
  CHECK_EQUAL(guest.regs.rax, 0x57u);
  guest.enter(reads(0x30));
  CHECK_EQUAL(guest.left(ExitReason::apicAccess), true);
  guest.enter(BYTES("\x48\x8b\x04\x25") + bytesOf(ApicGuest::kAccess + 0x80) + "\xf4");  // eight bytes
  CHECK_EQUAL(guest.left(ExitReason::apicAccess), true);
}

TEST("a priority that falls below the threshold exits behind the instruction, by MMIO and by CR8 alike") {
  for (const bool mmio : {true, false}) {
    ApicGuest guest(kAccesses);
    guest.reg(0x80, 0x60);
    guest.field(Field::tprThreshold, 4);
    guest.enter(mmio ? writes(0x80, 0x40) : BYTES("\xb8\x04\x00\x00\x00\x44\x0f\x22\xc0\xf4"));
    CHECK_EQUAL(guest.left(ExitReason::hlt), true);
    guest.enter(mmio ? writes(0x80, 0x30) : BYTES("\xb8\x03\x00\x00\x00\x44\x0f\x22\xc0\xf4"));
    CHECK_EQUAL(guest.left(ExitReason::tprBelowThreshold), true);
    CHECK_EQUAL(guest.field(Field::guestRip), VmxGuest::kGuestCode + (mmio ? 11 : 9));
  }
}

TEST("without a TPR shadow CR8 is the processor's own, and there is no threshold") {
  ApicGuest guest(kAccesses, 0);
  guest.field(Field::tprThreshold, 4);
  guest.enter(BYTES("\xb8\x05\x00\x00\x00\x44\x0f\x22\xc0\xf4"));  // mov eax, 5; mov cr8, rax; hlt
  CHECK_EQUAL(guest.left(ExitReason::hlt), true);
  CHECK_EQUAL(guest.processor->apic().read(0x80), 0x50u);
  CHECK_EQUAL(guest.reg(0x80), 0u);
}

TEST("CR8 of the host is the processor's own, whatever the current VMCS says") {
  ApicGuest guest(kAccesses);
  guest.write(VmxGuest::kHostExit, BYTES("\xb8\x05\x00\x00\x00\x44\x0f\x22\xc0\xf4"));
  guest.enter("\xf4");
  CHECK_EQUAL(guest.processor->apic().read(0x80), 0x50u);
  CHECK_EQUAL(guest.reg(0x80), 0u);
}

TEST("a guest that enters below the threshold leaves at once") {
  ApicGuest guest(kAccesses);
  guest.field(Field::tprThreshold, 4);
  guest.enter("\xf4");
  CHECK_EQUAL(guest.left(ExitReason::tprBelowThreshold), true);
  CHECK_EQUAL(guest.field(Field::guestRip), VmxGuest::kGuestCode);
}

TEST("APIC-register virtualization reads registers from the page, and exits behind writes") {
  const struct {
    uint32_t offset;
    bool reads;
    ExitReason writes;
  } rows[] = {
      {0x20, true, ExitReason::apicWrite},   {0x30, true, ExitReason::apicAccess},
      {0xa0, false, ExitReason::apicAccess}, {0xb0, true, ExitReason::apicWrite},
      {0xc0, false, ExitReason::apicAccess}, {0xf0, true, ExitReason::apicWrite},
      {0x100, true, ExitReason::apicAccess}, {0x270, true, ExitReason::apicAccess},
      {0x280, true, ExitReason::apicWrite},  {0x2f0, false, ExitReason::apicAccess},
      {0x300, true, ExitReason::apicWrite},  {0x310, true, ExitReason::hlt},
      {0x380, true, ExitReason::apicWrite},  {0x390, false, ExitReason::apicAccess},
      {0x3e0, true, ExitReason::apicWrite},  {0x104, false, ExitReason::apicAccess},
  };
  for (const auto& row : rows) {
    ApicGuest guest(kAccesses | kRegisters);
    guest.reg(row.offset, 0x12345678);
    guest.enter(reads(row.offset));
    CHECK_EQUAL(guest.left(row.reads ? ExitReason::hlt : ExitReason::apicAccess), true);
    if (row.reads) CHECK_EQUAL(guest.regs.rax, 0x12345678u);
    guest.enter(writes(row.offset, 0x87654321));
    CHECK_EQUAL(guest.left(row.writes), true);
    if (row.writes == ExitReason::apicWrite) {
      CHECK_EQUAL(guest.field(Field::exitQualification), row.offset);
      CHECK_EQUAL(guest.field(Field::guestRip), VmxGuest::kGuestCode + 11);
      CHECK_EQUAL(guest.reg(row.offset), 0x87654321u);
    }
    if (row.offset == 0x310) CHECK_EQUAL(guest.reg(0x310), 0x87000000u);
  }
}

TEST("virtual-interrupt delivery takes writes of EOI and ICR from the page, and nothing else") {
  constexpr uint32_t kSelfIpi = 0x40061;
  for (const bool delivers : {false, true}) {
    ApicGuest guest(kAccesses | (delivers ? kDelivery : 0));
    const ExitReason answered = delivers ? ExitReason::hlt : ExitReason::apicAccess;
    guest.reg(0x120, 1u << 17);  // 51H is in service
    guest.field(Field::guestInterruptStatus, 0x5100);
    guest.enter(writes(0xb0, 0x12345678));
    CHECK_EQUAL(guest.left(answered), true);
    CHECK_EQUAL(guest.reg(0x120), delivers ? 0 : 1u << 17);
    guest.enter(writes(0x300, kSelfIpi));
    CHECK_EQUAL(guest.left(answered), true);
    CHECK_EQUAL(guest.reg(0x230), delivers ? 2u : 0);
    guest.enter(writes(0x20, 0));
    CHECK_EQUAL(guest.left(ExitReason::apicAccess), true);
    for (const uint32_t offset : {0xb0u, 0x300u}) {
      guest.enter(reads(offset));
      CHECK_EQUAL(guest.left(ExitReason::apicAccess), true);
    }
  }
}

TEST("a command that is no plain self-IPI exits behind its write") {
  // A mode, delivery pending, level-triggered, another shorthand, a vector below 16, bits that are reserved.
  const uint32_t others[] = {0x40461, 0x41061, 0x48061, 0x00061, 0x80061, 0xc0061, 0x4000f, 0x42061, 0x60061, 0x140061};
  for (const uint32_t command : others) {
    ApicGuest guest(kAccesses | kRegisters | kDelivery);
    guest.enter(writes(0x300, command));
    CHECK_EQUAL(guest.left(ExitReason::apicWrite), true);
    CHECK_EQUAL(guest.field(Field::exitQualification), 0x300u);
    CHECK_EQUAL(guest.field(Field::guestInterruptStatus), 0u);
  }
  ApicGuest guest(kAccesses | kRegisters);  // and a plain one, where nothing delivers
  guest.enter(writes(0x300, 0x40061));
  CHECK_EQUAL(guest.left(ExitReason::apicWrite), true);
}

TEST("virtualize x2APIC mode answers MSRs from the page, whatever the APIC's own mode is") {
  ApicGuest guest(kX2apic | kRegisters);
  guest.reg(0x30, 0x11223344);
  guest.reg(0x34, 0x55667788);
  guest.enter(readsMsr(0x803));
  CHECK_EQUAL(guest.left(ExitReason::hlt), true);
  CHECK_EQUAL(guest.regs.rax, 0x11223344u);
  CHECK_EQUAL(guest.regs.rdx, 0x55667788u);
  guest.enter(writesMsr(0x808, 0x35));
  CHECK_EQUAL(guest.left(ExitReason::hlt), true);
  CHECK_EQUAL(guest.reg(0x80), 0x35u);
}

TEST("what virtualize x2APIC mode does not answer is the processor's own affair") {
  ApicGuest guest(kX2apic);
  guest.control(Field::exceptionBitmap, 1u << 13);
  guest.enter(readsMsr(0x803));  // not in x2APIC mode: #GP
  CHECK_EQUAL(guest.left(ExitReason::exceptionOrNmi), true);
  guest.enter(writesMsr(0x808, 0x135));  // bits 63:8 are reserved
  CHECK_EQUAL(guest.left(ExitReason::exceptionOrNmi), true);
  guest.enter(writesMsr(0x80b, 0));  // EOI, which only virtual-interrupt delivery takes
  CHECK_EQUAL(guest.left(ExitReason::exceptionOrNmi), true);
  guest.enter(writesMsr(0x808, 0x35));
  CHECK_EQUAL(guest.left(ExitReason::hlt), true);
  guest.enter(readsMsr(0x808));
  CHECK_EQUAL(guest.left(ExitReason::hlt), true);
  CHECK_EQUAL(guest.regs.rax, 0x35u);
}

TEST("virtual-interrupt delivery adds the MSRs of EOI and self-IPI alone") {
  ApicGuest guest(kX2apic | kDelivery);
  guest.control(Field::exceptionBitmap, 1u << 13);
  guest.enter(writesMsr(0x828, 0));  // error status
  CHECK_EQUAL(guest.left(ExitReason::exceptionOrNmi), true);
}

TEST("without virtualize x2APIC mode the page answers no MSR") {
  ApicGuest guest(kAccesses | kRegisters);
  guest.control(Field::exceptionBitmap, 1u << 13);
  guest.enter(readsMsr(0x808));
  CHECK_EQUAL(guest.left(ExitReason::exceptionOrNmi), true);
  guest.enter(writesMsr(0x808, 0x35));
  CHECK_EQUAL(guest.left(ExitReason::exceptionOrNmi), true);
}

TEST("a virtual interrupt of a higher class than the task priority is delivered at the entry") {
  for (const unsigned priority : {0x40u, 0x50u}) {
    ApicGuest guest(kX2apic | kDelivery);
    guest.write(VmxGuest::kHandler, kHandled);
    guest.reg(0x80, priority);
    guest.request(0x51);
    guest.field(Field::guestInterruptStatus, 0x51);
    guest.field(Field::guestRflags, 0x202);
    guest.regs.rbx = 0;
    guest.enter(BYTES("\x90\xf4"));
    const bool delivered = priority < 0x50;
    CHECK_EQUAL(guest.regs.rbx & 0xff, delivered ? 0x77u : 0u);
    CHECK_EQUAL(guest.field(Field::guestInterruptStatus), delivered ? 0x5100u : 0x51u);
    CHECK_EQUAL(guest.reg(0x120), delivered ? 1u << 17 : 0);
    CHECK_EQUAL(guest.reg(0x220), delivered ? 0 : 1u << 17);
    CHECK_EQUAL(guest.reg(0xa0), priority == 0x40 ? 0x50u : priority);
  }
}

TEST("a virtual interrupt waits for RFLAGS.IF, and ends HLT") {
  ApicGuest guest(kX2apic | kDelivery);
  guest.field(Field::primaryControls, guest.field(Field::primaryControls) & ~uint64_t{vmx::primary::kHltExiting});
  guest.write(VmxGuest::kHandler, BYTES("\xb3\x77\x0f\xa2"));  // CPUID leaves
  guest.field(Field::guestInterruptStatus, 0x51);
  guest.request(0x51);
  guest.regs.rbx = 0;
  guest.enter(BYTES("\x90\x90\xfb\xf4"));  // nop; nop; sti; hlt
  CHECK_EQUAL(guest.left(ExitReason::cpuid), true);
  CHECK_EQUAL(guest.regs.rbx & 0xff, 0x77u);
}

TEST("lowering the priority lets a virtual interrupt in") {
  ApicGuest guest(kX2apic | kDelivery);
  guest.write(VmxGuest::kHandler, kHandled);
  guest.reg(0x80, 0xf0);
  guest.request(0x51);
  guest.field(Field::guestInterruptStatus, 0x51);
  guest.field(Field::guestRflags, 0x202);
  guest.regs.rbx = 0;
  guest.enter(BYTES("\x31\xc0\x44\x0f\x22\xc0\x90\xb7\x55\xf4"));  // xor eax, eax; mov cr8, rax; nop; mov bh, 55H; hlt
  CHECK_EQUAL(guest.regs.rbx & 0xffff, 0x77u);
}

TEST("an end of interrupt lets the next one in, or exits where its bitmap says so") {
  for (const bool exits : {false, true}) {
    ApicGuest guest(kX2apic | kDelivery);
    guest.reg(0x120, 1u << 17);  // 51H is in service
    guest.request(0x41);
    guest.field(Field::guestInterruptStatus, 0x5141);
    guest.field(Field::guestRflags, 0x202);
    guest.field(Field::eoiExitBitmap1, exits ? 1u << 17 : 0);
    guest.write(VmxGuest::kHandler, kHandled);
    guest.enter(writesMsr(0x80b, 0));
    CHECK_EQUAL(guest.left(exits ? ExitReason::virtualizedEoi : ExitReason::hlt), true);
    if (exits) {
      CHECK_EQUAL(guest.field(Field::exitQualification), 0x51u);
      CHECK_EQUAL(guest.field(Field::guestInterruptStatus), 0x41u);
      guest.again();
    }
    CHECK_EQUAL(guest.regs.rbx & 0xff, 0x77u);
    CHECK_EQUAL(guest.field(Field::guestInterruptStatus), 0x4100u);
  }
}

TEST("the highest of what is in service, and of what is requested, comes behind the one that went") {
  ApicGuest guest(kX2apic | kDelivery);
  guest.reg(0x110, 1u << 1);             // 21H is in service,
  guest.reg(0x120, 1u << 17 | 1u << 1);  // 41H and 51H, too
  guest.field(Field::guestInterruptStatus, 0x5100);
  guest.enter(writesMsr(0x80b, 0));
  CHECK_EQUAL(guest.field(Field::guestInterruptStatus), 0x4100u);
  CHECK_EQUAL(guest.reg(0xa0), 0x40u);
  guest.reg(0x230, 1u << 1);  // 61H and 71H are requested
  guest.reg(0x230, guest.reg(0x230) | 1u << 17);
  guest.field(Field::guestInterruptStatus, 0x4171);
  guest.field(Field::guestRflags, 0x202);
  guest.write(VmxGuest::kHandler, kHandled);
  guest.enter(BYTES("\x90\xf4"));
  CHECK_EQUAL(guest.field(Field::guestInterruptStatus), 0x7161u);
}

TEST("a self-IPI is delivered without an exit, but not of a vector below 16") {
  ApicGuest guest(kX2apic | kDelivery);
  guest.write(VmxGuest::kHandler, kHandled);
  guest.field(Field::guestRflags, 0x202);
  guest.enter(writesMsr(0x83f, 0x61));
  CHECK_EQUAL(guest.regs.rbx & 0xff, 0x77u);
  CHECK_EQUAL(guest.field(Field::guestInterruptStatus), 0x6100u);
  guest.enter(writesMsr(0x83f, 0));
  CHECK_EQUAL(guest.left(ExitReason::apicWrite), true);
  CHECK_EQUAL(guest.field(Field::exitQualification), 0x3f0u);
}

TEST("a notification makes posted interrupts pending, and reaches no host") {
  // The vector that comes, and whether interrupts are posted: only both make it a notification.
  const struct {
    uint8_t vector;
    bool posts;
  } rows[] = {{0xf2, true}, {0xf3, true}, {0xf2, false}};
  for (const auto& row : rows) {
    ApicGuest guest(kX2apic | kDelivery);
    if (row.posts) guest.control(Field::pinBasedControls, vmx::pin::kPostedInterrupts);
    guest.control(Field::exitControls, vmx::onExit::kAcknowledgeInterrupt);
    guest.field(Field::postedInterruptNotificationVector, 0xf2);
    guest.put<uint32_t>(ApicGuest::kDescriptor + 8, 1u << 17);  // 51H
    guest.put<uint32_t>(ApicGuest::kDescriptor + 32, 3);        // outstanding, suppressed
    guest.write(VmxGuest::kHandler, kHandled);
    guest.field(Field::guestRflags, 0x202);
    emulator::LocalApic& apic = guest.processor->apic();
    apic.write(0xf0, 0x1ff);
    bus::InterruptMessage message;
    message.vector = row.vector;
    apic.accept(message);
    guest.enter(BYTES("\x90\x90\xf4"));
    if (row.posts && row.vector == 0xf2) {
      CHECK_EQUAL(guest.left(ExitReason::hlt), true);
      CHECK_EQUAL(guest.regs.rbx & 0xff, 0x77u);
      CHECK_EQUAL(guest.field(Field::guestInterruptStatus), 0x5100u);
      CHECK_EQUAL(guest.get<uint32_t>(ApicGuest::kDescriptor + 8), 0u);
      CHECK_EQUAL(guest.get<uint32_t>(ApicGuest::kDescriptor + 32), 2u);
      CHECK_EQUAL(apic.read(0x170), 0u);  // it is in service no more
    } else {
      CHECK_EQUAL(guest.left(ExitReason::externalInterrupt), true);
      CHECK_EQUAL(guest.field(Field::exitInterruptionInformation), 0x80000000u | row.vector);
      CHECK_EQUAL(guest.get<uint32_t>(ApicGuest::kDescriptor + 32), 3u);
    }
  }
}
