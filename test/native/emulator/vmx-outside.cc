// VM entries from outside the machine: who asks for them, what they leave, and what ends them.
#include "emulator/vmx/outside.h"

#include "test/native/emulator/vmx-breaks.h"

using namespace vtkit;
using namespace vtkit::test;

namespace {

using Stop = Emulator::Stop;
using Fields = std::vector<vcpu::VmcsField>;
const std::string kVmxoff = BYTES("\x0f\x01\xc4"), kLoop = BYTES("\xeb\xfe");

/** A processor outside of VMX operation, and a VMCS of its mode for somebody outside the machine. */
struct Driven : VmxGuest {
  explicit Driven(unsigned bits = 64) : VmxGuest(bits), fields(vmx::kFieldCount) {
    vmx::getFields(processor->cpu(), fields.data());
    set(Field::guestRip, kGuestCode);
    run(kVmxoff);
  }
  uint64_t& at(Field name) {
    for (vcpu::VmcsField& field : fields) {
      if (field.encoding == static_cast<uint64_t>(name)) return field.value;
    }
    std::abort();
  }
  void set(Field name, uint64_t value) { at(name) = value; }
  std::string ask() {
    const char* why = vmx::setFields(processor->cpu(), fields.data());
    return why == nullptr ? "" : why;
  }
  /** Enters `code`, to be run until it leaves, or for long enough. */
  Stop drive(const std::string& code) {
    write(kGuestCode, code);
    CHECK_EQUAL(ask(), std::string());
    processor->setLimit(processor->instructionsRetired() + 1000);
    const Stop stop = processor->run();
    processor->getRegs(regs);
    return stop;
  }
  bool on() { return processor->cpu().vmx.on; }

  Fields fields;
};

}  // namespace

TEST("an entry from outside runs the guest, and its exit stops the processor in the state of the VMCS' host") {
  for (const unsigned bits : {64u, 32u}) {
    Driven driven(bits);
    CHECK_EQUAL(driven.drive(kVmcall) == Stop::left, true);
    CHECK_EQUAL(driven.processor->entryError(), 0u);
    CHECK_EQUAL(driven.reason(), number(ExitReason::vmcall));
    CHECK_EQUAL(driven.inGuest(), false);
    CHECK_EQUAL(driven.on(), false);
    CHECK_EQUAL(driven.regs.rip, VmxGuest::kHostExit);
    CHECK_EQUAL(driven.processor->cpu().longMode(), bits == 64);
    CHECK_EQUAL(driven.processor->run() == Stop::halted, true);  // by the host's HLT, as any processor
  }
}

TEST("the host may be of another width than the processor that is asked") {
  Driven wide;
  vcpu::Sregs narrow;
  Driven(32).processor->getSregs(narrow);
  narrow.cr3 = VmxGuest::kHandler;  // a large page for 32 bits
  wide.put<uint32_t>(VmxGuest::kHandler, 0x87);
  narrow.cr0 &= ~uint64_t{1u << 31 | 1u << 5};
  narrow.cr4 = 0;
  CHECK_EQUAL(wide.processor->setSregs(narrow) == nullptr, true);
  CHECK_EQUAL(wide.drive(kVmcall) == Stop::left, true);
  CHECK_EQUAL(wide.processor->entryError(), 0u);
  CHECK_EQUAL(wide.reason(), number(ExitReason::vmcall));
  CHECK_EQUAL(wide.processor->cpu().longMode(), true);
}

TEST("an entry that fails for its controls or its host leaves the processor as it was, with the error number") {
  const struct {
    Field field;
    uint64_t value;
    unsigned error;
  } rows[] = {{Field::pinBasedControls, 0, 7}, {Field::hostRip, uint64_t{1} << 60, 8}};
  for (const auto& row : rows) {
    Driven driven;
    emulator::Cpu& cpu = driven.processor->cpu();
    cpu.cr0 &= ~uint64_t{1 << 5};
    cpu.cr4 &= ~uint64_t{1 << 13};
    const uint64_t cr0 = cpu.cr0, cr4 = cpu.cr4, efer = cpu.efer;
    driven.set(row.field, row.value);
    CHECK_EQUAL(driven.drive(kVmcall) == Stop::left, true);
    CHECK_EQUAL(driven.processor->entryError(), row.error);
    CHECK_EQUAL(driven.field(Field::vmInstructionError), row.error);
    CHECK_EQUAL(driven.on(), false);
    CHECK_EQUAL(cpu.cr0, cr0);
    CHECK_EQUAL(cpu.cr4, cr4);
    CHECK_EQUAL(cpu.efer, efer);
    CHECK_EQUAL(driven.run("\x90") == Stop::halted, true);
  }
}

TEST("an entry that fails for its guest's state is an exit") {
  Driven driven;
  driven.set(Field::guestRflags, 0);
  CHECK_EQUAL(driven.drive(kVmcall) == Stop::left, true);
  CHECK_EQUAL(driven.processor->entryError(), 0u);
  CHECK_EQUAL(driven.reason(), number(ExitReason::invalidGuestState) | 1u << 31);
  CHECK_EQUAL(driven.regs.rip, VmxGuest::kHostExit);
}

TEST("what names no field is refused, and so is a guest that is in VMX operation of its own") {
  for (const uint64_t encoding : {uint64_t{0x6a00}, uint64_t{0x2011}, uint64_t{1} << 32}) {
    Driven driven;
    driven.fields[3].encoding = encoding;
    CHECK_EQUAL(driven.ask(), "enter a VMCS: an encoding names no field");
    CHECK_EQUAL(driven.processor->cpu().vmx.entryAsked, false);
  }
  Driven own;
  own.run(VmxGuest::vmxon());
  CHECK_EQUAL(own.ask(), "enter a VMCS: the guest is in VMX operation of its own");
  CHECK_EQUAL(own.processor->cpu().vmx.entryAsked, false);
}

TEST("a guest that goes on for long is left as by an external interrupt, or for another VMCS") {
  Driven driven;
  CHECK_EQUAL(driven.drive(kLoop) == Stop::attention, true);
  CHECK_EQUAL(driven.inGuest(), true);
  vmx::interruptFromOutside(driven.processor->cpu());
  CHECK_EQUAL(driven.inGuest(), false);
  CHECK_EQUAL(driven.on(), false);
  CHECK_EQUAL(driven.reason(), number(ExitReason::externalInterrupt));
  CHECK_EQUAL(driven.processor->rip(), VmxGuest::kHostExit);

  CHECK_EQUAL(driven.drive(kLoop) == Stop::attention, true);
  CHECK_EQUAL(driven.drive(kVmcall) == Stop::left, true);
  CHECK_EQUAL(driven.reason(), number(ExitReason::vmcall));
}

TEST("an interrupt from outside changes nothing of a processor outside, nor of a guest of its own host") {
  VmxGuest guest;
  guest.processor->setLimit(guest.processor->instructionsRetired() + 1000);
  guest.enter(kLoop);
  vmx::interruptFromOutside(guest.processor->cpu());
  CHECK_EQUAL(guest.inGuest(), true);

  Driven driven;
  CHECK_EQUAL(driven.ask(), std::string());
  driven.processor->cpu().vmx.entryAsked = false;  // asked, and not entered yet
  const uint64_t rip = driven.processor->rip();
  vmx::interruptFromOutside(driven.processor->cpu());
  CHECK_EQUAL(driven.processor->rip(), rip);
}

TEST("an entry from outside ends all translations, as a script has no INVEPT") {
  constexpr uint64_t kTop = 0x30000, kTable = 0x33000, kTarget = 0x40000, kSecond = 0x41000;
  Driven driven;
  driven.processor->keepTranslations();
  driven.put<uint64_t>(kTop, (kTop + 0x1000) | 7);
  driven.put<uint64_t>(kTop + 0x1000, (kTop + 0x2000) | 7);
  for (uint64_t i = 0; i < 2; i++) driven.put<uint64_t>(kTop + 0x2000 + 8 * i, (kTable + 0x1000 * i) | 7);
  for (uint64_t page = 0; page < 1024; page++) driven.put<uint64_t>(kTable + 8 * page, page << 12 | 0x37);
  driven.put<uint64_t>(kTarget, 1);
  driven.put<uint64_t>(kSecond, 2);
  driven.at(Field::primaryControls) |= vmx::primary::kActivateSecondaryControls;
  driven.at(Field::secondaryControls) |= vmx::secondary::kEnableEpt | vmx::secondary::kEnableVpid;
  driven.set(Field::virtualProcessorIdentifier, 7);
  driven.set(Field::eptPointer, kTop | 0x1e);
  const std::string load = BYTES("\x48\x8b\x04\x25") + bytesOf(kTarget) + kVmcall;
  for (const uint64_t expected : {1, 2}) {
    CHECK_EQUAL(driven.drive(load) == Stop::left, true);
    CHECK_EQUAL(driven.regs.rax, expected);
    driven.put<uint64_t>(kTable + 8 * (kTarget >> 12), kSecond | 0x37);
  }
}

TEST("VMfailValid of a shadowed field keeps its number in the VMCS from outside, which is in no memory") {
  Driven driven;
  constexpr uint64_t kShadow = 0x25000;
  driven.at(Field::primaryControls) |= vmx::primary::kActivateSecondaryControls;
  driven.at(Field::secondaryControls) |= vmx::secondary::kVmcsShadowing;
  driven.set(Field::vmreadBitmap, VmxGuest::kBitmaps);
  driven.set(Field::vmwriteBitmap, VmxGuest::kBitmaps);
  driven.set(Field::vmcsLinkPointer, kShadow);
  driven.put<uint32_t>(kShadow, vmx::kRevision | 1u << 31);
  driven.drive(BYTES("\xb8\x00\x6a\x00\x00\x0f\x78\xc1") + kVmcall);  // mov eax, 6a00H; vmread rcx, rax
  CHECK_EQUAL(driven.reason(), number(ExitReason::vmcall));
  CHECK_EQUAL(driven.field(Field::guestRflags) & 0x8d5, 1u << 6);
  CHECK_EQUAL(driven.field(Field::vmInstructionError), 12u);
}
