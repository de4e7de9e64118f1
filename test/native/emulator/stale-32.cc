// Stale translations outside long mode: paging turned off, CR4.PAE, task switches (SDM Vol. 3A, 4.10.4.1).
#include "test/native/emulator/guest.h"

using namespace vtkit;
using namespace vtkit::test;

namespace {

#define BYTES(TEXT) std::string(TEXT, sizeof(TEXT) - 1)
std::string bytesOf(uint32_t value) { return std::string(reinterpret_cast<const char*>(&value), 4); }

constexpr uint32_t kPge = 1 << 7, kPae = 1 << 5, kPse = 1 << 4, kUmip = 1 << 11, kPg = 1u << 31, kGlobal = 0x100;
constexpr uint32_t kTable = 0x3e0000, kOld = 0x100000, kNew = 0x101000, kOldValue = 0xaa, kNewValue = 0xbb;

std::string flipCr4(uint32_t bits) { return BYTES("\x0f\x20\xe1\x81\xf1") + bytesOf(bits) + BYTES("\x0f\x22\xe1"); }
std::string flipCr0(uint32_t bits) { return BYTES("\x0f\x20\xc1\x81\xf1") + bytesOf(bits) + BYTES("\x0f\x22\xc1"); }
const std::string kRead = BYTES("\xa1\x00\x00\x40\x00");  // mov eax, [0x400000]

/** By two levels: 4 MiB one to one, and behind them a page with either of two frames. */
class PagedGuest : public Guest {
 public:
  explicit PagedGuest(uint32_t cr4 = 0, uint32_t bits = 3) : Guest(32), bits_(bits) {
    put<uint32_t>(kTables, 0x83);
    put<uint32_t>(kTables + 4, kTable | 3);
    put<uint32_t>(kOld, kOldValue);
    put<uint32_t>(kNew, kNewValue);
    start(cr4 | kPse);
  }
  void start(uint32_t cr4) {
    vcpu::Sregs sregs;
    processor->getSregs(sregs);
    sregs.cr0 |= kPg;
    sregs.cr4 |= cr4;
    processor->setSregs(sregs);
    processor->keepTranslations();
  }
  /** Whether the old frame is still read behind `code`, once the entry shows the new one. */
  bool livesThrough(const std::string& code) {
    put<uint32_t>(kTable, kOld | bits_);
    run(BYTES("\x0f\x01\x3d\x00\x00\x40\x00") + kRead);  // behind INVLPG
    CHECK_EQUAL(regs.rax, kOldValue);
    put<uint32_t>(kTable, kNew | bits_);
    run(code + kRead);
    return regs.rax == kOldValue;
  }

 private:
  const uint32_t bits_;
};

}  // namespace

TEST("clearing CR0.PG ends all translations, global ones too; other bits of CR0 end none") {
  PagedGuest guest(kPge, 3 | kGlobal);
  CHECK_EQUAL(guest.livesThrough(flipCr0(1 << 16)), true);  // WP
  CHECK_EQUAL(guest.livesThrough(flipCr0(kPg) + flipCr0(kPg)), false);
}

TEST("a page of 4 MiB is kept whole") {
  PagedGuest guest;
  guest.put<uint32_t>(PagedGuest::kTables + 4, 0x83);
  guest.run(kRead);
  guest.put<uint32_t>(0x10000, 0x11);
  guest.put<uint32_t>(PagedGuest::kTables + 4, kTable | 3);
  guest.put<uint32_t>(kTable + 4 * 0x10, kNew | 3);
  guest.run(BYTES("\xa1\x00\x00\x41\x00"));  // mov eax, [0x410000]
  CHECK_EQUAL(guest.regs.rax, 0x11u);
  guest.run(BYTES("\x0f\x01\x3d\x00\x00\x40\x00") + BYTES("\xa1\x00\x00\x41\x00"));
  CHECK_EQUAL(guest.regs.rax, kNewValue);
}

TEST("INVLPG takes a linear address of 32 bits: base and offset wrap") {
  for (const bool stale : {false, true}) {
    PagedGuest guest;
    if (!stale) guest.processor->cpu().kept = nullptr;
    vcpu::Sregs sregs;
    guest.processor->getSregs(sregs);
    sregs.fs.base = 0x800000;
    guest.processor->setSregs(sregs);
    // mov eax, [0x400000]; mov [kTable], kNew | 3; invlpg fs:[0xffc00000]; mov eax, [0x400000]
    guest.put<uint32_t>(kTable, kOld | 3);
    const std::string change = BYTES("\xc7\x05") + bytesOf(kTable) + bytesOf(kNew | 3);
    guest.run(kRead + change + BYTES("\x64\x0f\x01\x3d\x00\x00\xc0\xff") + kRead);
    CHECK_EQUAL(guest.regs.rax, kNewValue);
  }
}

TEST("a change of CR4.PAE ends translations") {
  // One table for both kinds of paging: its third and fourth word are the pointer for the code's address, and its
  // entries 256 and 257 the code's page and a table.
  constexpr uint32_t kAt = 0x40400000, kRip = 0x40001000, kDirectory = 0x3e2000;
  for (const bool pae : {false, true}) {
    PagedGuest guest;
    guest.put<uint64_t>(PagedGuest::kTables, 0);
    guest.put<uint64_t>(PagedGuest::kTables + 8, kDirectory | 1);
    guest.put<uint64_t>(kDirectory, 0x83);
    guest.put<uint32_t>(PagedGuest::kTables + 4 * 256, 0x83);
    guest.put<uint32_t>(PagedGuest::kTables + 4 * 257, kTable | 3);
    guest.start(0);
    const auto read = [&](const std::string& before) {
      guest.write(Guest::kCode, before + '\xa1' + bytesOf(kAt) + '\xf4');
      guest.regs.rip = kRip;
      CHECK_EQUAL(static_cast<int>(guest.run()), static_cast<int>(Emulator::Stop::halted));
      return guest.regs.rax;
    };
    guest.put<uint32_t>(kTable, kOld | 3);
    CHECK_EQUAL(read({}), kOldValue);
    guest.put<uint32_t>(kTable, kNew | 3);
    const uint32_t bit = pae ? kPae : kUmip;
    CHECK_EQUAL(read(flipCr4(bit) + flipCr4(bit)), pae ? kNewValue : kOldValue);
  }
}

TEST("a task switch ends translations if it changes CR3, but for global ones") {
  constexpr uint32_t kGdt = 0x27000, kFirst = 0x5000, kSecond = 0x6000, kEntry = 0x2000, kOtherTables = 0x3f8000;
  const struct {
    uint32_t cr3, bits;
    bool lives;
  } rows[] = {{Guest::kTables, 3, true}, {kOtherTables, 3, false}, {kOtherTables, 3 | kGlobal, true}};
  for (const auto& row : rows) {
    PagedGuest guest(kPge, row.bits);
    guest.put<uint32_t>(kOtherTables, 0x83);
    guest.put<uint32_t>(kOtherTables + 4, kTable | 3);
    guest.put<uint64_t>(kGdt + 8, 0x00cf9b000000ffff);
    guest.put<uint64_t>(kGdt + 16, 0x00cf93000000ffff);
    guest.put<uint64_t>(kGdt + 24, 0x0000890000000067 | uint64_t{kFirst} << 16);
    guest.put<uint64_t>(kGdt + 32, 0x0000890000000067 | uint64_t{kSecond} << 16);
    vcpu::Sregs sregs;
    guest.processor->getSregs(sregs);
    sregs.gdt.base = kGdt;
    sregs.gdt.limit = 0xff;
    guest.processor->setSregs(sregs);
    const struct {
      uint32_t at, value;
    } image[] = {{28, row.cr3}, {32, kEntry}, {36, 2}, {72, 16}, {76, 8}, {80, 16}, {84, 16}};
    for (const auto& [at, value] : image) guest.put<uint32_t>(kSecond + at, value);
    guest.write(kEntry, kRead + '\xf4');
    // mov ax, 24; ltr ax; jmp 32:0
    const std::string go = BYTES("\x66\xb8\x18\x00\x0f\x00\xd8\xea\x00\x00\x00\x00\x20\x00");
    CHECK_EQUAL(guest.livesThrough(go), row.lives);
    CHECK_EQUAL(guest.regs.rip, kEntry + kRead.size() + 1);
  }
}
