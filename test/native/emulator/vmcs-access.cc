// VMREAD and VMWRITE: fields, widths, and what VMCS shadowing gives a guest (SDM Vol. 3C, 25.10, 26.1.3 and 31.3).
#include "test/native/emulator/vmx-endings.h"

using namespace vtkit;
using namespace vtkit::test;

TEST("a field that does not exist is error 12, before VMREAD's operand faults and behind VMWRITE's does") {
  for (const uint64_t encoding : {uint64_t{0x6a00}, uint64_t{0x4001}, uint64_t{0x1000}, uint64_t{0x8000},
                                  uint64_t{1} << 31, uint64_t{1} << 32, uint64_t{1} << 63}) {
    VmxGuest host;
    host.regs.rax = encoding;
    holds(ending(host, kVmread), "VMfailValid 12", shown(encoding));
    holds(ending(host, kVmwrite), "VMfailValid 12", shown(encoding));
    holds(ending(host, at(kStoreField, kUnmapped)), "VMfailValid 12", shown(encoding));
    holds(ending(host, at(kLoadField, kUnmapped)), "#PF(0)", shown(encoding));
  }
}

TEST("VMREAD knows each field of the table, the upper halves of those of 64 bits, and no more") {
  unsigned expected = 0;
  for (const Field field : vmx::kFields) expected += vmx::is64Bit(static_cast<uint64_t>(field)) ? 2 : 1;
  VmxGuest host;
  // xor edx, edx; xor eax, eax; again: vmread rcx, rax; jbe next; inc edx; next: inc eax; cmp eax, 10000H; jb again
  host.run(BYTES("\x31\xd2\x31\xc0\x0f\x78\xc1\x76\x02\xff\xc2\xff\xc0\x3d\x00\x00\x01\x00\x72\xf0"));
  CHECK_EQUAL(host.regs.rax, 0x10000u);
  CHECK_EQUAL(host.regs.rdx, expected);
}

TEST("VMREAD and VMWRITE cut and extend by the field's width and the mode's") {
  constexpr uint64_t kBefore = 0x99aabbccddeeff00, kValue = 0x1122334455667788;
  const struct {
    const char* what;
    uint64_t encoding, read64, read32, written64, written32;
  } rows[] = {
      {"16 bits", 0x0812, 0xff00, 0xff00, 0x7788, 0x7788},
      {"32 bits", 0x4004, 0xddeeff00, 0xddeeff00, 0x55667788, 0x55667788},
      {"64 bits", 0x2010, kBefore, 0xddeeff00, kValue, 0x55667788},
      {"the upper half", 0x2011, 0x99aabbcc, 0x99aabbcc, 0x55667788ddeeff00, 0x55667788ddeeff00},
      {"natural width", 0x681c, kBefore, 0xddeeff00, kValue, 0x55667788},
      {"what an exit tells", 0x6400, kBefore, 0xddeeff00, kValue, 0x55667788},
  };
  for (const auto& row : rows) {
    for (const unsigned bits : {64u, 32u}) {
      for (const bool memory : {false, true}) {
        VmxGuest host(bits);
        const auto field = static_cast<Field>(row.encoding & ~uint64_t{1});
        host.field(field, kBefore);
        host.regs.rax = row.encoding | (bits == 32 ? kNotCanonical : 0);
        host.regs.rbx = kValue;
        host.put<uint64_t>(kOperand, 0x5a5a5a5a5a5a5a5a);
        holds(ending(host, memory ? at(kStoreField) : kVmread), "succeeds", row.what);
        const uint64_t above = memory && bits == 32 ? 0x5a5a5a5a00000000 : 0;
        const uint64_t found = memory ? host.get<uint64_t>(kOperand) : host.regs.rcx;
        CHECK_EQUAL(found, (bits == 64 ? row.read64 : row.read32) | above);
        host.regs.rax = row.encoding | (bits == 32 ? kNotCanonical : 0);
        host.put<uint64_t>(kOperand, kValue);
        holds(ending(host, memory ? at(kLoadField) : kVmwrite), "succeeds", row.what);
        CHECK_EQUAL(host.field(field), bits == 64 ? row.written64 : row.written32);
      }
    }
  }
}

TEST("a guest's VMREAD and VMWRITE of shadowed fields end by its privilege, its link and the field") {
  const auto encoding = [](uint64_t value) { return [=](VmxGuest& guest) { guest.regs.rax = value; }; };
  const auto exiting = [](VmxGuest& guest) {  // guest RIP, 681EH, alone
    guest.put<uint8_t>(VmxGuest::kBitmaps + 0xd03, 0x40);
    guest.put<uint8_t>(VmxGuest::kBitmaps + 0x1d03, 0x40);
  };
  const struct {
    const char* what;
    Break prepare;
    const char* ends;  // but for "exit", which is by the instruction
  } rows[] = {
      {"as it should be", add(Field::guestRflags, 0), "succeeds"},
      {"without shadowing",
       [](VmxGuest& guest) {
         take(Field::secondaryControls, vmx::secondary::kVmcsShadowing)(guest);
         guest.put<uint32_t>(kShadow, kRevision);
       },
       "exit"},
      {"a bit of the bitmap", exiting, "exit"},
      {"a bit of the bitmap, in ring 3", both(exiting, kUser), "exit"},
      {"the bit beside it", both(exiting, encoding(0x681c)), "succeeds"},
      {"bit 15 of the encoding", encoding(0xe81e), "exit"},
      {"bit 63 of the encoding", encoding(0x681e | uint64_t{1} << 63), "exit"},
      {"in ring 3", kUser, "#GP(0)"},
      {"in compatibility mode", compatibilityMode, "#UD"},
      {"without a shadow VMCS", set(Field::vmcsLinkPointer, kNoVmcs), "VMfailInvalid"},
      {"no field", encoding(0x6a00), "VMfailValid 12"},
  };
  for (const auto& row : rows) {
    for (const bool writes : {false, true}) {
      VmxGuest guest;
      guest.regs.rax = 0x681e;
      shadowed(guest);
      row.prepare(guest);
      const std::string leaves = exits(writes ? ExitReason::vmwrite : ExitReason::vmread);
      holds(guestEnding(guest, writes ? kVmwrite : kVmread), row.ends == std::string("exit") ? leaves : row.ends,
            row.what);
    }
  }
}

TEST("what a guest writes goes to the shadow VMCS, from which it reads, and what its host writes does not") {
  for (const bool narrow : {false, true}) {
    VmxGuest guest(narrow ? 32 : 64);
    shadowed(guest);
    guest.regs.rax = 0x2010 | (narrow ? kNotCanonical : 0);  // the TSC offset
    guest.regs.rbx = 0x77;
    holds(guestEnding(guest, kVmwrite), "succeeds", "VMWRITE");
    CHECK_EQUAL(guest.field(Field::tscOffset), 0u);
    guest.regs.rax = 0x2010 | (narrow ? kNotCanonical : 0);
    guest.regs.rcx = 0;
    holds(guestEnding(guest, kVmread), "succeeds", "VMREAD");
    CHECK_EQUAL(guest.regs.rcx, 0x77u);
    guest.regs.rcx = 1;
    guest.run(kVmread);
    CHECK_EQUAL(guest.regs.rcx, 0u);
    guest.regs.rbx = 0x88;
    guest.run(kVmwrite);
    CHECK_EQUAL(guest.field(Field::tscOffset), 0x88u);
    guest.put<uint64_t>(kOperand, kShadow);
    guest.run(at(kVmptrld));
    CHECK_EQUAL(guest.field(Field::tscOffset), 0x77u);
    holds(ending(guest, VmxGuest::vmlaunch()), "VMfailInvalid", "VMLAUNCH of a shadow VMCS");
  }
}
