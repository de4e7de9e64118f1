// Which instruction exits under which control, and what comes before the exit (SDM Vol. 3C, 26.1 and 26.3).
#include "test/native/emulator/ept-guest.h"
#include "test/native/emulator/vmx-leaves.h"

using namespace vtkit;
using namespace vtkit::test;

namespace {

struct Exiting {
  const char* what;
  std::string code;
  Break control;
  ExitReason reason;
  uint64_t user;  // what it does in ring 3 under the control
};
constexpr uint64_t kExits = 0;
const Exiting kExiting[] = {
    {"WBINVD", BYTES("\x0f\x09"), activate(secondary::kWbinvdExiting), ExitReason::wbinvd, kGp},
    {"INVLPG", at(BYTES("\x0f\x01\x3c\x25"), kData), kInvlpg, ExitReason::invlpg, kGp},
    {"INVPCID", at(BYTES("\x66\x0f\x38\x82\x1c\x25"), kData), kInvlpg, ExitReason::invpcid, kGp},
    {"RDTSC", BYTES("\x0f\x31"), kTsc, ExitReason::rdtsc, kExits},
    {"RDTSCP", BYTES("\x0f\x01\xf9"), kTsc, ExitReason::rdtscp, kExits},
    {"RDPMC", BYTES("\x0f\x33"), primaries(primary::kRdpmcExiting), ExitReason::rdpmc, kGp},
    {"MONITOR", BYTES("\x0f\x01\xc8"), primaries(primary::kMonitorExiting), ExitReason::monitor, kUd},
    {"MWAIT", BYTES("\x0f\x01\xc9"), primaries(primary::kMwaitExiting), ExitReason::mwait, kUd},
    {"PAUSE", BYTES("\xf3\x90"), primaries(primary::kPauseExiting), ExitReason::pause, kExits},
    {"RDRAND", BYTES("\x0f\xc7\xf0"), activate(secondary::kRdrandExiting), ExitReason::rdrand, kExits},
    {"RDSEED", BYTES("\x0f\xc7\xf8"), activate(secondary::kRdseedExiting), ExitReason::rdseed, kExits},

    {"mov cr0, r8", BYTES("\x41\x0f\x22\xc0"), hideCr0(kTs, kTs), ExitReason::controlRegisterAccess, kGp},
    {"mov cr4, r9", BYTES("\x41\x0f\x22\xe1"), hideCr4(kVmxe, 0), ExitReason::controlRegisterAccess, kGp},
    {"mov cr3, rax", BYTES("\x0f\x22\xd8"), primaries(primary::kCr3LoadExiting), ExitReason::controlRegisterAccess,
     kGp},
    {"mov rbx, cr3", BYTES("\x0f\x20\xdb"), primaries(primary::kCr3StoreExiting), ExitReason::controlRegisterAccess,
     kGp},
    {"mov cr8, rbx", BYTES("\x44\x0f\x22\xc3"), primaries(primary::kCr8LoadExiting), ExitReason::controlRegisterAccess,
     kGp},
    {"mov rbx, cr8", BYTES("\x44\x0f\x20\xc3"), primaries(primary::kCr8StoreExiting), ExitReason::controlRegisterAccess,
     kGp},
    {"CLTS", BYTES("\x0f\x06"), hideCr0(kTs, kTs), ExitReason::controlRegisterAccess, kGp},
    {"lmsw r8w", BYTES("\x41\x0f\x01\xf0"), hideCr0(kTs, kTs), ExitReason::controlRegisterAccess, kGp},
    // Alone, these exits come before the fault by privilege.
    {"mov dr1, rbx", BYTES("\x0f\x23\xcb"), kDebug, ExitReason::movDr, kExits},
    {"mov rbx, dr1", BYTES("\x0f\x21\xcb"), kDebug, ExitReason::movDr, kExits},

    // mov ecx, IA32_KERNEL_GS_BASE
    {"RDMSR", BYTES("\xb9\x02\x01\x00\xc0\x0f\x32"), kMsrs, ExitReason::rdmsr, kGp},
    {"WRMSR", BYTES("\xb9\x02\x01\x00\xc0\x0f\x30"), kMsrs, ExitReason::wrmsr, kGp},

    {"in al, 80h", BYTES("\xe4\x80"), kPorts, ExitReason::ioInstruction, kGp},
    {"in eax, dx", BYTES("\xed"), kPorts, ExitReason::ioInstruction, kGp},
    {"out 80h, al", BYTES("\xe6\x80"), kPorts, ExitReason::ioInstruction, kGp},
    {"out dx, eax", BYTES("\xef"), kPorts, ExitReason::ioInstruction, kGp},
    {"INS", BYTES("\x6d"), kPorts, ExitReason::ioInstruction, kGp},
    {"OUTS", BYTES("\x6f"), kPorts, ExitReason::ioInstruction, kGp},

    {"SGDT", at(BYTES("\x0f\x01\x04\x25"), kData), kTables, ExitReason::gdtrOrIdtrAccess, kExits},
    {"SIDT", at(BYTES("\x0f\x01\x0c\x25"), kData), kTables, ExitReason::gdtrOrIdtrAccess, kExits},
    {"LGDT", at(BYTES("\x0f\x01\x14\x25"), kData), kTables, ExitReason::gdtrOrIdtrAccess, kGp},
    {"LIDT", at(BYTES("\x0f\x01\x1c\x25"), kData), kTables, ExitReason::gdtrOrIdtrAccess, kGp},
    {"sldt ebx", BYTES("\x0f\x00\xc3"), kTables, ExitReason::ldtrOrTrAccess, kExits},
    {"str ebx", BYTES("\x0f\x00\xcb"), kTables, ExitReason::ldtrOrTrAccess, kExits},
    {"lldt bx", BYTES("\x0f\x00\xd3"), kTables, ExitReason::ldtrOrTrAccess, kGp},
    // mov ebx, 28h
    {"ltr bx", BYTES("\xbb\x28\x00\x00\x00\x0f\x00\xdb"), kTables, ExitReason::ldtrOrTrAccess, kGp},
};

}  // namespace

TEST("an instruction exits under its control, not without it, and not where its privilege is too low") {
  for (const Exiting& row : kExiting) {
    expect(leaves(row.control, row.code), number(row.reason), row.what);
    expect(leaves(nothing, row.code), number(ExitReason::vmcall), row.what);
    const uint64_t user = row.user == kExits ? number(row.reason) : row.user;
    expect(leaves(both(kUser, row.control), row.code), user, std::string(row.what) + " in ring 3");
  }
}

TEST("HLT halts unless it exits, and faults in ring 3") {
  const Break exiting = primaries(primary::kHltExiting);
  expect(leaves(exiting, "\xf4"), number(ExitReason::hlt), "HLT exiting");
  expect(leaves(nothing, "\xf4"), kStays, "no HLT exiting");
  expect(leaves(both(kUser, exiting), "\xf4"), kGp, "ring 3");
}

TEST("CPUID, INVD and XSETBV always exit, the latter two in ring 0") {
  expect(leaves(nothing, BYTES("\x0f\xa2")), number(ExitReason::cpuid), "CPUID");
  expect(leaves(kUser, BYTES("\x0f\xa2")), number(ExitReason::cpuid), "CPUID");
  expect(leaves(nothing, BYTES("\x0f\x08")), number(ExitReason::invd), "INVD");
  expect(leaves(kUser, BYTES("\x0f\x08")), kGp, "INVD");
  expect(leaves(nothing, BYTES("\x0f\x01\xd1")), number(ExitReason::xsetbv), "XSETBV");
  expect(leaves(kUser, BYTES("\x0f\x01\xd1")), kGp, "XSETBV");
}

TEST("an invalid opcode, a privilege and the TSS come before the exit, what else is wrong behind it") {
  constexpr uint64_t kTsd = 4, kDe = 8, kPce = 1u << 8, kUmip = 1u << 11;
  const std::string rdtsc = BYTES("\x0f\x31"), rdtscp = BYTES("\x0f\x01\xf9"), rdpmc = BYTES("\x0f\x33");
  const std::string invpcid = at(BYTES("\x66\x0f\x38\x82\x1c\x25"), kData), sgdt = at(BYTES("\x0f\x01\x04\x25"), kData);
  const std::string xsaves = at(BYTES("\x48\x0f\xc7\x2c\x25"), kData),
                    xrstors = at(BYTES("\x48\x0f\xc7\x1c\x25"), kData);
  const std::string rdpid = BYTES("\xf3\x0f\xc7\xf8"), str = BYTES("\x0f\x00\xc8");
  const auto without = [](uint32_t control) { return take(Field::secondaryControls, control); };
  const Break monitors = primaries(primary::kMonitorExiting | primary::kMwaitExiting);
  const Break unannounced = both(monitors, test::without(emulator::model::kMonitor));
  const Break crs = primaries(primary::kCr3LoadExiting | primary::kCr3StoreExiting | primary::kCr8LoadExiting |
                              primary::kCr8StoreExiting);
  // What the TSS allows: its map has only zeros.
  const Break map = [](VmxGuest& guest) { guest.put<uint16_t>(102, 16); };
  const struct {
    const char* what;
    Break change;
    std::string code;
    uint64_t expected;
  } rows[] = {
      {"RDTSC, CR4.TSD", both(kTsc, add(Field::guestCr4, kTsd)), rdtsc, number(ExitReason::rdtsc)},
      {"RDTSC, CR4.TSD, ring 3", all({kTsc, add(Field::guestCr4, kTsd), kUser}), rdtsc, kGp},
      {"RDTSCP, CR4.TSD", both(kTsc, add(Field::guestCr4, kTsd)), rdtscp, number(ExitReason::rdtscp)},
      {"RDTSCP, CR4.TSD, ring 3", all({kTsc, add(Field::guestCr4, kTsd), kUser}), rdtscp, kGp},
      {"RDTSCP that is not enabled", both(kTsc, without(secondary::kEnableRdtscp)), rdtscp, kUd},
      {"RDTSCP that is not enabled, CR4.TSD, ring 3",
       all({kTsc, without(secondary::kEnableRdtscp), add(Field::guestCr4, kTsd), kUser}), rdtscp, kUd},
      {"RDPID", kTsc, rdpid, number(ExitReason::vmcall)},
      {"RDPID that is not enabled", without(secondary::kEnableRdtscp), rdpid, kUd},
      {"RDPMC, CR4.PCE, ring 3", all({primaries(primary::kRdpmcExiting), add(Field::guestCr4, kPce), kUser}), rdpmc,
       number(ExitReason::rdpmc)},
      // mov ecx, 77h
      {"RDPMC of no counter", primaries(primary::kRdpmcExiting), BYTES("\xb9\x77\x00\x00\x00") + rdpmc,
       number(ExitReason::rdpmc)},
      {"INVPCID that is not enabled, ring 3", all({kInvlpg, without(secondary::kEnableInvpcid), kUser}), invpcid, kUd},
      {"XSAVES", nothing, xsaves, number(ExitReason::vmcall)},
      {"XSAVES that is not enabled, ring 3", both(without(secondary::kEnableXsaves), kUser), xsaves, kUd},
      {"XRSTORS that is not enabled", without(secondary::kEnableXsaves), xrstors, kUd},
      {"XSETBV, no CR4.OSXSAVE", take(Field::guestCr4, kOsxsave), BYTES("\x0f\x01\xd1"), kUd},
      {"MONITOR of a processor without", unannounced, BYTES("\x0f\x01\xc8"), kUd},
      {"MWAIT of a processor without", unannounced, BYTES("\x0f\x01\xc9"), kUd},
      {"MONITOR with an extension", monitors, BYTES("\xb1\x01\x0f\x01\xc8"), number(ExitReason::monitor)},

      {"mov cr1, rax, ring 3", both(crs, kUser), BYTES("\x0f\x22\xc8"), kUd},
      {"mov rax, cr1, ring 3", both(crs, kUser), BYTES("\x0f\x20\xc8"), kUd},
      {"mov cr2, rax", crs, BYTES("\x0f\x22\xd0"), number(ExitReason::vmcall)},
      {"mov rbx, cr0", crs, BYTES("\x0f\x20\xc3"), number(ExitReason::vmcall)},
      {"mov cr8, rax of no priority", crs, BYTES("\x44\x0f\x22\xc0"), number(ExitReason::controlRegisterAccess)},
      {"mov dr8, rax", kDebug, BYTES("\x44\x0f\x23\xc0"), kUd},
      {"mov rax, dr8", kDebug, BYTES("\x44\x0f\x21\xc0"), kUd},
      {"mov dr4, rax, CR4.DE", both(kDebug, add(Field::guestCr4, kDe)), BYTES("\x0f\x23\xe0"),
       number(ExitReason::movDr)},
      {"mov rax, dr5, CR4.DE", both(kDebug, add(Field::guestCr4, kDe)), BYTES("\x0f\x21\xe8"),
       number(ExitReason::movDr)},
      // mov ecx, 77777777h
      {"RDMSR of none", nothing, BYTES("\xb9\x77\x77\x77\x77\x0f\x32"), number(ExitReason::rdmsr)},

      {"a port that the TSS allows, ring 3", all({kPorts, kUser, map}), BYTES("\xec"),
       number(ExitReason::ioInstruction)},
      {"a port of ring 3 by IOPL", all({kPorts, kUser, add(Field::guestRflags, 0x3000)}), BYTES("\xec"),
       number(ExitReason::ioInstruction)},
      {"OUTS of an address that is not canonical", kPorts, BYTES("\x48\x0f\xba\xee\x3e\x6e"),
       number(ExitReason::ioInstruction)},
      {"REP INS of nothing", kPorts, BYTES("\xf3\x6c"), number(ExitReason::vmcall)},
      {"REP OUTS of nothing", kPorts, BYTES("\xf2\x6e"), number(ExitReason::vmcall)},
      // RCX is 100000000h
      {"REP OUTS of nothing by ECX", kPorts, BYTES("\x48\x0f\xba\xe9\x20\x67\xf3\x6e"), number(ExitReason::vmcall)},
      {"REP OUTS by RCX", kPorts, BYTES("\x48\x0f\xba\xe9\x20\xf3\x6e"), number(ExitReason::ioInstruction)},

      {"SGDT, CR4.UMIP", both(kTables, add(Field::guestCr4, kUmip)), sgdt, number(ExitReason::gdtrOrIdtrAccess)},
      {"SGDT, CR4.UMIP, ring 3", all({kTables, add(Field::guestCr4, kUmip), kUser}), sgdt, kGp},
      {"STR, CR4.UMIP, ring 3", all({kTables, add(Field::guestCr4, kUmip), kUser}), str, kGp},
      {"SMSW to memory", kTables, at(BYTES("\x0f\x01\x24\x25"), kData), number(ExitReason::vmcall)},
      {"SMSW to a register", kTables, BYTES("\x0f\x01\xe0"), number(ExitReason::vmcall)},
      {"verr bx", kTables, BYTES("\x0f\x00\xe3"), number(ExitReason::vmcall)},
      {"LGDT of what is not mapped", kTables, at(BYTES("\x0f\x01\x14\x25"), 0x400000),
       number(ExitReason::gdtrOrIdtrAccess)},
      {"LMSW of what is not mapped", hideCr0(kTs, kTs), at(BYTES("\x0f\x01\x34\x25"), 0x400000), kPf},
      // bts rsi, 62
      {"LMSW of an address that is not canonical", hideCr0(kTs, kTs), BYTES("\x48\x0f\xba\xee\x3e\x0f\x01\x36"), kGp},
  };
  for (const auto& row : rows) expect(leaves(row.change, row.code), row.expected, row.what);
}

TEST("in virtual-8086 and real mode SLDT is an invalid opcode, and does not exit") {
  const std::string sldt = BYTES("\x0f\x00\xc0");
  const Break mode = both(kTables, v86);
  expect(leaves(mode, sldt, 32), kUd, "virtual-8086 mode");
  expect(leaves(mode, BYTES("\x66\x0f\x01\x06\x00\x80"), 32), number(ExitReason::gdtrOrIdtrAccess), "its SGDT");

  EptGuest guest;
  prepare(guest);
  all({kTables, unrestricted(), take(Field::guestCr0, kPeAndPg)})(guest);
  guest.narrow();
  expect(leaves(guest, sldt), kUd, "real mode");
}

TEST("of what looks like PAUSE only PAUSE exits") {
  const Break exiting = primaries(primary::kPauseExiting);
  // nop; xchg ecx, eax; xchg r8d, eax; mov eax, ebx
  for (const char* code : {"\x90", "\xf3\x91", "\xf3\x41\x90", "\xf3\x89\xd8"}) {
    expect(leaves(exiting, code), number(ExitReason::vmcall), "no PAUSE");
  }
}

TEST("a load of CR3 exits unless one of the targets that count is its value") {
  for (unsigned count = 0; count <= 4; count++) {
    for (unsigned equal = 0; equal < 4; equal++) {
      VmxGuest guest;
      prepare(guest);
      guest.control(Field::primaryControls, primary::kCr3LoadExiting);
      guest.field(Field::cr3TargetCount, count);
      guest.field(static_cast<Field>(static_cast<uint32_t>(Field::cr3TargetValue0) + 2 * equal), guest.regs.rax);
      const uint64_t found = leaves(guest, BYTES("\x0f\x22\xd8"));
      CHECK_EQUAL(found, number(equal < count ? ExitReason::vmcall : ExitReason::controlRegisterAccess));
    }
  }
}

TEST("a load of CR0, CR3 or CR4 exits by the bits that the host owns, in 32 bits by half the register") {
  constexpr uint64_t kHigh = uint64_t{1} << 40, kEt = 16;
  const Break high = [](VmxGuest& guest) {
    guest.regs.rax |= kHigh;
    guest.regs.r8 |= kHigh;
    guest.regs.rcx = guest.regs.r9 | kHigh;
  };
  const Break target = all({high, primaries(primary::kCr3LoadExiting), set(Field::cr3TargetCount, 1),
                            set(Field::cr3TargetValue0, Guest::kTables)});
  const std::string cr0 = BYTES("\x41\x0f\x22\xc0"), cr4 = BYTES("\x41\x0f\x22\xe1");
  const struct {
    const char* what;
    Break change;
    std::string code;
    bool exits;
    unsigned bits;
  } rows[] = {
      {"CR0 as its shadow", hideCr0(kTs | kEt, kEt), cr0, false, 64},
      {"CR0, a bit that is not owned", hideCr0(kEt, kTs | kEt), cr0, false, 64},
      {"CR0, 0 for 1", hideCr0(kTs | kEt, kTs | kEt), cr0, true, 64},
      {"CR0, 1 for 0", hideCr0(kTs | kEt, 0), cr0, true, 64},
      {"CR4 as its shadow", hideCr4(~uint64_t{0}, 0x20 | kVmxe | kOsxsave), cr4, false, 64},
      {"CR4, a bit that is not owned", hideCr4(0x20, 0x20), cr4, false, 64},
      {"CR4, 1 for 0", hideCr4(kVmxe, 0x20), cr4, true, 64},
      {"CR4, 0 for 1", hideCr4(1, 1), cr4, true, 64},
      {"CR0, upper half", both(high, hideCr0(kHigh, 0)), cr0, true, 64},
      {"CR3, upper half", target, BYTES("\x0f\x22\xd8"), true, 64},
      // mov cr4, ecx; mov cr3, eax
      {"CR4, upper half, in 32 bits", both(high, hideCr4(kHigh, 0)), BYTES("\x0f\x22\xe1"), false, 32},
      {"CR3, upper half, in 32 bits", target, BYTES("\x0f\x22\xd8"), false, 32},
  };
  for (const auto& row : rows) {
    const ExitReason expected = row.exits ? ExitReason::controlRegisterAccess : ExitReason::vmcall;
    expect(leaves(row.change, row.code, row.bits), number(expected), row.what);
  }
}

TEST("CLTS exits only where the host owns TS and shows it set; LMSW where a bit would differ, but for PE cleared") {
  const std::string clts = BYTES("\x0f\x06"), lmsw = BYTES("\x0f\x01\xf3");  // of bx
  constexpr uint64_t kPe = 1, kEt = 16;
  const struct {
    std::string code;
    uint64_t owned, shown;
    uint16_t loaded;
    bool exits;
  } rows[] = {
      {clts, kTs, kTs, 0, true},       {clts, kTs, 0, 0, false},           {clts, 0, kTs, 0, false},
      {clts, ~kTs, ~kTs, 0, false},    {lmsw, kPe, 0, kPe, true},          {lmsw, kPe, kPe, 0, false},
      {lmsw, kPe, kPe, kPe, false},    {lmsw, kMp, 0, kMp | kPe, true},    {lmsw, kMp, kMp, kPe, true},
      {lmsw, kEm, 0, kEm, true},       {lmsw, kEm, kEm, 0, true},          {lmsw, kTs, kTs, 0, true},
      {lmsw, kTs, kTs, kTs, false},    {lmsw, kMp | kTs, kTs, kTs, false}, {lmsw, ~kTs, kPe, kPe | kTs, false},
      {lmsw, kEt, kEt, 0xffe0, false}, {lmsw, 0, kTs | kPe, 0, false},
  };
  for (const auto& row : rows) {
    VmxGuest guest;
    prepare(guest);
    hideCr0(row.owned, row.shown)(guest);
    guest.regs.rbx = row.loaded;
    const uint64_t found = leaves(guest, row.code);
    CHECK_EQUAL(found, number(row.exits ? ExitReason::controlRegisterAccess : ExitReason::vmcall));
    if (row.exits && row.code == lmsw) {
      CHECK_EQUAL(guest.field(Field::exitQualification), uint64_t{row.loaded} << 16 | 0x30);
    }
  }
}

TEST("an MSR exits by its bit of the four bitmaps, and outside of their ranges always") {
  for (const bool write : {false, true}) {
    const uint64_t reason = number(write ? ExitReason::wrmsr : ExitReason::rdmsr);
    const auto with = [&](uint32_t msr, unsigned fill, uint64_t bit) {
      return leaves(
          [&](VmxGuest& guest) {
            for (uint64_t i = 0; i < 0x1000; i++)
              guest.put<uint8_t>(VmxGuest::kBitmaps + i, static_cast<uint8_t>(fill));
            const uint64_t byte = VmxGuest::kBitmaps + (write ? 0x800 : 0) + bit / 8;
            guest.put<uint8_t>(byte, guest.get<uint8_t>(byte) ^ (1u << (bit & 7)));
          },
          at("\xb9", msr) + BYTES("\x0f") + (write ? "\x30" : "\x32"));
    };
    const struct {
      uint32_t msr;
      uint64_t bit;
    } rows[] = {
        {0, 0}, {0x277, 0x277}, {0x1fff, 0x1fff}, {0xc0000000, 0x2000}, {0xc0000102, 0x2102}, {0xc0001fff, 0x3fff}};
    for (const auto& row : rows) {
      expect(with(row.msr, 0, row.bit), reason, "a bit that is set");
      CHECK_EQUAL(with(row.msr, 0xff, row.bit) == reason, false);
    }
    for (const uint32_t msr : {0x2000u, 0x40000000u, 0xbfffffffu, 0xc0002000u, 0xffffffffu}) {
      expect(with(msr, 0, 0x1000), reason, "no range");
    }
  }
}

TEST("an access to ports exits by the bit of each, or where it wraps around, whatever unconditional exiting says") {
  const struct {
    uint16_t port;
    std::string code;
    unsigned bytes;
  } rows[] = {
      {0, "\xec", 1},      {0x7fff, "\xec", 1},           {0x8000, "\xec", 1},
      {0xffff, "\xec", 1}, {0x3f8, BYTES("\x66\xed"), 2}, {0x7fff, BYTES("\x66\xed"), 2},
      {0x7ffd, "\xed", 4}, {0xfffc, "\xed", 4},
  };
  const auto with = [](uint16_t port, const std::string& code, unsigned fill, uint32_t bit) {
    return leaves(
        [&](VmxGuest& guest) {
          guest.control(Field::primaryControls, primary::kUseIoBitmaps | primary::kUnconditionalIoExiting);
          for (uint64_t i = 0; i < 0x2000; i++) {
            guest.put<uint8_t>(VmxGuest::kBitmaps + 0x1000 + i, static_cast<uint8_t>(fill));
          }
          const uint64_t byte = VmxGuest::kBitmaps + 0x1000 + bit / 8;
          guest.put<uint8_t>(byte, guest.get<uint8_t>(byte) ^ (1u << (bit & 7)));
          guest.regs.rdx = port;
        },
        code);
  };
  for (const auto& row : rows) {
    for (uint32_t at = row.port; at < row.port + row.bytes; at++) {
      expect(with(row.port, row.code, 0, at), number(ExitReason::ioInstruction), "a bit that is set");
    }
    for (const uint32_t beside : {row.port - 1u, row.port + row.bytes}) {
      expect(with(row.port, row.code, 0, beside & 0xffff), number(ExitReason::vmcall), "a bit beside");
    }
  }
  expect(with(0x80, "\xec", 0xff, 0x80), number(ExitReason::vmcall), "the only bit that is clear");
  expect(with(0xffff, BYTES("\x66\xed"), 0, 0x1234), number(ExitReason::ioInstruction), "two bytes around");
  expect(with(0xfffd, "\xed", 0, 0x1234), number(ExitReason::ioInstruction), "four bytes around");
}
TEST("a loop of PAUSE exits behind its window, where each comes within the gap of the one before") {
  constexpr uint32_t kLoops = 100;
  // mov ecx, 100; pause; dec ecx; jnz -6: a pause every three instructions
  const std::string code = at("\xb9", kLoops) + BYTES("\xf3\x90\xff\xc9\x75\xfa");
  const struct {
    const char* what;
    Break change;
    uint32_t gap, window;
    uint64_t left;  // pauses, 0: it does not exit
  } rows[] = {
      {"window 20", nothing, 3, 20, kLoops - 7},
      {"window 21", nothing, 3, 21, kLoops - 8},
      {"window 0", nothing, 3, 0, kLoops - 1},
      {"a gap that is too small", nothing, 2, 0, 0},
      {"ring 3", kUser, 3, 20, 0},
      {"no PAUSE-loop exiting", take(Field::secondaryControls, secondary::kPauseLoopExiting), 3, 20, 0},
      {"PAUSE exiting too", primaries(primary::kPauseExiting), 3, 20, kLoops},
  };
  for (const auto& row : rows) {
    VmxGuest guest;
    prepare(guest);
    activate(secondary::kPauseLoopExiting)(guest);
    guest.field(Field::pleGap, row.gap);
    guest.field(Field::pleWindow, row.window);
    row.change(guest);
    expect(leaves(guest, code), number(row.left == 0 ? ExitReason::vmcall : ExitReason::pause), row.what);
    expect(guest.regs.rcx, row.left, row.what);
  }
}

TEST("the first PAUSE behind a VM entry begins a loop, however soon it comes") {
  VmxGuest guest;
  prepare(guest);
  activate(secondary::kPauseLoopExiting)(guest);
  guest.field(Field::pleGap, 1000000);
  guest.field(Field::pleWindow, 20);
  leaves(guest, at("\xb9", 100) + BYTES("\xf3\x90\xff\xc9\x75\xfa"));
  CHECK_EQUAL(guest.regs.rcx, 93u);
  guest.again();
  CHECK_EQUAL(guest.reason(), number(ExitReason::pause));
  CHECK_EQUAL(guest.regs.rcx, 86u);
}

TEST("the time stamp counter is scaled and offset where its offset is used, else neither") {
  const struct {
    bool offset, scale;
    uint64_t expected;
  } rows[] = {{false, false, 0x100}, {false, true, 0x100}, {true, false, 0x101}, {true, true, 0x301}};
  for (const auto& row : rows) {
    VmxGuest guest;
    prepare(guest);
    emulator::writeMsr(guest.processor->cpu(), 0x10, uint64_t{0x100} << 32);
    if (row.offset) guest.control(Field::primaryControls, primary::kUseTscOffsetting);
    if (row.scale) guest.control(Field::secondaryControls, secondary::kUseTscScaling);
    guest.field(Field::tscOffset, uint64_t{1} << 32);
    guest.field(Field::tscMultiplier, uint64_t{3} << 48);
    leaves(guest, BYTES("\x0f\x31"));
    CHECK_EQUAL(guest.regs.rdx, row.expected);
  }
}
