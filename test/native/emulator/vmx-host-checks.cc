// VM entry looks at the host's state, so that an exit can return to it (SDM Vol. 3C, 27.2.2 to 27.2.4).
#include "test/native/emulator/vmx-breaks.h"

using namespace vtkit;
using namespace vtkit::test;

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

TEST("a base is as wide as five levels of paging if the processor has them, else as four") {
  const Break base = set(Field::hostFsBase, uint64_t{1} << 50);
  hold({{"57 bits", base}, {"48 bits", without(emulator::model::kLa57)}}, 0);
  hold({{"57 bits without five levels", both(without(emulator::model::kLa57), base)}}, 8);
}

TEST("a PAT has types of 0 to 7, and EFER the bits that CPUID announces") {
  const Break loadsPat = add(Field::exitControls, vmx::onExit::kLoadPat);
  const Break loadsEfer = add(Field::exitControls, vmx::onExit::kLoadEfer);
  hold({{"SCE and NXE", both(loadsEfer, set(Field::hostEfer, 0xd01))}}, 0);
  hold({{"type 32", both(loadsPat, set(Field::hostPat, 0x20))},
        {"SCE without SYSCALL", all({without(emulator::model::kSyscall), loadsEfer, set(Field::hostEfer, 0x501)})},
        {"NXE without NX", all({without(emulator::model::kNx), loadsEfer, set(Field::hostEfer, 0xd00)})}},
       8);
}
