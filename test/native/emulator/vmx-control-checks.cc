// VM entry holds the controls to what the processor allows and to each other (SDM Vol. 3C, 27.2.1).
#include "test/native/emulator/vmx-breaks.h"

using namespace vtkit;
using namespace vtkit::test;

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
