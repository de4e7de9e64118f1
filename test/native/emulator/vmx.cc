// VMX operation: a host and its guest in one memory (SDM Vol. 3C, chapters 24 to 31).
#include "test/native/emulator/vmx-guest.h"

using namespace vtkit;
using namespace vtkit::test;
using namespace vtkit::emulator::vmx;

namespace {

constexpr uint64_t kCf = 1, kZf = 1 << 6;

}  // namespace

TEST("VMXON, VMCLEAR and VMPTRLD succeed with all arithmetic flags clear") {
  VmxGuest guest;
  CHECK_EQUAL(guest.processor->cpu().vmx.on, true);
  CHECK_EQUAL(guest.processor->cpu().vmx.current, VmxGuest::kVmcs);
  CHECK_EQUAL(guest.regs.rflags & 0x8d5, 0u);
}

TEST("VMXON in root operation is error 15, VMCALL is error 1") {
  VmxGuest guest;
  guest.run(VmxGuest::vmxon());
  CHECK_EQUAL(guest.regs.rflags & 0x8d5, kZf);
  CHECK_EQUAL(guest.field(Field::vmInstructionError), 15u);
  guest.run("\x0f\x01\xc1");
  CHECK_EQUAL(guest.field(Field::vmInstructionError), 1u);
}

TEST("an instruction of VMX without VMXON is an invalid opcode") {
  Guest guest(64);
  guest.run(VmxGuest::vmlaunch());
  CHECK_EQUAL(guest.processor->cpu().shutdown, true);  // #UD, without a vector table
}

TEST("VMREAD gives what VMWRITE wrote, and the upper half of a 64-bit field by its odd encoding") {
  VmxGuest guest;
  guest.regs.rax = 0x2010;  // the TSC offset
  guest.regs.rbx = 0x1122334455667788;
  guest.regs.rdx = 0x2011;
  // vmwrite rax, rbx; vmread rcx, rax; vmread rsi, rdx
  guest.run(BYTES("\x0f\x79\xc3\x0f\x78\xc1\x0f\x78\xd6"));
  CHECK_EQUAL(guest.regs.rcx, 0x1122334455667788u);
  CHECK_EQUAL(guest.regs.rsi, 0x11223344u);
  CHECK_EQUAL(guest.regs.rflags & 0x8d5, 0u);
}

TEST("a field that does not exist is error 12") {
  VmxGuest guest;
  guest.regs.rax = 0x6a00;
  guest.run(BYTES("\x0f\x78\xc1"));
  CHECK_EQUAL(guest.regs.rflags & 0x8d5, kZf);
  CHECK_EQUAL(guest.field(Field::vmInstructionError), 12u);
}

TEST("two VMCSs keep their own contents") {
  VmxGuest guest;
  guest.field(Field::guestRip, 0x1111);
  guest.run(VmxGuest::vmclear(16) + VmxGuest::vmptrld(16));
  guest.field(Field::guestRip, 0x2222);
  guest.run(VmxGuest::vmptrld(8));
  CHECK_EQUAL(guest.field(Field::guestRip), 0x1111u);
  guest.run(VmxGuest::vmclear(8) + VmxGuest::vmptrld(16));
  CHECK_EQUAL(guest.field(Field::guestRip), 0x2222u);
  guest.run(VmxGuest::vmptrld(8));
  CHECK_EQUAL(guest.field(Field::guestRip), 0x1111u);
}

TEST("without a current VMCS an instruction fails with CF") {
  VmxGuest guest;
  guest.run(VmxGuest::vmclear(8));
  guest.run(VmxGuest::vmlaunch());
  CHECK_EQUAL(guest.regs.rflags & 0x8d5, kCf);
}

TEST("VMLAUNCH wants a clear VMCS and VMRESUME a launched one: errors 4 and 5") {
  VmxGuest guest;
  guest.run(VmxGuest::vmresume());
  CHECK_EQUAL(guest.field(Field::vmInstructionError), 5u);
  guest.enter(BYTES("\x0f\x01\xc1"));
  guest.run(VmxGuest::vmlaunch());
  CHECK_EQUAL(guest.field(Field::vmInstructionError), 4u);
}

TEST("a 64-bit guest leaves by VMCALL, CPUID and HLT, and goes on behind each") {
  VmxGuest guest;
  guest.control(Field::primaryControls, primary::kHltExiting);
  // mov eax, 5; vmcall; inc eax; cpuid; inc eax; hlt
  guest.enter(BYTES("\xb8\x05\x00\x00\x00\x0f\x01\xc1\xff\xc0\x0f\xa2\xff\xc0\xf4"));
  CHECK_EQUAL(guest.reason(), number(ExitReason::vmcall));
  CHECK_EQUAL(guest.regs.rip, VmxGuest::kHostExit + 1);
  CHECK_EQUAL(guest.regs.rsp, Guest::kStack);
  CHECK_EQUAL(guest.regs.rax, 5u);
  CHECK_EQUAL(guest.field(Field::guestRip), VmxGuest::kGuestCode + 5);
  CHECK_EQUAL(guest.field(Field::exitInstructionLength), 3u);
  guest.skip();
  CHECK_EQUAL(guest.reason(), number(ExitReason::cpuid));
  CHECK_EQUAL(guest.regs.rax, 6u);
  guest.skip();
  CHECK_EQUAL(guest.reason(), number(ExitReason::hlt));
  CHECK_EQUAL(guest.regs.rax, 7u);
  CHECK_EQUAL(guest.field(Field::guestInterruptibilityState), 0u);
}

TEST("a port leaves as its bitmap says, with size, direction and number") {
  VmxGuest guest;
  guest.control(Field::primaryControls, primary::kUseIoBitmaps);
  guest.field(Field::ioBitmapA, VmxGuest::kBitmaps);
  guest.field(Field::ioBitmapB, VmxGuest::kBitmaps + 0x1000);
  guest.put<uint8_t>(VmxGuest::kBitmaps + 0x80 / 8, 2);  // port 81h
  // out 80h, al; in eax, 80h
  guest.enter(BYTES("\xe6\x80\xe5\x80"));
  CHECK_EQUAL(guest.platform.writes.size(), 1u);
  CHECK_EQUAL(guest.reason(), number(ExitReason::ioInstruction));
  CHECK_EQUAL(guest.field(Field::exitQualification), 0x00800000u | 1u << 6 | 1u << 3 | 3u);
}

TEST("an MSR leaves as its bitmap says") {
  VmxGuest guest;
  guest.control(Field::primaryControls, primary::kUseMsrBitmaps);
  guest.field(Field::msrBitmap, VmxGuest::kBitmaps);
  guest.put<uint8_t>(VmxGuest::kBitmaps + 0x800 + 0x277 / 8, 1u << (0x277 & 7));
  // mov ecx, 277h; rdmsr; wrmsr
  guest.enter(BYTES("\xb9\x77\x02\x00\x00\x0f\x32\x0f\x30"));
  CHECK_EQUAL(guest.reason(), number(ExitReason::wrmsr));
  CHECK_EQUAL(guest.field(Field::guestRip), VmxGuest::kGuestCode + 7);
}

TEST("bits of CR0 that the host owns read as the shadow, and a write that differs leaves") {
  VmxGuest guest;
  guest.field(Field::cr0GuestHostMask, 1u << 3);
  guest.field(Field::cr0ReadShadow, 1u << 3);
  // mov rax, cr0; mov cr0, rax; btr rax, 3; mov cr0, rax
  guest.enter(BYTES("\x0f\x20\xc0\x0f\x22\xc0\x48\x0f\xba\xf0\x03\x0f\x22\xc0"));
  CHECK_EQUAL(guest.reason(), number(ExitReason::controlRegisterAccess));
  CHECK_EQUAL(guest.field(Field::exitQualification), 0u);
  CHECK_EQUAL(guest.field(Field::guestRip), VmxGuest::kGuestCode + 11);
  CHECK_EQUAL(guest.field(Field::guestCr0) & 8, 0u);
}

TEST("an exception of the bitmap leaves with its error code, a page fault with its address and CR2 as it was") {
  VmxGuest guest;
  guest.field(Field::exceptionBitmap, 1u << 14 | 1u << 3);
  guest.enter(BYTES("\x48\x8b\x04\x25\x00\x00\x40\x00"));  // mov rax, [400000h]
  CHECK_EQUAL(guest.reason(), number(ExitReason::exceptionOrNmi));
  CHECK_EQUAL(guest.field(Field::exitInterruptionInformation), 0x80000b0eu);
  CHECK_EQUAL(guest.field(Field::exitInterruptionErrorCode), 0u);
  CHECK_EQUAL(guest.field(Field::exitQualification), 0x400000u);
  CHECK_EQUAL(guest.processor->cpu().cr2, 0u);
  CHECK_EQUAL(guest.field(Field::guestRflags) >> 16 & 1, 1u);
  guest.field(Field::guestRflags, 2);
  guest.enter("\xcc");
  CHECK_EQUAL(guest.field(Field::exitInterruptionInformation), 0x80000603u);
  CHECK_EQUAL(guest.field(Field::exitInstructionLength), 1u);
}

TEST("an exception on the way of another leaves with the first as IDT-vectoring information") {
  VmxGuest guest;
  guest.field(Field::exceptionBitmap, 1u << 13);
  guest.field(Field::guestIdtrLimit, 0);
  guest.enter(BYTES("\x0f\x0b"));  // #UD, whose gate is out of reach: #GP
  CHECK_EQUAL(guest.field(Field::exitInterruptionInformation), 0x80000b0du);
  CHECK_EQUAL(guest.field(Field::exitInterruptionErrorCode), 6u * 8 + 3);
  CHECK_EQUAL(guest.field(Field::idtVectoringInformation), 0x80000306u);
  guest.field(Field::exceptionBitmap, 0);
  guest.enter(BYTES("\x0f\x0b"));
  CHECK_EQUAL(guest.reason(), number(ExitReason::tripleFault));
  CHECK_EQUAL(guest.field(Field::idtVectoringInformation), 0u);
}

TEST("an event is injected before the first instruction") {
  VmxGuest guest;
  guest.write(VmxGuest::kHandler, BYTES("\x0f\x01\xc1"));
  guest.field(Field::entryInterruptionInformation, 0x80000b0d);
  guest.field(Field::entryExceptionErrorCode, 0x58);
  guest.enter("\x90");
  CHECK_EQUAL(guest.reason(), number(ExitReason::vmcall));
  CHECK_EQUAL(guest.field(Field::guestRip), VmxGuest::kHandler);
  CHECK_EQUAL(guest.get<uint64_t>(guest.field(Field::guestRsp)), 0x58u);
  CHECK_EQUAL(guest.get<uint64_t>(guest.field(Field::guestRsp) + 8), VmxGuest::kGuestCode);
  CHECK_EQUAL(guest.field(Field::entryInterruptionInformation) >> 31, 0u);
}

TEST("an interrupt from outside leaves, and stays where it waits unless the exit acknowledges it") {
  VmxGuest guest;
  guest.control(Field::pinBasedControls, pin::kExternalInterruptExiting);
  guest.field(Field::exitControls, guest.field(Field::exitControls) & ~uint64_t{onExit::kAcknowledgeInterrupt});
  guest.processor->interrupt(0x55);
  guest.enter("\x90");
  CHECK_EQUAL(guest.reason(), number(ExitReason::externalInterrupt));
  CHECK_EQUAL(guest.field(Field::exitInterruptionInformation), 0u);
  guest.control(Field::exitControls, onExit::kAcknowledgeInterrupt);
  guest.again();
  CHECK_EQUAL(guest.field(Field::exitInterruptionInformation), 0x80000055u);
  guest.enter(BYTES("\x0f\x01\xc1"));
  CHECK_EQUAL(guest.reason(), number(ExitReason::vmcall));
}

TEST("an interrupt window opens behind the instruction behind STI") {
  VmxGuest guest;
  guest.control(Field::primaryControls, primary::kInterruptWindowExiting);
  guest.enter(BYTES("\x90\xfb\x90\x90"));
  CHECK_EQUAL(guest.reason(), number(ExitReason::interruptWindow));
  CHECK_EQUAL(guest.field(Field::guestRip), VmxGuest::kGuestCode + 3);
}

TEST("an NMI leaves, and is blocked in the host from then on") {
  VmxGuest guest;
  guest.control(Field::pinBasedControls, pin::kNmiExiting);
  guest.processor->nmi();
  guest.processor->cpu().nmiMasked = true;  // not to be taken by the host
  guest.field(Field::guestInterruptibilityState, 0);
  guest.enter("\x90");
  CHECK_EQUAL(guest.reason(), number(ExitReason::exceptionOrNmi));
  CHECK_EQUAL(guest.field(Field::exitInterruptionInformation), 0x80000202u);
  CHECK_EQUAL(guest.processor->cpu().nmiMasked, true);
}

TEST("the monitor trap flag leaves behind each instruction") {
  VmxGuest guest;
  guest.control(Field::primaryControls, primary::kMonitorTrapFlag);
  guest.enter(BYTES("\x90\x48\x89\xc8\x90"));
  CHECK_EQUAL(guest.reason(), number(ExitReason::monitorTrapFlag));
  CHECK_EQUAL(guest.field(Field::guestRip), VmxGuest::kGuestCode + 1);
  guest.again();
  CHECK_EQUAL(guest.field(Field::guestRip), VmxGuest::kGuestCode + 4);
}

TEST("the preemption timer ends a loop, at once where it is 0") {
  VmxGuest guest;
  guest.control(Field::pinBasedControls, pin::kPreemptionTimer);
  guest.control(Field::exitControls, onExit::kSavePreemptionTimer);
  guest.enter(BYTES("\xeb\xfe"));
  CHECK_EQUAL(guest.reason(), number(ExitReason::preemptionTimer));
  CHECK_EQUAL(guest.field(Field::guestRip), VmxGuest::kGuestCode);
  guest.field(Field::vmxPreemptionTimerValue, 10);
  guest.again();
  CHECK_EQUAL(guest.reason(), number(ExitReason::preemptionTimer));
  CHECK_EQUAL(guest.field(Field::vmxPreemptionTimerValue), 0u);
}

TEST("the guest's time stamp counter is offset") {
  VmxGuest guest;
  guest.control(Field::primaryControls, primary::kUseTscOffsetting);
  guest.field(Field::tscOffset, uint64_t{1} << 40);
  guest.enter(BYTES("\x0f\x31\x0f\x01\xc1"));
  CHECK_EQUAL(guest.reason(), number(ExitReason::vmcall));
  CHECK_EQUAL(guest.regs.rdx, 1u << 8);
}

TEST("MSR lists are stored and loaded, and an entry that WRMSR would refuse fails the VM entry by its number") {
  VmxGuest guest;
  constexpr uint64_t kList = 0x26000;
  guest.put<uint64_t>(kList, 0xc0000102);
  guest.put<uint64_t>(kList + 8, 0x1234);
  guest.put<uint64_t>(kList + 16, 0xc0000101);
  guest.field(Field::entryMsrLoadAddress, kList);
  guest.field(Field::entryMsrLoadCount, 1);
  guest.put<uint64_t>(kList + 0x100, 0xc0000102);
  guest.field(Field::exitMsrStoreAddress, kList + 0x100);
  guest.field(Field::exitMsrStoreCount, 1);
  guest.enter(BYTES("\x0f\x01\xc1"));
  CHECK_EQUAL(guest.reason(), number(ExitReason::vmcall));
  CHECK_EQUAL(guest.get<uint64_t>(kList + 0x108), 0x1234u);
  guest.field(Field::entryMsrLoadCount, 2);
  guest.again();
  CHECK_EQUAL(guest.reason(), number(ExitReason::msrLoading) | 1u << 31);
  CHECK_EQUAL(guest.field(Field::exitQualification), 2u);
}

TEST("INVVPID with a linear address that is not canonical is error 28") {
  VmxGuest guest;
  guest.put<uint64_t>(0x26000, 1);
  guest.put<uint64_t>(0x26008, uint64_t{1} << 60);
  guest.run(BYTES("\x66\x0f\x38\x81\x04\x25") + bytesOf(0x26000));  // invvpid rax, [26000h]
  CHECK_EQUAL(guest.field(Field::vmInstructionError), 28u);
}

TEST("with the TPR shadow the guest moves its task priority without exits, until it falls below the threshold") {
  VmxGuest guest;
  constexpr uint64_t kPage = 0x30000;
  guest.control(Field::primaryControls, emulator::vmx::primary::kUseTprShadow | emulator::vmx::primary::kHltExiting);
  guest.field(Field::virtualApicAddress, kPage);
  guest.put<uint32_t>(kPage + 0x80, 0x50);
  guest.field(Field::tprThreshold, 3);
  // mov rax, cr8; mov rbx, rax; mov eax, 9; mov cr8, rax; mov eax, 2; mov cr8, rax; hlt
  guest.enter(BYTES(
      "\x44\x0f\x20\xc0\x48\x89\xc3\xb8\x09\x00\x00\x00\x44\x0f\x22\xc0\xb8\x02\x00\x00\x00\x44\x0f\x22\xc0\xf4"));
  CHECK_EQUAL(guest.basicReason(), static_cast<uint64_t>(ExitReason::tprBelowThreshold));
  CHECK_EQUAL(guest.regs.rbx, 5u);
  CHECK_EQUAL(guest.get<uint32_t>(kPage + 0x80), 0x20u);
  CHECK_EQUAL(guest.field(Field::guestRip), VmxGuest::kGuestCode + 25);
  CHECK_EQUAL(guest.processor->cpu().apic->cr8(), 0u);
  guest.field(Field::tprThreshold, 0);  // an entry with a threshold above the priority is refused
  guest.again();
  CHECK_EQUAL(guest.basicReason(), static_cast<uint64_t>(ExitReason::hlt));
}

TEST("INT1 that exits leaves DR6 alone, and tells as qualification what MOV SS held back") {
  VmxGuest guest;
  guest.field(Field::exceptionBitmap, 1u << 1);
  guest.processor->cpu().dr[0] = VmxGuest::kData;
  guest.field(Field::guestDr7, 0x30403);  // reads and writes of a byte at DR0
  guest.control(Field::entryControls, emulator::vmx::onEntry::kLoadDebugControls);
  const uint64_t dr6 = guest.processor->cpu().dr6;
  guest.enter("\xf1");
  CHECK_EQUAL(guest.basicReason(), 0u);
  CHECK_EQUAL(guest.field(Field::exitInterruptionInformation), 0x80000501u);
  CHECK_EQUAL(guest.field(Field::exitQualification), 0u);
  CHECK_EQUAL(guest.processor->cpu().dr6, dr6);
  // mov ss, [kData]; int1
  guest.put<uint16_t>(VmxGuest::kData, 16);
  guest.enter(BYTES("\x8e\x14\x25") + bytesOf(VmxGuest::kData) + "\xf1");
  CHECK_EQUAL(guest.field(Field::exitInterruptionInformation), 0x80000501u);
  CHECK_EQUAL(guest.field(Field::exitQualification), 1u);
  CHECK_EQUAL(guest.processor->cpu().dr6, dr6);
}
