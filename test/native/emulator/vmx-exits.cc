// Each basic exit reason that this processor gives, made once, with its qualification and instruction length (SDM Vol.
// 3D, appendix C, and Vol. 3C, 28.2). test/unit/x86/exit-reasons.test.ts holds the rows to the reasons.
#include "test/native/emulator/vmx-guest.h"

#include <functional>

using namespace vtkit;
using namespace vtkit::test;
using namespace vtkit::emulator::vmx;

namespace {

using Prepare = std::function<void(VmxGuest&)>;

constexpr uint64_t kPage = 0x40000, kApicPage = 0x50000, kEpt = 0x30000, kDescriptor = 0x26000;

void nothing(VmxGuest&) {}
Prepare primaryControl(uint32_t bits) {
  return [=](VmxGuest& guest) { guest.control(Field::primaryControls, bits); };
}
Prepare secondaryControl(uint32_t bits) {
  return [=](VmxGuest& guest) {
    guest.control(Field::primaryControls, primary::kActivateSecondaryControls);
    guest.control(Field::secondaryControls, bits);
  };
}

/** Maps the first 4 MiB one to one, but for one page, whose entry is given. */
void underEpt(VmxGuest& guest, uint64_t entry, uint64_t pointerBits = 0) {
  secondaryControl(secondary::kEnableEpt)(guest);
  guest.put<uint64_t>(kEpt, (kEpt + 0x1000) | 7);
  guest.put<uint64_t>(kEpt + 0x1000, (kEpt + 0x2000) | 7);
  for (uint64_t i = 0; i < 2; i++) guest.put<uint64_t>(kEpt + 0x2000 + 8 * i, (kEpt + 0x3000 + 0x1000 * i) | 7);
  for (uint64_t page = 0; page < 1024; page++) guest.put<uint64_t>(kEpt + 0x3000 + 8 * page, page << 12 | 0x37);
  guest.put<uint64_t>(kEpt + 0x3000 + 8 * (kPage >> 12), entry);
  guest.field(Field::eptPointer, kEpt | 0x1e | pointerBits);
}

void virtualApic(VmxGuest& guest, uint32_t bits) {
  secondaryControl(bits)(guest);
  guest.control(Field::primaryControls, primary::kUseTprShadow);
  guest.field(Field::virtualApicAddress, kApicPage);
  guest.field(Field::apicAccessAddress, kPage);
}

/** A 32-bit guest with paging, behind whose selector 28H lies a task. */
void protectedMode(VmxGuest& guest) {
  constexpr uint64_t kDirectory = 0x38000;
  guest.put<uint32_t>(kDirectory, 0x87);  // 4 MiB
  guest.narrow();
  guest.put<uint64_t>(VmxGuest::kGdt + 0x28, 0x0000890600000067 | uint64_t{kPage & 0xffff} << 16);
  guest.field(Field::guestCr3, kDirectory);
  guest.field(Field::guestCr4, (guest.field(Field::guestCr4) & ~uint64_t{0x20}) | 0x10);
}

std::string at(const std::string& opcode, uint64_t address) { return opcode + bytesOf(static_cast<uint32_t>(address)); }

constexpr uint32_t kFailed = 1u << 31;

struct Row {
  ExitReason reason;
  Prepare prepare;
  std::string code;
  uint64_t qualification;
  unsigned length;  // of the instruction, where the exit tells it
  uint32_t high = 0;
  Prepare then = nothing;  // behind the entry, of a guest that waits
};

const Row kRows[] = {
    {ExitReason::exceptionOrNmi, [](VmxGuest& guest) { guest.field(Field::exceptionBitmap, 1u << 6); },
     BYTES("\x0f\x0b"), 0, 0},
    {ExitReason::externalInterrupt,
     [](VmxGuest& guest) {
       guest.control(Field::pinBasedControls, pin::kExternalInterruptExiting);
       guest.processor->interrupt(0x55);
     },
     "\x90", 0, 0},
    {ExitReason::tripleFault, [](VmxGuest& guest) { guest.field(Field::guestIdtrLimit, 0); }, BYTES("\x0f\x0b"), 0, 0},
    {ExitReason::initSignal, [](VmxGuest& guest) { guest.send(bus::DeliveryMode::init); }, "\x90", 0, 0},
    {ExitReason::startupIpi, [](VmxGuest& guest) { guest.field(Field::guestActivityState, 3); }, "\x90", 0x9a, 0, 0,
     [](VmxGuest& guest) {
       guest.send(bus::DeliveryMode::startup, 0x9a);
       guest.processor->run();
     }},
    {ExitReason::interruptWindow,
     [](VmxGuest& guest) {
       guest.control(Field::primaryControls, primary::kInterruptWindowExiting);
       guest.field(Field::guestRflags, 0x202);
     },
     "\x90", 0, 0},
    {ExitReason::nmiWindow,
     [](VmxGuest& guest) {
       guest.control(Field::pinBasedControls, pin::kNmiExiting | pin::kVirtualNmis);
       guest.control(Field::primaryControls, primary::kNmiWindowExiting);
     },
     "\x90", 0, 0},
    // jmp 28h:0
    {ExitReason::taskSwitch, protectedMode, BYTES("\xea\x00\x00\x00\x00\x28\x00"), 0x28 | 2u << 30, 7},
    {ExitReason::cpuid, nothing, BYTES("\x0f\xa2"), 0, 2},
    {ExitReason::hlt, primaryControl(primary::kHltExiting), "\xf4", 0, 1},
    {ExitReason::invd, nothing, BYTES("\x0f\x08"), 0, 2},
    {ExitReason::invlpg, primaryControl(primary::kInvlpgExiting), at(BYTES("\x0f\x01\x3c\x25"), 0x12345), 0x12345, 8},
    {ExitReason::rdpmc, primaryControl(primary::kRdpmcExiting), BYTES("\x0f\x33"), 0, 2},
    {ExitReason::rdtsc, primaryControl(primary::kRdtscExiting), BYTES("\x0f\x31"), 0, 2},
    {ExitReason::vmcall, nothing, BYTES("\x0f\x01\xc1"), 0, 3},
    {ExitReason::vmclear, nothing, at(BYTES("\x66\x0f\xc7\x34\x25"), kPage), kPage, 9},
    {ExitReason::vmlaunch, nothing, VmxGuest::vmlaunch(), 0, 3},
    {ExitReason::vmptrld, nothing, at(BYTES("\x0f\xc7\x34\x25"), kPage), kPage, 8},
    {ExitReason::vmptrst, nothing, at(BYTES("\x0f\xc7\x3c\x25"), kPage), kPage, 8},
    {ExitReason::vmread, nothing, BYTES("\x0f\x78\xc1"), 0, 3},
    {ExitReason::vmresume, nothing, VmxGuest::vmresume(), 0, 3},
    {ExitReason::vmwrite, nothing, BYTES("\x0f\x79\xc1"), 0, 3},
    {ExitReason::vmxoff, nothing, BYTES("\x0f\x01\xc4"), 0, 3},
    {ExitReason::vmxon, nothing, at(BYTES("\xf3\x0f\xc7\x34\x25"), kPage), kPage, 9},
    // mov rbx, cr3
    {ExitReason::controlRegisterAccess, primaryControl(primary::kCr3StoreExiting), BYTES("\x0f\x20\xdb"), 0x313, 3},
    // mov dr6, rcx
    {ExitReason::movDr, primaryControl(primary::kMovDrExiting), BYTES("\x0f\x23\xf1"), 0x106, 3},
    // out 80h, ax
    {ExitReason::ioInstruction, primaryControl(primary::kUnconditionalIoExiting), BYTES("\x66\xe7\x80"),
     0x80u << 16 | 1u << 6 | 1, 3},
    {ExitReason::rdmsr, nothing, BYTES("\x0f\x32"), 0, 2},
    {ExitReason::wrmsr, nothing, BYTES("\x0f\x30"), 0, 2},
    {ExitReason::invalidGuestState, [](VmxGuest& guest) { guest.field(Field::guestRflags, 0); }, "\x90", 0, 0, kFailed},
    {ExitReason::msrLoading,
     [](VmxGuest& guest) {
       guest.put<uint64_t>(kPage, 0xc0000101);  // GS_BASE is not for the list
       guest.field(Field::entryMsrLoadAddress, kPage);
       guest.field(Field::entryMsrLoadCount, 1);
     },
     "\x90", 1, 0, kFailed},
    {ExitReason::mwait, primaryControl(primary::kMwaitExiting), BYTES("\x0f\x01\xc9"), 0, 3},
    {ExitReason::monitorTrapFlag, primaryControl(primary::kMonitorTrapFlag), "\x90", 0, 0},
    {ExitReason::monitor, primaryControl(primary::kMonitorExiting), BYTES("\x0f\x01\xc8"), 0, 3},
    {ExitReason::pause, primaryControl(primary::kPauseExiting), BYTES("\xf3\x90"), 0, 2},
    // xor eax, eax; mov cr8, rax
    {ExitReason::tprBelowThreshold,
     [](VmxGuest& guest) {
       virtualApic(guest, 0);
       guest.put<uint32_t>(kApicPage + 0x80, 0x50);
       guest.field(Field::tprThreshold, 5);
     },
     BYTES("\x31\xc0\x44\x0f\x22\xc0"), 0, 0},
    // mov eax, [kPage + 20h]
    {ExitReason::apicAccess, [](VmxGuest& guest) { virtualApic(guest, secondary::kVirtualizeApicAccesses); },
     at(BYTES("\x8b\x04\x25"), kPage + 0x20), 0x20, 7},
    // mov ecx, 80bh; xor eax, eax; cdq; wrmsr
    {ExitReason::virtualizedEoi,
     [](VmxGuest& guest) {
       virtualApic(guest, secondary::kVirtualizeX2apicMode | secondary::kVirtualInterruptDelivery);
       guest.control(Field::pinBasedControls, pin::kExternalInterruptExiting);
       guest.control(Field::primaryControls, primary::kUseMsrBitmaps);
       guest.field(Field::msrBitmap, VmxGuest::kBitmaps);
       guest.put<uint32_t>(kApicPage + 0x120, 1u << 17);  // 51H is in service
       guest.field(Field::guestInterruptStatus, 0x5100);
       guest.field(Field::eoiExitBitmap1, 1u << 17);
     },
     BYTES("\xb9\x0b\x08\x00\x00\x31\xc0\x99\x0f\x30"), 0x51, 0},
    // sgdt [kPage]
    {ExitReason::gdtrOrIdtrAccess, secondaryControl(secondary::kDescriptorTableExiting),
     at(BYTES("\x0f\x01\x04\x25"), kPage), kPage, 8},
    // str eax
    {ExitReason::ldtrOrTrAccess, secondaryControl(secondary::kDescriptorTableExiting), BYTES("\x0f\x00\xc8"), 0, 3},
    // mov eax, [kPage]: a read of what allows nothing, with a linear address, of what it translates to
    {ExitReason::eptViolation, [](VmxGuest& guest) { underEpt(guest, 0); }, at(BYTES("\x8b\x04\x25"), kPage), 0x181, 0},
    {ExitReason::eptMisconfiguration, [](VmxGuest& guest) { underEpt(guest, kPage | 0x32); },
     at(BYTES("\x8b\x04\x25"), kPage), 0, 0},
    {ExitReason::invept, nothing, at(BYTES("\x66\x0f\x38\x80\x04\x25"), kPage), kPage, 10},
    {ExitReason::rdtscp,
     [](VmxGuest& guest) {
       secondaryControl(secondary::kEnableRdtscp)(guest);
       guest.control(Field::primaryControls, primary::kRdtscExiting);
     },
     BYTES("\x0f\x01\xf9"), 0, 3},
    {ExitReason::preemptionTimer,
     [](VmxGuest& guest) {
       guest.control(Field::pinBasedControls, pin::kPreemptionTimer);
       guest.field(Field::vmxPreemptionTimerValue, 5);
     },
     BYTES("\xeb\xfe"), 0, 0},
    {ExitReason::invvpid, nothing, at(BYTES("\x66\x0f\x38\x81\x04\x25"), kPage), kPage, 10},
    {ExitReason::wbinvd, secondaryControl(secondary::kWbinvdExiting), BYTES("\x0f\x09"), 0, 2},
    {ExitReason::xsetbv, [](VmxGuest& guest) { guest.control(Field::guestCr4, 1u << 18); }, BYTES("\x0f\x01\xd1"), 0,
     3},
    // mov dword [kPage + 300h], 0
    {ExitReason::apicWrite,
     [](VmxGuest& guest) {
       virtualApic(guest, secondary::kVirtualizeApicAccesses | secondary::kApicRegisterVirtualization);
     },
     at(BYTES("\xc7\x04\x25"), kPage + 0x300) + bytesOf(0), 0x300, 0},
    {ExitReason::rdrand, secondaryControl(secondary::kRdrandExiting), BYTES("\x0f\xc7\xf0"), 0, 3},
    {ExitReason::invpcid,
     [](VmxGuest& guest) {
       secondaryControl(secondary::kEnableInvpcid)(guest);
       guest.control(Field::primaryControls, primary::kInvlpgExiting);
     },
     at(BYTES("\x66\x0f\x38\x82\x04\x25"), kDescriptor), kDescriptor, 10},
    // mov eax, 1; vmfunc
    {ExitReason::vmfunc, secondaryControl(secondary::kEnableVmFunctions), BYTES("\xb8\x01\x00\x00\x00\x0f\x01\xd4"), 0,
     3},
    {ExitReason::rdseed, secondaryControl(secondary::kRdseedExiting), BYTES("\x0f\xc7\xf8"), 0, 3},
    {ExitReason::pageModificationLogFull,
     [](VmxGuest& guest) {
       underEpt(guest, kPage | 0x37, 1u << 6);
       guest.control(Field::secondaryControls, secondary::kEnablePml);
       guest.field(Field::pmlAddress, kApicPage);
       guest.field(Field::pmlIndex, 0xffff);
     },
     "\x90", 0, 0},
};

}  // namespace

TEST("each exit reason is made, with its qualification and length") {
  for (const Row& row : kRows) {
    VmxGuest guest;
    std::vector<emulator::CpuidRow> rows = guest.processor->cpuid();
    for (emulator::CpuidRow& cpuid : rows) cpuid.ecx |= cpuid.leaf == 1 ? 1u << 3 : 0;  // MONITOR
    guest.processor->setCpuid(rows);
    row.prepare(guest);
    guest.processor->setLimit(guest.processor->instructionsRetired() + 10000);
    guest.enter(row.code);
    row.then(guest);
    const auto number = static_cast<uint32_t>(row.reason);
    CHECK_EQUAL(guest.inGuest(), false);
    if (!CHECK_EQUAL(guest.reason(), number | row.high)) std::printf("  of row %u\n", number);
    if (!CHECK_EQUAL(guest.field(Field::exitQualification), row.qualification)) std::printf("  of row %u\n", number);
    if (row.length != 0 && !CHECK_EQUAL(guest.field(Field::exitInstructionLength), uint64_t{row.length})) {
      std::printf("  of row %u\n", number);
    }
  }
}
