// VM entry refuses what breaks one of its checks, with the number or the exit that the manual gives (SDM Vol.
// 3C, 27.2, 27.3).
#include "test/native/emulator/vmx-guest.h"

#include <functional>

using namespace vtkit;
using namespace vtkit::test;
namespace vmx = vtkit::emulator::vmx;

namespace {

using Break = std::function<void(VmxGuest&)>;
struct Row {
  const char* what;
  Break breaks;
};

Break set(Field field, uint64_t value) {
  return [=](VmxGuest& guest) { guest.field(field, value); };
}
Break add(Field field, uint64_t bits) {
  return [=](VmxGuest& guest) { guest.field(field, guest.field(field) | bits); };
}
Break take(Field field, uint64_t bits) {
  return [=](VmxGuest& guest) { guest.field(field, guest.field(field) & ~bits); };
}
Break both(const Break& first, const Break& second) {
  return [=](VmxGuest& guest) {
    first(guest);
    second(guest);
  };
}
Break activate(uint32_t bits) {
  return both(add(Field::primaryControls, vmx::primary::kActivateSecondaryControls),
              add(Field::secondaryControls, bits));
}
Break all(const std::vector<Break>& parts) {
  return [=](VmxGuest& guest) {
    for (const Break& part : parts) part(guest);
  };
}
Break inject(uint64_t information) { return set(Field::entryInterruptionInformation, information | 1u << 31); }

constexpr uint64_t kWide = uint64_t{1} << 51, kCrooked = 0xaaaaaaaaaaaaaaaa;

/** What VMLAUNCH leaves: 0 entered, the error number, or the exit reason with its qualification. */
uint64_t outcome(VmxGuest& guest) {
  guest.field(Field::vmInstructionError, 0);
  guest.field(Field::exitReason, 0);
  guest.write(VmxGuest::kHandler, "\xf4");
  guest.processor->setLimit(guest.processor->instructionsRetired() + 1000);
  guest.again();
  const uint64_t reason = guest.reason();
  if (reason >> 31 != 0) return reason | guest.field(Field::exitQualification) << 32;
  return guest.field(Field::vmInstructionError);
}

void hold(const std::vector<Row>& rows, uint64_t expected, unsigned bits = 64) {
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
constexpr uint64_t kGuestState = 33 | 1u << 31, kPage = 0x40000, kBetween = 0x40008;

Break tprShadow(uint32_t bits = 0) {
  return all({activate(bits), add(Field::primaryControls, vmx::primary::kUseTprShadow),
              set(Field::virtualApicAddress, kPage), set(Field::apicAccessAddress, kPage)});
}
/** EPT with a pointer that is right, of tables that nothing walks. */
Break ept(uint32_t bits = 0) {
  return both(activate(vmx::secondary::kEnableEpt | bits), set(Field::eptPointer, 0x3001e));
}
Break delivery() { return both(tprShadow(vmx::secondary::kVirtualInterruptDelivery), add(Field::pinBasedControls, 1)); }
Break posted() {
  return all({delivery(), add(Field::pinBasedControls, vmx::pin::kPostedInterrupts),
              add(Field::exitControls, vmx::onExit::kAcknowledgeInterrupt),
              set(Field::postedInterruptDescriptorAddress, kPage)});
}

}  // namespace

TEST("a VMCS that breaks nothing is entered") {
  hold({{"as it is", [](VmxGuest&) {}},
        {"VPID", both(activate(vmx::secondary::kEnableVpid), set(Field::virtualProcessorIdentifier, 1))},
        {"an injected breakpoint", both(inject(6u << 8 | 3), set(Field::entryInstructionLength, 1))},
        {"an external interrupt", both(inject(0x40), add(Field::guestRflags, 0x200))},
        {"#GP with its error code", inject(3u << 8 | 1u << 11 | 13)},
        {"MTF", inject(7u << 8)},
        {"an unusable LDTR, whatever else it says", add(Field::guestLdtrAccessRights, 0xfff)},
        {"the host's PAT",
         both(add(Field::exitControls, vmx::onExit::kLoadPat), set(Field::hostPat, 0x0007040600070406))}},
       0);
}

TEST("what no control asks for is not looked at") {
  std::vector<Break> parts;
  for (const Field field : {Field::ioBitmapA,
                            Field::ioBitmapB,
                            Field::msrBitmap,
                            Field::virtualApicAddress,
                            Field::apicAccessAddress,
                            Field::pmlAddress,
                            Field::eptPointer,
                            Field::postedInterruptDescriptorAddress,
                            Field::vmreadBitmap,
                            Field::vmwriteBitmap,
                            Field::virtualizationExceptionAddress,
                            Field::eptpListAddress,
                            Field::tprThreshold,
                            Field::postedInterruptNotificationVector,
                            Field::vmFunctionControls,
                            Field::exitMsrLoadAddress,
                            Field::exitMsrStoreAddress,
                            Field::entryMsrLoadAddress,
                            Field::hostPat,
                            Field::hostEfer,
                            Field::guestPat,
                            Field::guestEfer,
                            Field::entryExceptionErrorCode,
                            Field::entryInstructionLength}) {
    parts.push_back(set(field, kWide | 0x1001));
  }
  parts.push_back(set(Field::guestDr7, uint64_t{1} << 32));
  parts.push_back(set(Field::guestDebugctl, 1u << 5));
  parts.push_back(take(Field::entryControls, vmx::onEntry::kLoadDebugControls));
  hold({{"everything", all(parts)},
        {"everything, with secondary controls", both(all(parts), activate(vmx::secondary::kRdrandExiting))},
        {"secondary controls that are not active", set(Field::secondaryControls, ~uint64_t{0})},
        {"the length of an event that is no software's",
         both(inject(3u << 8 | 6), set(Field::entryInstructionLength, 16))},
        {"the error code of an event without one",
         both(inject(3u << 8 | 6), set(Field::entryExceptionErrorCode, 0x10000))},
        {"an event that is not valid", set(Field::entryInterruptionInformation, 0x7fffffff)},
        {"a threshold with virtual-interrupt delivery", both(delivery(), set(Field::tprThreshold, 0x1f))},
        {"a threshold above the priority with virtualized accesses",
         both(tprShadow(vmx::secondary::kVirtualizeApicAccesses), set(Field::tprThreshold, 1))}},
       0);
}

TEST("controls that need something and have it are entered") {
  using namespace vmx;
  hold({{"bitmaps", all({add(Field::primaryControls, primary::kUseIoBitmaps | primary::kUseMsrBitmaps),
                         set(Field::ioBitmapA, kPage), set(Field::ioBitmapB, kPage), set(Field::msrBitmap, kPage)})},
        {"virtual NMIs and their window", both(add(Field::pinBasedControls, pin::kNmiExiting | pin::kVirtualNmis),
                                               add(Field::primaryControls, primary::kNmiWindowExiting))},
        {"the TPR shadow", tprShadow()},
        {"a threshold of the priority", both(tprShadow(),
                                             [](VmxGuest& guest) {
                                               guest.put<uint32_t>(kPage + 0x80, 0x50);
                                               guest.field(Field::tprThreshold, 5);
                                             })},
        {"x2APIC mode with APIC registers",
         tprShadow(secondary::kVirtualizeX2apicMode | secondary::kApicRegisterVirtualization)},
        {"virtual-interrupt delivery", delivery()},
        {"posted interrupts", posted()},
        {"VMCS shadowing",
         all({activate(secondary::kVmcsShadowing), set(Field::vmreadBitmap, kPage), set(Field::vmwriteBitmap, kPage)})},
        {"VM functions", activate(secondary::kEnableVmFunctions)},
        {"a preemption timer that is saved",
         all({add(Field::pinBasedControls, pin::kPreemptionTimer),
              add(Field::exitControls, onExit::kSavePreemptionTimer), set(Field::vmxPreemptionTimerValue, 1000)})},
        {"#GP with its error code", inject(3u << 8 | 1u << 11 | 13)},
        {"a software interrupt", both(inject(4u << 8 | 0x80), set(Field::entryInstructionLength, 2))},
        {"INT1", both(inject(5u << 8 | 1), set(Field::entryInstructionLength, 1))}},
       0);
}

TEST("controls that need what they do not have fail with error 7") {
  using namespace vmx;
  hold(
      {{"x2APIC mode without the TPR shadow", activate(secondary::kVirtualizeX2apicMode)},
       {"APIC registers without the TPR shadow", activate(secondary::kApicRegisterVirtualization)},
       {"virtual-interrupt delivery without the TPR shadow",
        both(activate(secondary::kVirtualInterruptDelivery), add(Field::pinBasedControls, 1))},
       {"virtual-interrupt delivery without exits of interrupts",
        both(delivery(), take(Field::pinBasedControls, pin::kExternalInterruptExiting))},
       {"a virtual-APIC page between pages", both(tprShadow(), set(Field::virtualApicAddress, kBetween))},
       {"a threshold above 15", both(tprShadow(secondary::kVirtualizeApicAccesses), set(Field::tprThreshold, 0x10))},
       {"a threshold above the priority", both(tprShadow(), set(Field::tprThreshold, 1))},
       {"an APIC-access page between pages",
        both(tprShadow(secondary::kVirtualizeApicAccesses), set(Field::apicAccessAddress, kBetween))},
       {"both kinds of APIC", tprShadow(secondary::kVirtualizeApicAccesses | secondary::kVirtualizeX2apicMode)},
       {"posted interrupts without delivery", both(add(Field::pinBasedControls, pin::kPostedInterrupts | 1),
                                                   both(add(Field::exitControls, onExit::kAcknowledgeInterrupt),
                                                        set(Field::postedInterruptDescriptorAddress, kPage)))},
       {"posted interrupts without acknowledgement",
        both(posted(), take(Field::exitControls, onExit::kAcknowledgeInterrupt))},
       {"a notification vector above 255", both(posted(), set(Field::postedInterruptNotificationVector, 256))},
       {"a descriptor that is not aligned", both(posted(), set(Field::postedInterruptDescriptorAddress, 0x40020))},
       {"a descriptor beyond physical memory", both(posted(), set(Field::postedInterruptDescriptorAddress, kWide))},
       {"a log of pages without EPT", both(activate(secondary::kEnablePml), set(Field::pmlAddress, kPage))},
       {"mode-based execute without EPT", activate(secondary::kModeBasedExecute)},
       {"a log between pages", both(ept(secondary::kEnablePml), set(Field::pmlAddress, kBetween))},
       {"a #VE page between pages",
        both(ept(secondary::kEptViolationVe), set(Field::virtualizationExceptionAddress, kBetween))},
       {"a VM function that does not exist",
        both(ept(secondary::kEnableVmFunctions), set(Field::vmFunctionControls, 2))},
       {"EPTP switching without EPT", both(activate(secondary::kEnableVmFunctions), set(Field::vmFunctionControls, 1))},
       {"a list of EPT pointers between pages",
        both(ept(secondary::kEnableVmFunctions),
             both(set(Field::vmFunctionControls, 1), set(Field::eptpListAddress, kBetween)))},
       {"a store list beyond physical memory",
        both(set(Field::exitMsrStoreCount, 1), set(Field::exitMsrStoreAddress, kWide))},
       {"a load list that is not aligned",
        both(set(Field::exitMsrLoadCount, 1), set(Field::exitMsrLoadAddress, 0x40001))},
       {"INT1 of 16 bytes", both(inject(5u << 8 | 1), set(Field::entryInstructionLength, 16))},
       {"INT3 of 16 bytes", both(inject(6u << 8 | 3), set(Field::entryInstructionLength, 16))},
       {"an error code of a guest in real mode",
        all({ept(secondary::kUnrestrictedGuest), take(Field::guestCr0, 0x80000001), inject(3u << 8 | 1u << 11 | 13)})}},
      7);
}

TEST("controls that are not allowed fail with error 7") {
  hold(
      {{"pin-based: a bit that has to be 1", take(Field::pinBasedControls, 2)},
       {"pin-based: a reserved bit", add(Field::pinBasedControls, 1u << 8)},
       {"primary: a reserved bit", add(Field::primaryControls, 1)},
       {"primary: a bit that has to be 1", take(Field::primaryControls, 2)},
       {"secondary: a reserved bit", activate(1u << 31)},
       {"exit: a bit that has to be 1", take(Field::exitControls, 1)},
       {"exit: a reserved bit", add(Field::exitControls, 1u << 30)},
       {"entry: a bit that has to be 1", take(Field::entryControls, 1)},
       {"entry: into SMM", add(Field::entryControls, 1u << 10)},
       {"five CR3 targets", set(Field::cr3TargetCount, 5)},
       {"an I/O bitmap between pages", both(add(Field::primaryControls, 1u << 25), set(Field::ioBitmapA, 0x24001))},
       {"an I/O bitmap beyond physical memory",
        both(add(Field::primaryControls, 1u << 25), set(Field::ioBitmapB, kWide))},
       {"an MSR bitmap between pages", both(add(Field::primaryControls, 1u << 28), set(Field::msrBitmap, 0x800))},
       {"virtual NMIs without NMI exiting", add(Field::pinBasedControls, 1u << 5)},
       {"an NMI window without virtual NMIs", add(Field::primaryControls, 1u << 22)},
       {"VPID 0", activate(vmx::secondary::kEnableVpid)},
       {"unrestricted guest without EPT", activate(vmx::secondary::kUnrestrictedGuest)},
       {"an EPT pointer of three levels", both(activate(vmx::secondary::kEnableEpt), set(Field::eptPointer, 0x30016))},
       {"an EPT pointer of a reserved memory type",
        both(activate(vmx::secondary::kEnableEpt), set(Field::eptPointer, 0x3001a))},
       {"reserved bits of the EPT pointer",
        both(activate(vmx::secondary::kEnableEpt), set(Field::eptPointer, 0x3009e))},
       {"a TSC multiplier of 0", activate(vmx::secondary::kUseTscScaling)},
       {"a VMREAD bitmap between pages", both(activate(vmx::secondary::kVmcsShadowing), set(Field::vmreadBitmap, 8))},
       {"a VMWRITE bitmap between pages", both(activate(vmx::secondary::kVmcsShadowing), set(Field::vmwriteBitmap, 8))},
       {"a timer that is saved but not active", add(Field::exitControls, vmx::onExit::kSavePreemptionTimer)},
       {"a list that is not aligned", both(set(Field::exitMsrStoreCount, 1), set(Field::exitMsrStoreAddress, 8))},
       {"a list that ends beyond physical memory",
        both(set(Field::exitMsrLoadCount, 2), set(Field::exitMsrLoadAddress, (uint64_t{1} << 46) - 16))},
       {"an entry list that is not aligned",
        both(set(Field::entryMsrLoadCount, 1), set(Field::entryMsrLoadAddress, 1))},
       {"an event of type 1", inject(1u << 8 | 0x40)},
       {"an NMI with another vector", inject(2u << 8 | 3)},
       {"an exception above 31", inject(3u << 8 | 32)},
       {"another event than MTF", inject(7u << 8 | 1)},
       {"an error code that #UD does not have", inject(3u << 8 | 1u << 11 | 6)},
       {"#PF without its error code", inject(3u << 8 | 14)},
       {"an error code of an interrupt", inject(1u << 11 | 0x40)},
       {"reserved bits of the event", inject(1u << 12 | 3u << 8 | 6)},
       {"an error code of more than 16 bits",
        both(inject(3u << 8 | 1u << 11 | 13), set(Field::entryExceptionErrorCode, 0x10000))},
       {"an instruction of 16 bytes", both(inject(4u << 8 | 0x80), set(Field::entryInstructionLength, 16))}},
      7);
}

TEST("a host that could not be returned to fails with error 8") {
  hold({{"CR0.PE", take(Field::hostCr0, 1)},
        {"CR0.NE", take(Field::hostCr0, 0x20)},
        {"CR0 above 32 bits", add(Field::hostCr0, uint64_t{1} << 32)},
        {"CR4.VMXE", take(Field::hostCr4, 1u << 13)},
        {"a bit that CR4 does not have", add(Field::hostCr4, 1u << 31)},
        {"CR3 beyond physical memory", add(Field::hostCr3, kWide)},
        {"SYSENTER_ESP", set(Field::hostSysenterEsp, kCrooked)},
        {"SYSENTER_EIP", set(Field::hostSysenterEip, kCrooked)},
        {"PAT", both(add(Field::exitControls, vmx::onExit::kLoadPat), set(Field::hostPat, 2))},
        {"EFER: a reserved bit", both(add(Field::exitControls, vmx::onExit::kLoadEfer), set(Field::hostEfer, 0x502))},
        {"EFER without LMA", both(add(Field::exitControls, vmx::onExit::kLoadEfer), set(Field::hostEfer, 0x100))},
        {"ES.RPL", add(Field::hostEsSelector, 1)},
        {"SS.TI", add(Field::hostSsSelector, 4)},
        {"TR.RPL", add(Field::hostTrSelector, 3)},
        {"CS of 0", set(Field::hostCsSelector, 0)},
        {"TR of 0", set(Field::hostTrSelector, 0)},
        {"FS base", set(Field::hostFsBase, kCrooked)},
        {"GS base", set(Field::hostGsBase, kCrooked)},
        {"GDTR base", set(Field::hostGdtrBase, kCrooked)},
        {"IDTR base", set(Field::hostIdtrBase, kCrooked)},
        {"TR base", set(Field::hostTrBase, kCrooked)},
        {"a 32-bit host of a 64-bit processor", both(take(Field::exitControls, vmx::onExit::kHostAddressSpaceSize),
                                                     take(Field::entryControls, vmx::onEntry::kIa32eModeGuest))},
        {"a 64-bit host without PAE", take(Field::hostCr4, 0x20)},
        {"RIP", set(Field::hostRip, kCrooked)}},
       8);
}

TEST("a host of 32 bits is held to its own") {
  hold({{"as it is", [](VmxGuest&) {}},
        {"CR4 without PAE", take(Field::hostCr4, 0x20)},
        {"a base above 32 bits", set(Field::hostFsBase, uint64_t{1} << 32)}},
       0, 32);
  hold({{"a 64-bit guest", add(Field::entryControls, vmx::onEntry::kIa32eModeGuest)},
        {"a 64-bit host", add(Field::exitControls, vmx::onExit::kHostAddressSpaceSize)},
        {"PCIDE", add(Field::hostCr4, 1u << 17)},
        {"RIP above 32 bits", add(Field::hostRip, uint64_t{1} << 32)},
        {"SS of 0", set(Field::hostSsSelector, 0)}},
       8, 32);
}

TEST("the host's EFER has both bits of its address space, or none") {
  const Break loads = add(Field::exitControls, vmx::onExit::kLoadEfer);
  hold({{"both", both(loads, set(Field::hostEfer, 0x500))}, {"SS of 0 in 64 bits", set(Field::hostSsSelector, 0)}}, 0);
  hold({{"LMA only", both(loads, set(Field::hostEfer, 0x400))}, {"LME only", both(loads, set(Field::hostEfer, 0x100))}},
       8);
  hold({{"none", both(loads, set(Field::hostEfer, 0))}}, 0, 32);
  hold({{"LMA", both(loads, set(Field::hostEfer, 0x400))}, {"LME", both(loads, set(Field::hostEfer, 0x100))}}, 8, 32);
}

TEST("the four entries that PAE paging keeps have a qualification of their own") {
  const Break pae = add(Field::guestCr4, 0x20);
  const auto entry = [](unsigned number, uint64_t value) {
    return [=](VmxGuest& guest) {
      guest.field(Field::guestCr3, kPage);
      for (unsigned i = 0; i < 4; i++) guest.put<uint64_t>(kPage + 8 * i, 0);
      guest.put<uint64_t>(kPage + 8 * number, value);
    };
  };
  // Nothing is mapped: the guest ends by a page fault, and a triple fault for want of a mapped table.
  hold({{"none present, in memory", both(pae, entry(0, 0))}}, 0, 32);
  hold({{"the first", both(pae, entry(0, 3))},
        {"the last", both(pae, entry(3, 0x1e7))},
        {"beyond physical memory", both(pae, entry(1, kWide | 1))}},
       kGuestState | uint64_t{2} << 32, 32);
  hold({{"under EPT the first", all({ept(), pae, set(Field::guestPdpte0, 3)})},
        {"under EPT the last", all({ept(), pae, set(Field::guestPdpte3, 3)})}},
       kGuestState | uint64_t{2} << 32, 32);
}

TEST("guest state that no processor could be in ends as a failed entry, reason 33") {
  const auto rights = [](unsigned seg) {
    return static_cast<Field>(static_cast<uint32_t>(Field::guestEsAccessRights) + 2 * seg);
  };
  hold({{"CR0.PE without unrestricted guest", take(Field::guestCr0, 1)},
        {"CR0.PG without unrestricted guest", take(Field::guestCr0, 0x80000000)},
        {"CR4.VMXE", take(Field::guestCr4, 1u << 13)},
        {"a bit that CR4 does not have", add(Field::guestCr4, 1u << 31)},
        {"IA-32e mode without PAE", take(Field::guestCr4, 0x20)},
        {"PCIDE outside IA-32e mode",
         both(take(Field::entryControls, vmx::onEntry::kIa32eModeGuest), add(Field::guestCr4, 1u << 17))},
        {"CR3 beyond physical memory", add(Field::guestCr3, kWide)},
        {"DR7 above 32 bits", add(Field::guestDr7, uint64_t{1} << 32)},
        {"DEBUGCTL", set(Field::guestDebugctl, 1u << 5)},
        {"SYSENTER_ESP", set(Field::guestSysenterEsp, kCrooked)},
        {"SYSENTER_EIP", set(Field::guestSysenterEip, kCrooked)},
        {"PAT", both(add(Field::entryControls, vmx::onEntry::kLoadPat), set(Field::guestPat, 3))},
        {"EFER.LMA against the control",
         both(add(Field::entryControls, vmx::onEntry::kLoadEfer), set(Field::guestEfer, 0))},
        {"TR.TI", add(Field::guestTrSelector, 4)},
        {"SS.RPL against CS.RPL", add(Field::guestSsSelector, 1)},
        {"TR base", set(Field::guestTrBase, kCrooked)},
        {"FS base", set(Field::guestFsBase, kCrooked)},
        {"GS base", set(Field::guestGsBase, kCrooked)},
        {"CS base above 32 bits", set(Field::guestCsBase, uint64_t{1} << 32)},
        {"DS base above 32 bits", set(Field::guestDsBase, uint64_t{1} << 32)},
        {"CS of a data segment", set(rights(1), 0xa093)},
        {"CS that is not accessed", set(rights(1), 0xa09a)},
        {"CS of the system", set(rights(1), 0xa08b)},
        {"CS that is absent", set(rights(1), 0xa01b)},
        {"CS of both sizes", set(rights(1), 0xe09b)},
        {"CS.DPL against SS.DPL", set(rights(1), 0xa0fb)},
        {"reserved bits of CS", add(rights(1), 1u << 17)},
        {"granularity of CS", set(Field::guestCsLimit, 0xffff0fff - 0xfff)},
        {"SS that cannot be written", set(rights(2), 0xc091)},
        {"SS.DPL against its RPL", set(rights(2), 0xc0f3)},
        {"DS that is not accessed", set(rights(3), 0xc092)},
        {"ES that is absent", set(rights(0), 0xc013)},
        {"FS of code that cannot be read", set(rights(4), 0xc099)},
        {"TR that is not busy", set(rights(7), 0x89)},
        {"TR that is unusable", add(rights(7), 1u << 16)},
        {"TR that is absent", set(rights(7), 0x0b)},
        {"LDTR of another type", set(rights(6), 0x83)},
        {"GDTR limit", set(Field::guestGdtrLimit, 0x10000)},
        {"IDTR limit", set(Field::guestIdtrLimit, 0x10000)},
        {"GDTR base", set(Field::guestGdtrBase, kCrooked)},
        {"RFLAGS bit 1", take(Field::guestRflags, 2)},
        {"RFLAGS bit 3", add(Field::guestRflags, 8)},
        {"RFLAGS above 21", add(Field::guestRflags, 1u << 22)},
        {"VM in IA-32e mode", add(Field::guestRflags, 1u << 17)},
        {"an interrupt while IF is 0", inject(0x40)},
        {"an unknown activity", set(Field::guestActivityState, 4)},
        {"an exception into HLT", both(inject(3u << 8 | 6), set(Field::guestActivityState, 1))},
        {"an interrupt into shutdown",
         both(both(inject(0x40), add(Field::guestRflags, 0x200)), set(Field::guestActivityState, 2))},
        {"an NMI into wait-for-SIPI", both(inject(2u << 8 | 2), set(Field::guestActivityState, 3))},
        {"blocking by STI in HLT", both(both(set(Field::guestInterruptibilityState, 1), add(Field::guestRflags, 0x200)),
                                        set(Field::guestActivityState, 1))},
        {"blocking by STI and MOV SS", both(set(Field::guestInterruptibilityState, 3), add(Field::guestRflags, 0x200))},
        {"blocking by STI while IF is 0", set(Field::guestInterruptibilityState, 1)},
        {"blocking by SMI", set(Field::guestInterruptibilityState, 4)},
        {"reserved interruptibility", set(Field::guestInterruptibilityState, 1u << 5)},
        {"reserved pending exceptions", set(Field::guestPendingDebugExceptions, 1u << 4)},
        {"blocking by MOV SS and TF without a single step",
         both(set(Field::guestInterruptibilityState, 2), add(Field::guestRflags, 0x100))},
        {"a single step without TF",
         both(set(Field::guestInterruptibilityState, 2), set(Field::guestPendingDebugExceptions, 1u << 14))}},
       kGuestState);
}

TEST("an NMI into blocking by MOV SS, and a bad link pointer, have qualifications of their own") {
  hold({{"NMI", both(inject(2u << 8 | 2), set(Field::guestInterruptibilityState, 2))}},
       kGuestState | uint64_t{3} << 32);
  hold({{"between pages", set(Field::vmcsLinkPointer, 8)},
        {"beyond physical memory", set(Field::vmcsLinkPointer, kWide)},
        {"no VMCS", set(Field::vmcsLinkPointer, 0x30000)},
        {"the current VMCS", set(Field::vmcsLinkPointer, VmxGuest::kVmcs)}},
       kGuestState | uint64_t{4} << 32);
}

namespace {

constexpr unsigned kEs = 0, kCs = 1, kSs = 2, kDs = 3, kFs = 4, kGs = 5, kLdtr = 6, kTr = 7;
Field of(Field first, unsigned seg) { return static_cast<Field>(static_cast<uint32_t>(first) + 2 * seg); }
Break rights(unsigned seg, uint64_t value) { return set(of(Field::guestEsAccessRights, seg), value); }
Break selector(unsigned seg, uint64_t value) { return set(of(Field::guestEsSelector, seg), value); }
Break limit(unsigned seg, uint64_t value) { return set(of(Field::guestEsLimit, seg), value); }
Break base(unsigned seg, uint64_t value) { return set(of(Field::guestEsBase, seg), value); }

constexpr uint64_t kPeAndPg = 0x80000001;
Break unrestricted() { return ept(vmx::secondary::kUnrestrictedGuest); }
Break realMode() {
  return all(
      {unrestricted(), take(Field::guestCr0, kPeAndPg), take(Field::entryControls, vmx::onEntry::kIa32eModeGuest)});
}
Break v86() {
  std::vector<Break> parts = {add(Field::guestRflags, 1u << 17)};
  for (unsigned seg = kEs; seg <= kGs; seg++) {
    for (const Break& part : {selector(seg, 0x100), base(seg, 0x1000), limit(seg, 0xffff), rights(seg, 0xf3)}) {
      parts.push_back(part);
    }
  }
  return all(parts);
}
Break ring3() { return all({selector(kCs, 11), rights(kCs, 0xa0fb), selector(kSs, 19), rights(kSs, 0xc0f3)}); }
Break usableLdtr(uint64_t value = 0x82) { return rights(kLdtr, value); }
Break activity(uint64_t state) { return set(Field::guestActivityState, state); }
Break blocking(uint64_t state) { return set(Field::guestInterruptibilityState, state); }
const Break kInterruptsOn = add(Field::guestRflags, 0x200);
const Break kLoadsEfer = add(Field::entryControls, vmx::onEntry::kLoadEfer);
const Break kVirtualNmis = add(Field::pinBasedControls, vmx::pin::kNmiExiting | vmx::pin::kVirtualNmis);
Break link(uint64_t pointer, uint32_t revision) {
  return [=](VmxGuest& guest) {
    guest.put<uint32_t>(pointer, revision);
    guest.field(Field::vmcsLinkPointer, pointer);
  };
}

}  // namespace

TEST("guest state that only looks strange is entered") {
  using vmx::kRevision;
  constexpr uint32_t kShadow = 1u << 31;
  hold({{"real mode", realMode()},
        {"RIP far up", set(Field::guestRip, 0x7fff00000000)},
        {"real mode with EFER.LME", all({realMode(), kLoadsEfer, set(Field::guestEfer, 0x100)})},
        {"real mode and an exception without its error code", both(realMode(), inject(3u << 8 | 13))},
        {"protected mode and an exception with it", both(unrestricted(), inject(3u << 8 | 1u << 11 | 13))},
        {"an interrupt with the vector of an exception", both(inject(13), kInterruptsOn)},
        {"TSC scaling", both(activate(vmx::secondary::kUseTscScaling), set(Field::tscMultiplier, uint64_t{1} << 48))},
        {"EPT without a log or #VE, whose pages are crooked",
         all({ept(), set(Field::pmlAddress, kBetween), set(Field::virtualizationExceptionAddress, kBetween)})},
        {"CS of data", both(unrestricted(), rights(kCs, 0xa093))},
        {"SS.RPL against CS.RPL of an unrestricted guest", both(unrestricted(), selector(kSs, 17))},
        {"SS that expands down", rights(kSs, 0xc097)},
        {"SS that is unusable", rights(kSs, 0x10000)},
        {"CS that conforms", rights(kCs, 0xa09f)},
        {"compatibility mode", rights(kCs, 0xc09b)},
        {"a usable LDTR", usableLdtr()},
        {"an unusable LDTR with a bad selector and base", both(selector(kLdtr, 4), base(kLdtr, kCrooked))},
        {"DS that is unusable", rights(kDs, 0x10000)},
        {"an unusable DS above 32 bits", both(rights(kDs, 0x10000), base(kDs, uint64_t{1} << 32))},
        {"DS that cannot be written", rights(kDs, 0xc091)},
        {"DS of readable code", rights(kDs, 0xa09b)},
        {"DS of conforming code, whatever its RPL", both(rights(kDs, 0xa09f), selector(kDs, 19))},
        {"DS.RPL above its DPL of an unrestricted guest", both(unrestricted(), selector(kDs, 19))},
        {"FS counted in bytes", both(rights(kFs, 0x4093), limit(kFs, 0x1234))},
        {"PAT", both(add(Field::entryControls, vmx::onEntry::kLoadPat), set(Field::guestPat, 0x0007040600070406))},
        {"EFER", both(kLoadsEfer, set(Field::guestEfer, 0xd01))},
        {"ring 3", ring3()},
        {"HLT", both(activity(1), kInterruptsOn)},
        {"blocking by STI", both(blocking(1), kInterruptsOn)},
        {"blocking by MOV SS", blocking(2)},
        {"blocking by NMI", both(kVirtualNmis, blocking(8))},
        {"an NMI with virtual NMIs", both(kVirtualNmis, inject(2u << 8 | 2))},
        {"an NMI into blocking by NMI without virtual NMIs", both(blocking(8), inject(2u << 8 | 2))},
        {"a single step that waits", set(Field::guestPendingDebugExceptions, 1u << 14)},
        {"MOV SS and TF without a single step under BTF",
         all({blocking(2), add(Field::guestRflags, 0x100), set(Field::guestDebugctl, 2)})},
        {"a link to a VMCS", link(VmxGuest::kOther, kRevision)},
        {"a link to a shadow VMCS",
         all({activate(vmx::secondary::kVmcsShadowing), set(Field::vmreadBitmap, kPage),
              set(Field::vmwriteBitmap, kPage), link(VmxGuest::kOther, kRevision | kShadow)})},
        {"an NMI into HLT", both(activity(1), inject(2u << 8 | 2))},
        {"an interrupt into HLT", all({activity(1), inject(0x40), kInterruptsOn})},
        {"#DB into HLT", both(activity(1), inject(3u << 8 | 1))},
        {"#MC into HLT", both(activity(1), inject(3u << 8 | 18))},
        {"MTF into HLT", both(activity(1), inject(7u << 8))},
        {"an NMI into shutdown", both(activity(2), inject(2u << 8 | 2))},
        {"#MC into shutdown", both(activity(2), inject(3u << 8 | 18))}},
       0);
  hold({{"virtual-8086 mode", v86()},
        {"TR of a 16-bit task", rights(kTr, 0x83)},
        {"L of a 32-bit guest", rights(kCs, 0xe09b)},
        {"pointers of the VMCS under EPT, whatever lies in memory",
         all({ept(), add(Field::guestCr4, 0x20), set(Field::guestCr3, kPage),
              [](VmxGuest& guest) { guest.put<uint64_t>(kPage, 3); }})},
        {"pointers that nothing uses", all({realMode(), add(Field::guestCr4, 0x20), set(Field::guestPdpte0, 3)})}},
       0, 32);
}

TEST("each condition of the guest state fails the entry alone") {
  hold({{"CR0.NE", take(Field::guestCr0, 0x20)},
        {"CR0.PE, before an event that real mode would not have",
         both(take(Field::guestCr0, 1), inject(3u << 8 | 1u << 11 | 13))},
        {"CR0 above 32 bits", add(Field::guestCr0, uint64_t{1} << 32)},
        {"paging without protection", both(unrestricted(), take(Field::guestCr0, 1))},
        {"IA-32e mode without paging", both(unrestricted(), take(Field::guestCr0, 0x80000000))},
        {"EFER: LMA without LME", both(kLoadsEfer, set(Field::guestEfer, 0x400))},
        {"EFER: a reserved bit", both(kLoadsEfer, set(Field::guestEfer, 0x502))},
        {"LDTR.TI", both(usableLdtr(), selector(kLdtr, 4))},
        {"LDTR base", both(usableLdtr(), base(kLdtr, kCrooked))},
        {"LDTR of code and data", usableLdtr(0x92)},
        {"LDTR that is absent", usableLdtr(0x02)},
        {"reserved bits of LDTR", usableLdtr(0x182)},
        {"TR of code and data", rights(kTr, 0x9b)},
        {"TR of a 16-bit task", rights(kTr, 0x83)},
        {"reserved bits of TR", rights(kTr, 0x18b)},
        {"FS counted in bytes above 1 MiB", both(rights(kFs, 0x4093), limit(kFs, 0x1fffff))},
        {"IDTR base", set(Field::guestIdtrBase, kCrooked)},
        {"RIP", set(Field::guestRip, kCrooked)},
        {"RIP above 32 bits in compatibility mode", both(rights(kCs, 0xc09b), set(Field::guestRip, uint64_t{1} << 32))},
        {"virtual-8086 segments in IA-32e mode", v86()},
        {"HLT in ring 3", both(ring3(), activity(1))},
        {"an interrupt into blocking by STI", all({blocking(1), inject(0x40), kInterruptsOn})},
        {"an NMI into blocking by NMI", all({kVirtualNmis, blocking(8), inject(2u << 8 | 2)})},
        {"HLT and a single step without TF", both(activity(1), set(Field::guestPendingDebugExceptions, 1u << 14))},
        {"an interrupt with the vector of #MC into shutdown", all({activity(2), inject(18), kInterruptsOn})},
        {"INT1 into HLT", all({activity(1), inject(5u << 8 | 1), set(Field::entryInstructionLength, 1)})},
        {"INT 18 into HLT", all({activity(1), inject(4u << 8 | 18), set(Field::entryInstructionLength, 2)})},
        {"CS of data in another ring", both(unrestricted(), rights(kCs, 0xa0f3))},
        {"CS that conforms above its ring", rights(kCs, 0xa0ff)},
        {"SS.RPL against its DPL", both(ring3(), rights(kSs, 0xc0b3))},
        {"SS of another ring in real mode", both(realMode(), both(rights(kSs, 0xc0f3), rights(kCs, 0xa0fb)))},
        {"SS of another ring under CS of data", all({unrestricted(), rights(kCs, 0xa093), rights(kSs, 0xc0f3)})},
        {"SS.RPL against CS.RPL alone", all({rights(kCs, 0xa09f), selector(kSs, 17), rights(kSs, 0xc0b3)})},
        {"SS.DPL against SS.RPL alone", both(rights(kCs, 0xa09f), rights(kSs, 0xc0b3))},
        {"SS of the system", rights(kSs, 0xc083)},
        {"SS that is absent", rights(kSs, 0xc013)},
        {"reserved bits of SS", rights(kSs, 0xc193)},
        {"DS of the system", rights(kDs, 0xc083)},
        {"reserved bits of DS", rights(kDs, 0xc193)},
        {"DS.RPL above its DPL", selector(kDs, 19)}},
       kGuestState);
  hold({{"EFER.LMA of a 32-bit guest", both(kLoadsEfer, set(Field::guestEfer, 0x500))},
        {"EFER.LME alone with paging", both(kLoadsEfer, set(Field::guestEfer, 0x100))},
        {"RIP above 32 bits", set(Field::guestRip, uint64_t{1} << 32)},
        {"RIP above 32 bits, whatever L says", both(rights(kCs, 0xa09b), set(Field::guestRip, uint64_t{1} << 32))},
        {"TR of a 16-bit task that is not busy", rights(kTr, 0x81)},
        {"virtual-8086 mode: base", both(v86(), base(kEs, 0x2000))},
        {"virtual-8086 mode: limit", both(v86(), limit(kSs, 0xfffff))},
        {"virtual-8086 mode: rights", both(v86(), rights(kGs, 0x93))},
        {"virtual-8086 mode without protection", both(realMode(), v86())}},
       kGuestState, 32);
}

TEST("each condition of the link pointer fails the entry alone") {
  using vmx::kRevision;
  constexpr uint32_t kShadow = 1u << 31;
  hold({{"a VMCS between pages", link(VmxGuest::kOther + 8, kRevision)},
        {"where no memory is", set(Field::vmcsLinkPointer, uint64_t{1} << 40)},
        {"another revision", link(VmxGuest::kOther, kRevision + 1)},
        {"a shadow VMCS without shadowing", link(VmxGuest::kOther, kRevision | kShadow)},
        {"a VMCS that is no shadow, with shadowing",
         all({activate(vmx::secondary::kVmcsShadowing), set(Field::vmreadBitmap, kPage),
              set(Field::vmwriteBitmap, kPage), link(VmxGuest::kOther, kRevision)})}},
       kGuestState | uint64_t{4} << 32);
}

TEST("a PAT has types of 0 to 7, and EFER the bits that CPUID announces") {
  const Break loadsPat = add(Field::exitControls, vmx::onExit::kLoadPat);
  const Break loadsEfer = add(Field::exitControls, vmx::onExit::kLoadEfer);
  const auto without = [](uint32_t bits) {
    return [=](VmxGuest& guest) {
      std::vector<emulator::CpuidRow> rows = guest.processor->cpuid();
      for (emulator::CpuidRow& row : rows) row.edx &= row.leaf == 0x80000001 ? ~bits : ~0u;
      guest.processor->setCpuid(rows);
    };
  };
  constexpr uint32_t kSyscall = 1u << 11, kNx = 1u << 20;
  hold({{"SCE and NXE", both(loadsEfer, set(Field::hostEfer, 0xd01))}}, 0);
  hold({{"type 32", both(loadsPat, set(Field::hostPat, 0x20))},
        {"SCE without SYSCALL", all({without(kSyscall), loadsEfer, set(Field::hostEfer, 0x501)})},
        {"NXE without NX", all({without(kNx), loadsEfer, set(Field::hostEfer, 0xd00)})}},
       8);
}
