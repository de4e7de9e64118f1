// How each VMX instruction ends: it does not exist, faults, exits, fails or succeeds (SDM Vol. 3C, 31.2 and 31.3).
#include "state/archive.h"
#include "test/native/emulator/vmx-endings.h"

using namespace vtkit;
using namespace vtkit::test;

TEST("outside VMX operation all VMX instructions but VMXON are invalid opcodes") {
  for (const Instruction& instruction : kInstructions) {
    VmxGuest host;
    leaveOperation(host);
    without(emulator::model::kHypervisor)(host);  // VMCALL is its own where there is one
    host.put<uint64_t>(kOperand, VmxGuest::kVmxon);
    holds(ending(host, instruction.code), instruction.reason == ExitReason::vmxon ? "succeeds" : "#UD",
          instruction.name);
  }
}

TEST("in compatibility mode they are invalid opcodes, and in ring 3 they are for none but the guest") {
  for (const Instruction& instruction : kInstructions) {
    VmxGuest narrow, user;
    hostInCompatibilityMode(narrow);
    holds(ending(narrow, instruction.code), "#UD", instruction.name);
    hostInRing3(user);
    holds(ending(user, instruction.code), "#GP(0)", instruction.name);
  }
}

TEST("in a guest they exit in every ring, and but for VMCALL not in every mode") {
  for (const Instruction& instruction : kInstructions) {
    const std::string leaves = exits(instruction.reason);
    const std::string narrow = instruction.reason == ExitReason::vmcall ? leaves : "#UD";
    VmxGuest guest, user, compatible, virtual8086(32);
    EptGuest real;
    holds(guestEnding(guest, instruction.code), leaves, instruction.name);
    kUser(user);
    holds(guestEnding(user, instruction.code), leaves, instruction.name);
    compatibilityMode(compatible);
    holds(guestEnding(compatible, instruction.code), narrow, instruction.name);
    v86(virtual8086);
    holds(guestEnding(virtual8086, instruction.code), narrow, instruction.name);
    realMode(real);
    holds(guestEnding(real, instruction.code), narrow, instruction.name);
  }
}

TEST("encodings beside VMCALL and VMXOFF are invalid opcodes") {
  for (const char last : {'\xc0', '\xc5', '\xc6', '\xc7'}) {
    VmxGuest host;
    holds(ending(host, BYTES("\x0f\x01") + last), "#UD", shown(static_cast<uint8_t>(last)));
  }
}

TEST("an exit tells the operands of its instruction") {
  const struct {
    std::string code;
    uint64_t qualification, information;
  } rows[] = {
      // Index, base and segment; no base; no index and RIP; a register; two registers.
      {BYTES("\x64\x41\x0f\xc7\x74\xb5\x10"), 0x10, 2 | 2u << 7 | 4u << 15 | 6u << 18 | 13u << 23 | 6u << 28},
      {BYTES("\x66\x0f\xc7\x34\xcd\x00\x10\x00\x00"), 0x1000, 3 | 2u << 7 | 3u << 15 | 1u << 18 | 1u << 27 | 6u << 28},
      {BYTES("\x0f\xc7\x3d\x20\x00\x00\x00"), VmxGuest::kGuestCode + 7 + 0x20,
       2u << 7 | 3u << 15 | 1u << 22 | 1u << 27 | 7u << 28},
      {BYTES("\x67\x0f\x78\x4d\xf0"), 0xfffffff0, 1u << 7 | 2u << 15 | 1u << 22 | 5u << 23 | 1u << 28},
      {BYTES("\x44\x0f\x78\xd9"), 0, 1u << 3 | 1u << 10 | 11u << 28},
      {BYTES("\x41\x0f\x79\xd1"), 0, 9u << 3 | 1u << 10 | 2u << 28},
      {BYTES("\x66\x44\x0f\x38\x80\x03"), 0, 2u << 7 | 3u << 15 | 1u << 22 | 3u << 23 | 8u << 28},
  };
  for (const auto& row : rows) {
    VmxGuest guest;
    guest.enter(row.code);
    CHECK_EQUAL(guest.field(Field::exitQualification), row.qualification);
    CHECK_EQUAL(guest.field(Field::exitInstructionInformation), row.information);
    CHECK_EQUAL(guest.field(Field::exitInstructionLength), row.code.size());
  }
}

TEST("VMXON is refused by mode, privilege, fixed bits and its pointer") {
  constexpr uint64_t kElsewhere = VmxGuest::kOther, kNowhere = 0x10000000;
  const auto pointer = [](uint64_t address, uint32_t revision) {
    return [=](VmxGuest& host) {
      host.put<uint64_t>(kOperand, address);
      if (address < Guest::kBytes) host.put<uint32_t>(address, revision);
    };
  };
  const struct {
    const char* what;
    unsigned bits;
    Break prepare;
    const char* ends;
  } rows[] = {
      {"without CR4.VMXE", 64,
       [](VmxGuest& host) { change(host, [](vcpu::Sregs& sregs) { sregs.cr4 &= ~uint64_t{1 << 13}; }); }, "#UD"},
      {"in compatibility mode", 64, hostInCompatibilityMode, "#UD"},
      {"in ring 3", 64, hostInRing3, "#GP(0)"},
      {"without CR0.NE", 64, [](VmxGuest& host) { clearCr0(host, 1u << 5); }, "#GP(0)"},
      {"without CR0.PG", 32, [](VmxGuest& host) { clearCr0(host, 1u << 31); }, "#GP(0)"},
      {"between pages", 64, pointer(kElsewhere + 8, kRevision), "VMfailInvalid"},
      {"beyond physical memory", 64, pointer(kWide, kRevision), "VMfailInvalid"},
      {"where there is no memory", 64, pointer(kNowhere, kRevision), "VMfailInvalid"},
      {"another revision", 64, pointer(kElsewhere, kRevision + 1), "VMfailInvalid"},
      {"a shadow VMCS", 64, pointer(kElsewhere, kRevision | 1u << 31), "VMfailInvalid"},
      {"as it should be", 64, pointer(kElsewhere, kRevision), "succeeds"},
      {"in 32 bits", 32, pointer(kElsewhere, kRevision), "succeeds"},
  };
  for (const auto& row : rows) {
    VmxGuest host(row.bits);
    leaveOperation(host);
    host.put<uint64_t>(kOperand, VmxGuest::kVmxon);
    row.prepare(host);
    holds(ending(host, at(kVmxon)), row.ends, row.what);
    CHECK_EQUAL(host.processor->cpu().vmx.on, std::string(row.ends) == "succeeds");
  }
  VmxGuest host;
  leaveOperation(host);
  holds(ending(host, at(kVmxon, kUnmapped)), "#PF(0)", "an operand that is not mapped");
  CHECK_EQUAL(host.processor->cpu().vmx.on, false);
}

TEST("VMXON needs a feature control that is locked and allows it outside SMX") {
  for (const uint64_t control : {0, 1, 4, 5}) {
    Guest host(64);
    std::vector<emulator::CpuidRow> rows = host.processor->cpuid();
    for (emulator::CpuidRow& row : rows) row.ecx |= row.leaf == 1 ? 1u << 5 : 0;
    host.processor->setCpuid(rows);
    host.enable(1u << 13);
    emulator::writeMsr(host.processor->cpu(), vmx::kFeatureControl, control);
    host.processor->cpu().cr0 |= 1u << 5;
    host.put<uint64_t>(VmxGuest::kPointers, VmxGuest::kVmxon);
    host.put<uint32_t>(VmxGuest::kVmxon, kRevision);
    const Emulator::Stop stop = host.run(VmxGuest::vmxon());
    CHECK_EQUAL(host.processor->cpu().vmx.on, control == 5);
    CHECK_EQUAL(stop == Emulator::Stop::halted, control == 5);  // #GP, without a vector table
  }
}

TEST("VMXON and VMXOFF leave no VMCS current, and VMXOFF and VMXON again succeed") {
  VmxGuest host;
  CHECK_EQUAL(current(host), VmxGuest::kVmcs);
  holds(ending(host, kVmxoff), "succeeds", "VMXOFF");
  CHECK_EQUAL(host.processor->cpu().vmx.on, false);
  holds(ending(host, VmxGuest::vmxon()), "succeeds", "VMXON");
  CHECK_EQUAL(current(host), kNoVmcs);
}

TEST("VMCLEAR and VMPTRLD hold their pointer to its rules") {
  constexpr uint64_t kElsewhere = VmxGuest::kOther, kNowhere = 0x10000000;
  const struct {
    const char* what;
    uint64_t pointer;
    uint32_t revision;
    unsigned clears, loads;  // error numbers
  } rows[] = {
      {"a VMCS", kElsewhere, kRevision, 0, 0},
      {"between pages", kElsewhere + 8, kRevision, 2, 9},
      {"beyond physical memory", kWide, kRevision, 2, 9},
      {"the VMXON region", VmxGuest::kVmxon, kRevision, 3, 10},
      {"another revision", kElsewhere, kRevision + 1, 0, 11},
      {"a shadow VMCS", kElsewhere, kRevision | 1u << 31, 0, 0},
      {"where there is no memory", kNowhere, kRevision, 0, 11},
  };
  for (const auto& row : rows) {
    for (const bool loads : {false, true}) {
      for (const bool has : {true, false}) {
        VmxGuest host;
        if (!has) forgetCurrent(host);
        host.put<uint64_t>(kOperand, row.pointer);
        if (row.pointer < Guest::kBytes) host.put<uint32_t>(row.pointer, row.revision);
        const unsigned error = loads ? row.loads : row.clears;
        holds(ending(host, at(loads ? kVmptrld : kVmclear)),
              error == 0 ? "succeeds"
              : has      ? "VMfailValid " + std::to_string(error)
                         : "VMfailInvalid",
              row.what);
        const uint64_t before = has ? uint64_t{VmxGuest::kVmcs} : kNoVmcs;
        CHECK_EQUAL(current(host), loads && error == 0 ? row.pointer : before);
      }
    }
  }
}

TEST("VMCLEAR of the current VMCS leaves none, and makes each one clear") {
  for (const bool isCurrent : {true, false}) {
    VmxGuest guest;
    guest.enter(kVmcall);
    if (!isCurrent) guest.run(VmxGuest::vmptrld(16));
    holds(ending(guest, VmxGuest::vmclear(8)), "succeeds", "VMCLEAR");
    CHECK_EQUAL(current(guest), isCurrent ? kNoVmcs : uint64_t{VmxGuest::kOther});
    guest.run(loadsCurrent());
    holds(ending(guest, VmxGuest::vmresume()), "VMfailValid 5", "VMRESUME of what was cleared");
  }
}

TEST("VMPTRLD of the current VMCS loses nothing, and where none was current it writes none") {
  VmxGuest guest;
  guest.enter(kVmcall);
  guest.field(Field::guestRip, 0x1111);
  guest.run(loadsCurrent());
  CHECK_EQUAL(guest.field(Field::guestRip), 0x1111u);
  CHECK_EQUAL(guest.processor->cpu().vmx.vmcs.launched, true);

  VmxGuest other;
  forgetCurrent(other);
  const std::string low(4096, '\x5a');
  other.write(0, low);
  other.run(VmxGuest::vmptrld(16));
  std::string found(4096, '\0');
  other.memory.read(0, &found[0], found.size());
  CHECK_EQUAL(found == low, true);
}

TEST("VMPTRST stores the pointer, and nothing where it may not") {
  VmxGuest host;
  holds(ending(host, at(kVmptrst)), "succeeds", "VMPTRST");
  CHECK_EQUAL(host.get<uint64_t>(kOperand), VmxGuest::kVmcs);
  holds(ending(host, at(kVmptrst, kUnmapped)), "#PF(2)", "VMPTRST");
}

TEST("without a current VMCS what needs one is VMfailInvalid, before its operand is touched") {
  const struct {
    const char* name;
    std::string code;
  } rows[] = {
      {"VMCALL", kVmcall},
      {"VMLAUNCH", VmxGuest::vmlaunch()},
      {"VMRESUME", VmxGuest::vmresume()},
      {"VMXON", at(kVmxon, kUnmapped)},
      {"VMREAD", at(kStoreField, kUnmapped)},
      {"VMWRITE", at(kLoadField, kUnmapped)},
      {"INVEPT", at(kInvept, kUnmapped)},  // of type 0
  };
  for (const auto& row : rows) {
    VmxGuest host;
    forgetCurrent(host);
    holds(ending(host, row.code), "VMfailInvalid", row.name);
  }
}

TEST("an operand in memory faults as that of any other instruction") {
  const struct {
    const char* name;
    std::string code;  // of [rbx]
    bool writes;
  } rows[] = {
      {"VMCLEAR", BYTES("\x66\x0f\xc7\x33"), false},     {"VMPTRLD", BYTES("\x0f\xc7\x33"), false},
      {"VMPTRST", BYTES("\x0f\xc7\x3b"), true},          {"VMREAD", BYTES("\x0f\x78\x03"), true},
      {"VMWRITE", BYTES("\x0f\x79\x03"), false},         {"INVEPT", BYTES("\x66\x0f\x38\x80\x0b"), false},
      {"INVVPID", BYTES("\x66\x0f\x38\x81\x0b"), false},
  };
  const std::string stack = "\x36";
  for (const auto& row : rows) {
    const std::string faults = row.writes ? "#PF(2)" : "#PF(0)";
    for (const unsigned bits : {64u, 32u}) {
      VmxGuest host(bits);
      host.regs.rcx = 2;  // a type
      host.regs.rbx = kUnmapped;
      holds(ending(host, row.code), faults, row.name);
      CHECK_EQUAL(host.processor->cpu().cr2, kUnmapped);
      if (bits == 32) {
        change(host, [](vcpu::Sregs& sregs) { sregs.ds.limit = sregs.ss.limit = 0xffff; });
        host.regs.rbx = 0x20000;
      } else {
        host.regs.rbx = kNotCanonical;
      }
      holds(ending(host, row.code), "#GP(0)", row.name);
      if (bits == 32) holds(ending(host, stack + row.code), "#SS(0)", row.name);
    }
  }
  for (const char second : {'\x80', '\x81'}) {
    VmxGuest host;
    host.put<uint64_t>(Guest::kBytes - 8, 0);
    host.regs.rcx = 2;
    host.regs.rbx = kUnmapped - 8;
    holds(ending(host, BYTES("\x66\x0f\x38") + second + '\x0b'), "#PF(0)", "a descriptor's second half");
  }
}

TEST("INVEPT and INVVPID hold type and descriptor to their rules") {
  constexpr uint64_t kEptPointer = 0x3001e, kFar = 0x7fffffffffff;
  const struct {
    const char* what;
    std::string code;
    uint64_t type, low, high;
    bool fails;
  } rows[] = {
      {"INVEPT of type 0", kInvept, 0, kEptPointer, 0, true},
      {"INVEPT of one pointer", kInvept, 1, kEptPointer, 0, false},
      {"INVEPT of no pointer", kInvept, 1, kEptPointer | kWide, 0, true},
      {"INVEPT of all", kInvept, 2, kWide, 0, false},
      {"INVEPT of type 3", kInvept, 3, kEptPointer, 0, true},
      {"INVVPID of an address", kInvvpid, 0, 1, kFar, false},
      {"INVVPID of an address that is not canonical", kInvvpid, 0, 1, kNotCanonical, true},
      {"INVVPID of an address of VPID 0", kInvvpid, 0, 0, 0, true},
      {"INVVPID of a VPID", kInvvpid, 1, 0xffff, kNotCanonical, false},
      {"INVVPID of VPID 0", kInvvpid, 1, 0, 0, true},
      {"INVVPID of 17 bits", kInvvpid, 1, 0x10001, 0, true},
      {"INVVPID of all", kInvvpid, 2, 0, kNotCanonical, false},
      {"INVVPID of all, and reserved bits", kInvvpid, 2, kWide, 0, true},
      {"INVVPID of all but globals", kInvvpid, 3, 1, kNotCanonical, false},
      {"INVVPID of all but globals of VPID 0", kInvvpid, 3, 0, 0, true},
      {"INVVPID of type 4", kInvvpid, 4, 1, 0, true},
      {"INVVPID of a type above 32 bits", kInvvpid, uint64_t{1} << 32, 1, 0, true},
  };
  for (const auto& row : rows) {
    for (const unsigned bits : {64u, 32u}) {
      VmxGuest host(bits);
      host.regs.rax = row.type;
      host.put<uint64_t>(kOperand, row.low);
      host.put<uint64_t>(kOperand + 8, row.high);
      const bool fails = row.fails && (bits == 64 || row.type >> 32 == 0);
      holds(ending(host, at(row.code)), fails ? "VMfailValid 28" : "succeeds", row.what);
    }
  }
}

TEST("VMFUNC exists for guests that have it, and functions that are not enabled exit") {
  constexpr uint64_t kList = 0x51000;
  const auto function = [](uint64_t rax, uint64_t rcx) {
    return [=](VmxGuest& guest) {
      guest.regs.rax = rax;
      guest.regs.rcx = rcx;
    };
  };
  const struct {
    const char* what;
    Break prepare;
    std::string ends;
  } rows[] = {
      {"EPTP switching", function(0, 0), "flags as before"},
      {"above EAX and ECX", function(uint64_t{1} << 32, uint64_t{1} << 32), "flags as before"},
      {"in ring 3", kUser, "flags as before"},
      {"not enabled", set(Field::vmFunctionControls, 0), exits(ExitReason::vmfunc)},
      {"no such function", function(1, 0), exits(ExitReason::vmfunc)},
      {"function 63", function(63, 0), exits(ExitReason::vmfunc)},
      {"function 64", function(64, 0), "#UD"},
      {"beyond the list", function(0, 512), exits(ExitReason::vmfunc)},
      {"no pointer", function(0, 1), exits(ExitReason::vmfunc)},
      {"without the control", take(Field::secondaryControls, vmx::secondary::kEnableVmFunctions), "#UD"},
  };
  for (const auto& row : rows) {
    EptGuest guest;
    guest.control(Field::secondaryControls, vmx::secondary::kEnableVmFunctions);
    guest.field(Field::vmFunctionControls, 1);
    guest.field(Field::eptpListAddress, kList);
    guest.put<uint64_t>(kList, guest.field(Field::eptPointer));
    row.prepare(guest);
    holds(guestEnding(guest, kVmfunc), row.ends, row.what);
  }
  EptGuest host;
  host.control(Field::secondaryControls, vmx::secondary::kEnableVmFunctions);
  holds(ending(host, kVmfunc), "#UD", "in root operation");
}

TEST("VMX operation holds bits of CR0 and CR4, but for an unrestricted guest's protection and paging") {
  constexpr uint64_t kPe = 1, kNe = 1 << 5, kPg = 1u << 31, kVmxe = 1 << 13, kPse = 1 << 4, kDirectory = 0x38000;
  enum Where { outside, root, guest, unrestricted };
  const std::string setsCr0 = BYTES("\x0f\x22\xc0"), setsCr4 = BYTES("\x0f\x22\xe0");
  const struct {
    Where where;
    std::string code;
    uint64_t clears;
    bool faults;
  } rows[] = {
      {outside, setsCr0, kNe, false},     {outside, setsCr0, kPg, false},
      {outside, setsCr4, kVmxe, false},   {root, setsCr0, kNe, true},
      {root, setsCr0, kPg, true},         {root, setsCr0, kPe | kPg, true},
      {root, setsCr4, kVmxe, true},       {root, setsCr4, 0, false},
      {guest, setsCr0, kNe, true},        {guest, setsCr0, kPg, true},
      {guest, setsCr4, kVmxe, true},      {unrestricted, setsCr0, kPg, false},
      {unrestricted, setsCr0, kNe, true}, {unrestricted, setsCr4, kVmxe, true},
  };
  for (const auto& row : rows) {
    const auto value = [&](uint64_t cr0, uint64_t cr4) { return (row.code == setsCr0 ? cr0 : cr4) & ~row.clears; };
    const std::string ends = row.faults ? "#GP(0)" : "flags as before";
    if (row.where == unrestricted) {
      EptGuest wide;
      wide.control(Field::secondaryControls, vmx::secondary::kUnrestrictedGuest);
      wide.narrow();
      wide.put<uint32_t>(kDirectory, 0x87);
      wide.field(Field::guestCr3, kDirectory);
      wide.field(Field::guestCr4, kVmxe | kPse);
      wide.regs.rax = value(wide.field(Field::guestCr0), kVmxe | kPse);
      holds(guestEnding(wide, row.code), ends, shown(row.clears) + " in an unrestricted guest");
      continue;
    }
    VmxGuest narrow(32);
    const emulator::Cpu& cpu = narrow.processor->cpu();
    if (row.where == outside) leaveOperation(narrow);
    // It says nothing of its host.
    if (row.where == root) activate(vmx::secondary::kUnrestrictedGuest)(narrow);
    narrow.regs.rax = value(cpu.cr0, cpu.cr4);
    holds(row.where == guest ? guestEnding(narrow, row.code) : ending(narrow, row.code), ends, shown(row.clears));
  }
}

TEST("a snapshot keeps the current VMCS") {
  VmxGuest first, second;
  first.enter(kVmcall);
  for (const Field field : vmx::kFields) first.field(field, 0x1234 + static_cast<uint64_t>(field));
  std::vector<uint8_t> bytes;
  state::Archive written(bytes);
  first.processor->visit(written);
  state::Archive read(bytes.data(), bytes.size());
  second.processor->visit(read);
  CHECK_EQUAL(read.failed(), false);
  for (const Field field : vmx::kFields) CHECK_EQUAL(second.field(field), first.field(field));
  CHECK_EQUAL(second.processor->cpu().vmx.vmcs.launched, true);
}
