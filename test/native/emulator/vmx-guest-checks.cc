// VM entry fails for a guest's state in which no processor could be (SDM Vol. 3C, 27.3.1).
#include "test/native/emulator/vmx-breaks.h"

using namespace vtkit;
using namespace vtkit::test;

namespace {

constexpr unsigned kEs = 0, kCs = 1, kSs = 2, kDs = 3, kFs = 4, kGs = 5, kLdtr = 6, kTr = 7;
Field of(Field first, unsigned seg) { return static_cast<Field>(static_cast<uint32_t>(first) + 2 * seg); }
Break rights(unsigned seg, uint64_t value) { return set(of(Field::guestEsAccessRights, seg), value); }
Break selector(unsigned seg, uint64_t value) { return set(of(Field::guestEsSelector, seg), value); }
Break limit(unsigned seg, uint64_t value) { return set(of(Field::guestEsLimit, seg), value); }
Break base(unsigned seg, uint64_t value) { return set(of(Field::guestEsBase, seg), value); }

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
Break usableLdtr(uint64_t value = 0x82) { return rights(kLdtr, value); }
Break activity(uint64_t state) { return set(Field::guestActivityState, state); }
Break blocking(uint64_t state) { return set(Field::guestInterruptibilityState, state); }
const Break kLoadsEfer = add(Field::entryControls, vmx::onEntry::kLoadEfer);
const Break kVirtualNmis = add(Field::pinBasedControls, vmx::pin::kNmiExiting | vmx::pin::kVirtualNmis);
Break link(uint64_t pointer, uint32_t revision) {
  return [=](VmxGuest& guest) {
    guest.put<uint32_t>(pointer, revision);
    guest.field(Field::vmcsLinkPointer, pointer);
  };
}

}  // namespace

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
        {"ring 3", kUser},
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
        {"HLT in ring 3", both(kUser, activity(1))},
        {"an interrupt into blocking by STI", all({blocking(1), inject(0x40), kInterruptsOn})},
        {"an NMI into blocking by NMI", all({kVirtualNmis, blocking(8), inject(2u << 8 | 2)})},
        {"HLT and a single step without TF", both(activity(1), set(Field::guestPendingDebugExceptions, 1u << 14))},
        {"an interrupt with the vector of #MC into shutdown", all({activity(2), inject(18), kInterruptsOn})},
        {"INT1 into HLT", all({activity(1), inject(5u << 8 | 1), set(Field::entryInstructionLength, 1)})},
        {"INT 18 into HLT", all({activity(1), inject(4u << 8 | 18), set(Field::entryInstructionLength, 2)})},
        {"CS of data in another ring", both(unrestricted(), rights(kCs, 0xa0f3))},
        {"CS that conforms above its ring", rights(kCs, 0xa0ff)},
        {"SS.RPL against its DPL", both(kUser, rights(kSs, 0xc0b3))},
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

TEST("a base is as wide as five levels of paging if the processor has them, else as four") {
  const Break wide = base(kFs, uint64_t{1} << 50);
  hold({{"57 bits", wide}, {"48 bits", without(emulator::model::kLa57)}}, 0);
  hold({{"57 bits without five levels", both(without(emulator::model::kLa57), wide)}}, kGuestState);
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
