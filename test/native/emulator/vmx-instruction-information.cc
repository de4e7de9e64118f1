// What the exit of an instruction tells of it: qualification, instruction information, linear address (SDM Vol.
// 3C, 28.2).
#include "test/native/emulator/ept-guest.h"
#include "test/native/emulator/vmx-leaves.h"

using namespace vtkit;
using namespace vtkit::test;

TEST("an exit tells registers, sizes and addresses of its instruction") {
  constexpr uint64_t kFsBase = 0x5000, kFs = 4u << 15, kDs = 3u << 15, kWide = 2u << 7, kNoBase = 1u << 27,
                     kRegister = 1u << 10, kNoIndex = 1u << 22, kOutsAddress = kWide | kDs;
  constexpr uint64_t kImmediate = 1u << 6, kRep = 1u << 5, kString = 1u << 4, kIn = 1u << 3,
                     kOfPort = uint64_t{kPort} << 16;
  const Break cr0 = hideCr0(kTs, kTs), random = activate(secondary::kRdrandExiting | secondary::kRdseedExiting);
  const Break crs = primaries(primary::kCr3LoadExiting | primary::kCr3StoreExiting | primary::kCr8LoadExiting |
                              primary::kCr8StoreExiting);
  const Break fs = base(kFsBase, Field::guestFsBase), ds = base(0x1000);
  const std::string bts = BYTES("\x48\x0f\xba\xee\x20");  // bts rsi, 32
  const struct {
    const char* what;
    Break change;
    std::string code;
    uint64_t qualification, information = 0, linear = 0;
  } rows[] = {
      {"mov cr0, r12", cr0, BYTES("\x41\x0f\x22\xc4"), 0xc00},
      {"mov cr3, rsp", crs, BYTES("\x0f\x22\xdc"), 0x403},
      {"mov cr4, rbp", hideCr4(kVmxe, kVmxe), BYTES("\x0f\x22\xe5"), 0x504},
      {"mov cr8, r15", crs, BYTES("\x45\x0f\x22\xc7"), 0xf08},
      {"mov r10, cr3", crs, BYTES("\x41\x0f\x20\xda"), 0xa13},
      {"mov rdi, cr8", crs, BYTES("\x44\x0f\x20\xc7"), 0x718},
      {"CLTS", cr0, BYTES("\x0f\x06"), 0x20},
      {"lmsw dx", cr0, BYTES("\x0f\x01\xf2"), 0x30 | uint64_t{kPort} << 16},
      {"lmsw [rsi]", both(cr0, ds), BYTES("\x0f\x01\x36"), 0x43210070, 0, kData},
      {"lmsw fs:[rbx + 8]", both(cr0, fs), BYTES("\x64\x0f\x01\x73\x08"), 0x12340070, 0, kFsBase + 8},
      {"mov dr7, r11", kDebug, BYTES("\x41\x0f\x23\xfb"), 0xb07},
      {"mov rdx, dr4", kDebug, BYTES("\x0f\x21\xe2"), 0x214},

      {"rdrand r13w", random, BYTES("\x66\x41\x0f\xc7\xf5"), 0, 13u << 3},
      {"rdrand ebx", random, BYTES("\x0f\xc7\xf3"), 0, 3u << 3 | 1u << 11},
      {"rdseed rdx", random, BYTES("\x48\x0f\xc7\xfa"), 0, 2u << 3 | 2u << 11},

      {"invlpg [rsi + 8]", both(kInvlpg, ds), BYTES("\x0f\x01\x7e\x08"), kData + 8},
      {"invlpg fs:[rsi]", both(kInvlpg, fs), BYTES("\x64\x0f\x01\x3e"), kFsBase + kData},
      {"invlpg gs:[rsi]", both(kInvlpg, base(0x6000, Field::guestGsBase)), BYTES("\x65\x0f\x01\x3e"), 0x6000 + kData},
      // Behind one in the same block: nop
      {"invlpg [rip + 100h]", kInvlpg, BYTES("\x90\x0f\x01\x3d\x00\x01\x00\x00"), kCode + 8 + 0x100},
      {"invpcid r9, [rip + 100h]", kInvlpg, BYTES("\x90\x66\x44\x0f\x38\x82\x0d\x00\x01\x00\x00"), kCode + 11 + 0x100,
       kWide | kDs | kNoIndex | kNoBase | 9u << 28},
      {"invpcid rbx, fs:[rbx + r12 * 4 - 8]", kInvlpg, BYTES("\x64\x66\x42\x0f\x38\x82\x5c\xa3\xf8"), ~uint64_t{7},
       2 | kWide | kFs | 12u << 18 | 3u << 23 | 3u << 28},

      {"sidt [rip + 100h]", kTables, BYTES("\x90\x0f\x01\x0d\x00\x01\x00\x00"), kCode + 8 + 0x100,
       kWide | kDs | kNoIndex | kNoBase | 1u << 28 | 1u << 11},
      {"ltr [esi * 8 + 1000h]", kTables, BYTES("\x67\x0f\x00\x1c\xf5\x00\x10\x00\x00"), 0x1000,
       3 | 1u << 7 | kDs | 6u << 18 | kNoBase | 3u << 28},
      {"lldt r14w", kTables, BYTES("\x41\x0f\x00\xd6"), 0, 14u << 3 | kRegister | 2u << 28},

      {"in al, 80h", kPorts, BYTES("\xe4\x80"), kOfPort | kImmediate | kIn},
      {"in eax, dx with REX.W", kPorts, BYTES("\x48\xed"), kOfPort | kIn | 3},
      {"out dx, ax", kPorts, BYTES("\x66\xef"), kOfPort | 1},
      {"out 80h, eax", kPorts, BYTES("\xe7\x80"), kOfPort | kImmediate | 3},
      {"insb", kPorts, BYTES("\x6c"), kOfPort | kString | kIn, kWide, kData},
      {"insb, RCX 0", kPorts, BYTES("\x31\xc9\x6c"), kOfPort | kString | kIn, kWide, kData},
      {"insd es:[edi]", kPorts, BYTES("\x67\x6d"), kOfPort | kString | kIn | 3, 1u << 7, kData},
      {"rep insw", kPorts, BYTES("\x66\xf3\x6d"), kOfPort | kRep | kString | kIn | 1, kWide, kData},
      {"outsb", both(kPorts, ds), BYTES("\x6e"), kOfPort | kString, kOutsAddress, kData},
      {"repne outsd with REX.W", kPorts, BYTES("\xf2\x48\x6f"), kOfPort | kRep | kString | 3, kOutsAddress, kData},
      {"outsd fs:", both(kPorts, fs), BYTES("\x64\x6f"), kOfPort | kString | 3, kWide | kFs, kFsBase + kData},
      {"outsb [rsi]", kPorts, bts + BYTES("\x6e"), kOfPort | kString, kOutsAddress, kData | uint64_t{1} << 32},
      {"outsb [esi]", kPorts, bts + BYTES("\x67\x6e"), kOfPort | kString, 1u << 7 | kDs, kData},
  };
  for (const auto& row : rows) {
    VmxGuest guest;
    prepare(guest);
    guest.regs.rcx = 1;
    guest.put<uint16_t>(kData, 0x4321);
    guest.put<uint16_t>(kFsBase + 8, 0x1234);
    row.change(guest);
    const uint64_t how = leaves(guest, row.code);
    CHECK_EQUAL((how & (kFault | kStays)) != 0 || how == number(ExitReason::vmcall), false);
    expect(guest.field(Field::exitQualification), row.qualification, row.what);
    expect(guest.field(Field::exitInstructionInformation), row.information, row.what);
    expect(guest.field(Field::guestLinearAddress), row.linear, row.what);
  }
}

TEST("in 32 bits an exit tells addresses of as many, and how wide the instruction takes operands and addresses") {
  constexpr uint64_t kBase = 0xffff0000, kDs = 3u << 15, kNarrow = 1u << 7, kNoIndex = 1u << 22;
  const Break high = base(kBase), fs = base(kBase, Field::guestFsBase);
  const struct {
    const char* what;
    Break change;
    std::string code;
    uint64_t qualification, information, linear;
  } rows[] = {
      {"invlpg [esi]", both(kInvlpg, high), BYTES("\x0f\x01\x3e"), 0, 0, 0},
      {"invlpg fs:[esi + 8]", both(kInvlpg, fs), BYTES("\x64\x0f\x01\x7e\x08"), 8, 0, 0},
      {"outsb", both(kPorts, high), BYTES("\x6e"), uint64_t{kPort} << 16 | 1u << 4, kNarrow | kDs, 0},
      {"outsb [si]", kPorts, BYTES("\x67\x6e"), uint64_t{kPort} << 16 | 1u << 4, kDs, kData & 0xffff},
      {"insb", kPorts, BYTES("\x6c"), uint64_t{kPort} << 16 | 3u << 3, kNarrow, kData},
      {"lmsw [esi]", both(hideCr0(kTs, kTs), high), BYTES("\x0f\x01\x36"), 0x12340070, 0, 0},
      {"sgdt [ebx + 8]", kTables, BYTES("\x0f\x01\x43\x08"), 8, kNarrow | kDs | 1u << 11 | kNoIndex | 3u << 23, 0},
      {"o16 lgdt [ebx + 8]", kTables, BYTES("\x66\x0f\x01\x53\x08"), 8, kNarrow | kDs | kNoIndex | 3u << 23 | 2u << 28,
       0},
      {"lidt [bx + si - 8]", kTables, BYTES("\x67\x0f\x01\x58\xf8"), 0xfff8,
       kDs | 1u << 11 | 6u << 18 | 3u << 23 | 3u << 28, 0},
  };
  for (const auto& row : rows) {
    VmxGuest guest(32);
    prepare(guest);
    guest.put<uint16_t>(0, 0x1234);
    row.change(guest);
    leaves(guest, row.code);
    expect(guest.field(Field::exitQualification), row.qualification, row.what);
    expect(guest.field(Field::exitInstructionInformation), row.information, row.what);
    expect(guest.field(Field::guestLinearAddress), row.linear, row.what);
  }
}

TEST("OUTS for which the TSS cannot be read exits with the address of the TSS") {
  EptGuest guest;
  prepare(guest);
  both(kPorts, kUser)(guest);
  guest.field(Field::guestTrBase, EptGuest::kTarget);
  guest.map(EptGuest::kTarget, EptGuest::kTarget, 0);
  expect(leaves(guest, "\x6e"), number(ExitReason::eptViolation), "OUTS");
  CHECK_EQUAL(guest.field(Field::guestLinearAddress), EptGuest::kTarget + 102);
}
