// How each VMX instruction ends: it does not exist, faults, exits, fails or succeeds (SDM Vol. 3C, 31.2 and 31.3).
#include "emulator/vmx/vmcs.h"

#include "state/archive.h"
#include "test/native/emulator/ept-guest.h"
#include "test/native/emulator/vmx-breaks.h"

using namespace vtkit;
using namespace vtkit::test;
using vmx::kNoVmcs;
using vmx::kRevision;

namespace {

constexpr uint64_t kArithmetic = 0x8d5, kShadow = 0x25000, kOperand = 0x26000, kTask = 0x2a000;
constexpr uint64_t kUnmapped = 0x400000, kNotCanonical = uint64_t{1} << 60;
const std::string kVmxoff = BYTES("\x0f\x01\xc4"), kVmfunc = BYTES("\x0f\x01\xd4");
/** Opcodes with a memory operand of an absolute address. */
const std::string kVmclear = BYTES("\x66\x0f\xc7\x34\x25"), kVmptrld = BYTES("\x0f\xc7\x34\x25"),
                  kVmptrst = BYTES("\x0f\xc7\x3c\x25"), kVmxon = BYTES("\xf3\x0f\xc7\x34\x25"),
                  kInvept = BYTES("\x66\x0f\x38\x80\x04\x25"), kInvvpid = BYTES("\x66\x0f\x38\x81\x04\x25"),
                  kStoreField = BYTES("\x0f\x78\x04\x25"), kLoadField = BYTES("\x0f\x79\x04\x25");
const std::string kVmread = BYTES("\x0f\x78\xc1"), kVmwrite = BYTES("\x0f\x79\xc3");  // rcx, rax; rax, rbx

std::string at(const std::string& opcode, uint64_t address = kOperand) {
  return opcode + bytesOf(static_cast<uint32_t>(address));
}

const struct Instruction {
  const char* name;
  std::string code;
  ExitReason reason;
} kInstructions[] = {
    {"VMCALL", kVmcall, ExitReason::vmcall},
    {"VMLAUNCH", VmxGuest::vmlaunch(), ExitReason::vmlaunch},
    {"VMRESUME", VmxGuest::vmresume(), ExitReason::vmresume},
    {"VMXOFF", kVmxoff, ExitReason::vmxoff},
    {"VMCLEAR", at(kVmclear), ExitReason::vmclear},
    {"VMPTRLD", at(kVmptrld), ExitReason::vmptrld},
    {"VMPTRST", at(kVmptrst), ExitReason::vmptrst},
    {"VMXON", at(kVmxon), ExitReason::vmxon},
    {"VMREAD", kVmread, ExitReason::vmread},
    {"VMWRITE", kVmwrite, ExitReason::vmwrite},
    {"INVEPT", at(kInvept), ExitReason::invept},
    {"INVVPID", at(kInvvpid), ExitReason::invvpid},
};

void holds(const std::string& found, const std::string& expected, const std::string& what) {
  if (!CHECK_EQUAL(found, expected)) std::printf("  of %s\n", what.c_str());
}

std::string exception(uint64_t vector, uint64_t error) {
  const std::string code = '(' + std::to_string(error) + ')';
  return vector == 6 ? "#UD" : vector == 12 ? "#SS" + code : vector == 13 ? "#GP" + code : "#PF" + code;
}

/** What the flags say, all of which were set before. */
std::string told(const VmxGuest& guest, uint64_t flags, uint64_t error) {
  switch (flags & kArithmetic) {
    case 0:
      return "succeeds";
    case 1:
      return "VMfailInvalid";
    case 1 << 6:
      return "VMfailValid " + std::to_string(error);
    default:
      return (flags & kArithmetic) == kArithmetic ? "flags as before" : "flags " + shown(guest.regs.rflags);
  }
}

/** How code ends in root operation, or outside of VMX operation: each exception leads to a HLT of its own. */
std::string ending(VmxGuest& host, const std::string& code) {
  const bool wide = host.processor->cpu().longMode();
  for (unsigned vector = 0; vector < 256; vector++) {
    host.put<uint16_t>(VmxGuest::kIdt + (wide ? 16 : 8) * vector, VmxGuest::kHandler + vector);
  }
  host.write(VmxGuest::kHandler, std::string(256, '\xf4'));
  emulator::Cpu& cpu = host.processor->cpu();
  cpu.idt.base = VmxGuest::kIdt;
  cpu.idt.limit = 0xfff;
  cpu.seg[emulator::TR].base = kTask;
  cpu.seg[emulator::TR].limit = 0x67;
  host.put<uint64_t>(kTask + 4, VmxGuest::kStack);
  host.field(Field::vmInstructionError, 0);
  host.regs.rflags = 2 | kArithmetic;
  host.regs.rsp = VmxGuest::kStack;
  host.run(code);
  const uint64_t vector = host.regs.rip - 1 - VmxGuest::kHandler;
  if (vector < 256) {
    const uint64_t behindError = host.regs.rsp + (vector == 6 ? 0 : wide ? 8 : 4);
    CHECK_EQUAL(host.get<uint32_t>(behindError), VmxGuest::kCode);  // a fault: RIP stands at the instruction
    return exception(vector, host.get<uint32_t>(host.regs.rsp));
  }
  return told(host, host.regs.rflags, host.field(Field::vmInstructionError));
}

/** How code ends in non-root operation: behind it stands CPUID, which exits in every ring. */
std::string guestEnding(VmxGuest& guest, const std::string& code) {
  guest.field(Field::exceptionBitmap, 0xffffffff);
  guest.control(Field::guestRflags, kArithmetic);
  guest.field(Field::vmInstructionError, 0);
  guest.field(Field::exitReason, 0xffff);
  guest.enter(code + BYTES("\x0f\xa2"));
  const uint64_t reason = guest.reason();
  if (reason == number(ExitReason::cpuid)) {
    return told(guest, guest.field(Field::guestRflags), guest.field(Field::vmInstructionError));
  }
  CHECK_EQUAL(guest.field(Field::guestRip), VmxGuest::kGuestCode);
  if (reason != number(ExitReason::exceptionOrNmi)) return "exit " + std::to_string(reason);
  return exception(guest.field(Field::exitInterruptionInformation) & 0xff,
                   guest.field(Field::exitInterruptionErrorCode));
}
std::string exits(ExitReason reason) { return "exit " + std::to_string(number(reason)); }

void leaveOperation(VmxGuest& host) { host.run(kVmxoff); }
void forgetCurrent(VmxGuest& host) { host.run(VmxGuest::vmclear(8)); }
std::string loadsCurrent() { return VmxGuest::vmptrld(8); }
/** The current VMCS pointer, as VMPTRST has it. */
uint64_t current(VmxGuest& host) {
  host.run(at(kVmptrst, kOperand + 0x100));
  return host.get<uint64_t>(kOperand + 0x100);
}

// The state of a host, and of a guest

template <typename Change>
void change(VmxGuest& host, Change&& change) {
  vcpu::Sregs sregs;
  host.processor->getSregs(sregs);
  change(sregs);
  CHECK_EQUAL(host.processor->setSregs(sregs) == nullptr, true);
}
void hostInRing3(VmxGuest& host) {
  change(host, [](vcpu::Sregs& sregs) { sregs.cs.dpl = sregs.ss.dpl = 3; });
}
void hostInCompatibilityMode(VmxGuest& host) {
  change(host, [](vcpu::Sregs& sregs) {
    sregs.cs.l = 0;
    sregs.cs.db = 1;
  });
}
void clearCr0(VmxGuest& host, uint64_t bits) {
  change(host, [=](vcpu::Sregs& sregs) { sregs.cr0 &= ~bits; });
}

void ring3(VmxGuest& guest) {
  guest.field(Field::guestCsSelector, 11);
  guest.field(Field::guestCsAccessRights, 0xa0fb);
  guest.field(Field::guestSsSelector, 19);
  guest.field(Field::guestSsAccessRights, 0xc0f3);
}
void compatibilityMode(VmxGuest& guest) { guest.field(Field::guestCsAccessRights, 0xc09b); }
void v86(VmxGuest& guest) {
  guest.control(Field::guestRflags, 1u << 17);
  for (unsigned seg = 0; seg < 6; seg++) {
    const auto of = [&](Field first) { return static_cast<Field>(static_cast<uint32_t>(first) + 2 * seg); };
    guest.field(of(Field::guestEsSelector), 0);
    guest.field(of(Field::guestEsLimit), 0xffff);
    guest.field(of(Field::guestEsAccessRights), 0xf3);
  }
}
void realMode(VmxGuest& guest) {
  guest.control(Field::secondaryControls, vmx::secondary::kUnrestrictedGuest);
  guest.narrow();
  take(Field::guestCr0, kPeAndPg)(guest);
}

/** With a shadow VMCS for all fields. */
void shadowed(VmxGuest& guest) {
  activate(vmx::secondary::kVmcsShadowing)(guest);
  guest.field(Field::vmreadBitmap, VmxGuest::kBitmaps);
  guest.field(Field::vmwriteBitmap, VmxGuest::kBitmaps + 0x1000);
  guest.field(Field::vmcsLinkPointer, kShadow);
  guest.put<uint32_t>(kShadow, kRevision | 1u << 31);
}

}  // namespace

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
    ring3(user);
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
      {"a bit of the bitmap, in ring 3", both(exiting, ring3), "exit"},
      {"the bit beside it", both(exiting, encoding(0x681c)), "succeeds"},
      {"bit 15 of the encoding", encoding(0xe81e), "exit"},
      {"bit 63 of the encoding", encoding(0x681e | uint64_t{1} << 63), "exit"},
      {"in ring 3", ring3, "#GP(0)"},
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
      {"in ring 3", ring3, "flags as before"},
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
