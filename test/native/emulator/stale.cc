// The test mode of stale translations: what keeps one, and what ends it (SDM Vol. 3A, 4.10).
#include "test/native/emulator/guest.h"

using namespace vtkit;
using namespace vtkit::test;
using emulator::TranslationCache;

namespace {

#define BYTES(TEXT) std::string(TEXT, sizeof(TEXT) - 1)
std::string bytesOf(uint64_t value, size_t count) { return std::string(reinterpret_cast<const char*>(&value), count); }

constexpr uint64_t kPge = 1 << 7, kPcide = 1 << 17, kSmep = 1 << 20, kUmip = 1 << 11, kNoFlush = uint64_t{1} << 63;
constexpr uint64_t kEntryGlobal = 0x100, kDirty = 0x40, kAccessed = 0x20;

/** Two pages of 4 KiB at kAt, the first of which can show either of two frames, and a handler of page faults. */
class StaleGuest : public Guest {
 public:
  static constexpr uint64_t kAt = 0x400000, kDirectory = kTables + 0x2000, kTable = 0x3e0000, kOtherTable = 0x3e1000;
  static constexpr uint64_t kOld = 0x100000, kNew = 0x101000, kOldValue = 0xaa, kNewValue = 0xbb;
  static constexpr uint64_t kIdt = 0x28000, kGdt = 0x27000, kHandler = 0x3000, kDescriptor = 0x29000;

  explicit StaleGuest(uint64_t cr4 = 0) : Guest(64) {
    put<uint64_t>(kGdt + 8, 0x00209b0000000000);
    put<uint64_t>(kGdt + 16, 0x00cf93000000ffff);
    put<uint64_t>(kIdt + 16 * 14, kHandler | 8u << 16 | uint64_t{0x8e00} << 32);
    write(kHandler, BYTES("\x5b\xf4"));  // pop rbx, which takes the error code; hlt
    put<uint64_t>(kDirectory + 16, kTable | 7);
    put<uint64_t>(kTable, kOld | 7);
    put<uint64_t>(kTable + 8, kOld | 7);
    put<uint64_t>(kOld, kOldValue);
    put<uint64_t>(kNew, kNewValue);
    vcpu::Sregs sregs;
    processor->getSregs(sregs);
    sregs.gdt.base = kGdt;
    sregs.gdt.limit = 0xff;
    sregs.idt.base = kIdt;
    sregs.idt.limit = 0xfff;
    sregs.cr4 |= cr4;
    sregs.cr0 |= 1 << 16;
    processor->setSregs(sregs);
    processor->keepTranslations();
  }

  /** Code behind which HLT comes. RBX is the error code of a page fault, or 0xff. */
  void execute(const std::string& code) {
    regs.rbx = 0xff;
    regs.rsp = kStack;
    regs.rflags = 2;
    run(code);
  }
  uint64_t read(const std::string& before = {}) {
    execute(before + BYTES("\x48\x8b\x04\x25\x00\x00\x40\x00"));  // mov rax, [0x400000]
    return regs.rax;
  }
  void remap(uint64_t entry) { put<uint64_t>(kTable, entry); }
  /** Whether the old frame is still read behind `code`, once the entry shows the new one. */
  bool livesThrough(const std::string& code, uint64_t bits = 7) {
    remap(kOld | bits);
    CHECK_EQUAL(read(BYTES("\x0f\x01\x3c\x25\x00\x00\x40\x00")), kOldValue);  // behind INVLPG
    remap(kNew | bits);
    CHECK_EQUAL(read(), kOldValue);
    return read(code) == kOldValue;
  }
  TranslationCache& kept() { return *processor->cpu().kept; }
};

const std::string kStore = BYTES("\x48\x89\x04\x25\x00\x00\x40\x00");   // mov [0x400000], rax
const std::string kReload = BYTES("\x0f\x20\xd9\x0f\x22\xd9");          // mov rcx, cr3; mov cr3, rcx
const std::string kInvlpg = BYTES("\x0f\x01\x3c\x25\x00\x00\x40\x00");  // invlpg [0x400000]
const std::string kInvlpgNext = BYTES("\x0f\x01\x3c\x25\x00\x10\x40\x00");
std::string loadCr3(uint64_t value) { return BYTES("\x48\xb9") + bytesOf(value, 8) + BYTES("\x0f\x22\xd9"); }
/** mov rcx, cr4; xor rcx, bits; mov cr4, rcx */
std::string flipCr4(uint64_t bits) {
  return BYTES("\x0f\x20\xe1\x48\x81\xf1") + bytesOf(bits, 4) + BYTES("\x0f\x22\xe1");
}
/** Makes the TLB forget, and ends no translation. */
const std::string kFlush = flipCr4(kUmip);
/** mov ecx, type; invpcid rcx, [kDescriptor], with the descriptor written by the caller */
std::string invpcid(uint64_t type) {
  return BYTES("\xb9") + bytesOf(type, 4) + BYTES("\x66\x0f\x38\x82\x0c\x25") + bytesOf(StaleGuest::kDescriptor, 4);
}

}  // namespace

TEST("an entry that changed shows when the TLB forgets; in the mode the old translation stays") {
  StaleGuest guest, plain;
  plain.processor->cpu().kept = nullptr;
  for (StaleGuest* each : {&plain, &guest}) {
    CHECK_EQUAL(each->read(), StaleGuest::kOldValue);
    each->remap(StaleGuest::kNew | 7);
  }
  CHECK_EQUAL(plain.read(kFlush), StaleGuest::kNewValue);
  CHECK_EQUAL(guest.read(kFlush), StaleGuest::kOldValue);
}

TEST("INVLPG ends the translation of its address, and of no other") {
  StaleGuest guest;
  CHECK_EQUAL(guest.livesThrough(kInvlpgNext), true);
  CHECK_EQUAL(guest.livesThrough(kInvlpg), false);
}

TEST("INVLPG ends a global translation; MOV to CR3 leaves it") {
  StaleGuest guest(kPge);
  CHECK_EQUAL(guest.livesThrough(kReload, 7 | kEntryGlobal), true);
  CHECK_EQUAL(guest.livesThrough(kInvlpg, 7 | kEntryGlobal), false);
}

TEST("MOV to CR3 ends what is not global, and all of it while CR4.PGE is off") {
  StaleGuest guest(kPge), without;
  CHECK_EQUAL(guest.livesThrough(kReload), false);
  CHECK_EQUAL(without.livesThrough(kReload, 7 | kEntryGlobal), false);
}

TEST("MOV to CR4 that changes PGE ends all") {
  StaleGuest guest(kPge);
  CHECK_EQUAL(guest.livesThrough(flipCr4(kPge), 7 | kEntryGlobal), false);
  CHECK_EQUAL(guest.livesThrough(flipCr4(kPge)), false);
}

TEST("MOV to CR4 that sets SMEP ends the translations of the current PCID; one that clears it ends none") {
  StaleGuest guest;
  guest.put<uint64_t>(Guest::kTables + 0x2000, 0x83);  // code in a supervisor page
  CHECK_EQUAL(guest.livesThrough(flipCr4(kSmep)), false);
  CHECK_EQUAL(guest.livesThrough(flipCr4(kSmep)), true);
}

TEST("a PCID keeps its translations while another one is current, and through a load of CR3 with bit 63") {
  constexpr uint64_t kOne = Guest::kTables | 1, kTwo = Guest::kTables | 2;
  StaleGuest guest(kPcide);
  guest.execute(loadCr3(kOne));
  CHECK_EQUAL(guest.read(), StaleGuest::kOldValue);
  guest.remap(StaleGuest::kNew | 7);
  CHECK_EQUAL(guest.read(loadCr3(kTwo)), StaleGuest::kNewValue);
  CHECK_EQUAL(guest.read(loadCr3(kOne | kNoFlush)), StaleGuest::kOldValue);
  CHECK_EQUAL(guest.read(loadCr3(kTwo) + loadCr3(kTwo)), StaleGuest::kNewValue);
  CHECK_EQUAL(guest.read(loadCr3(kOne | kNoFlush)), StaleGuest::kOldValue);
  CHECK_EQUAL(guest.read(loadCr3(kOne)), StaleGuest::kNewValue);
}

TEST("a global translation serves every PCID") {
  StaleGuest guest(kPcide | kPge);
  guest.execute(loadCr3(Guest::kTables | 1));
  CHECK_EQUAL(guest.livesThrough(loadCr3(Guest::kTables | 2), 7 | kEntryGlobal), true);
}

TEST("clearing CR4.PCIDE ends the translations of all PCIDs, global ones too; setting it ends none") {
  StaleGuest guest(kPge);
  CHECK_EQUAL(guest.livesThrough(flipCr4(kPcide)), true);
  CHECK_EQUAL(guest.livesThrough(flipCr4(kPcide), 7 | kEntryGlobal), false);
}

TEST("INVPCID ends by its type: an address, a PCID, all, or all that is not global") {
  const struct {
    uint64_t type, pcid, address;
    bool ends, endsGlobal;
  } rows[] = {
      {0, 1, StaleGuest::kAt, true, false},
      {0, 1, StaleGuest::kAt + 0x1000, false, false},
      {0, 2, StaleGuest::kAt, false, false},
      {1, 1, 0, true, false},
      {1, 2, 0, false, false},
      {2, 0, 0, true, true},
      {3, 0, 0, true, false},
  };
  for (const auto& row : rows) {
    StaleGuest guest(kPcide | kPge);
    guest.execute(loadCr3(Guest::kTables | 1));
    guest.put<uint64_t>(StaleGuest::kDescriptor, row.pcid);
    guest.put<uint64_t>(StaleGuest::kDescriptor + 8, row.address);
    CHECK_EQUAL(guest.livesThrough(invpcid(row.type)), !row.ends);
    guest.execute(kInvlpg);
    CHECK_EQUAL(guest.livesThrough(invpcid(row.type), 7 | kEntryGlobal), !row.endsGlobal);
  }
}

TEST("what is not present is not remembered") {
  StaleGuest guest;
  guest.remap(0);
  guest.read();
  CHECK_EQUAL(guest.regs.rbx, 0u);  // the error code: nothing is there
  guest.remap(StaleGuest::kOld | 7);
  CHECK_EQUAL(guest.read(), StaleGuest::kOldValue);
}

TEST("rights that were given late are refused once, by a page fault that ends the translation") {
  StaleGuest guest;
  guest.remap(StaleGuest::kOld | 5);
  CHECK_EQUAL(guest.read(), StaleGuest::kOldValue);
  guest.remap(StaleGuest::kNew | 7);
  guest.execute(kStore);
  CHECK_EQUAL(guest.regs.rbx, 3u);  // a write to a page that is present
  guest.regs.rax = 0x77;
  guest.execute(kStore);
  CHECK_EQUAL(guest.regs.rbx, 0xffu);
  CHECK_EQUAL(guest.get<uint64_t>(StaleGuest::kNew), 0x77u);
}

TEST("a page fault ends the old translation for reads too, with the mode and without") {
  for (const bool stale : {false, true}) {
    StaleGuest guest;
    if (!stale) guest.processor->cpu().kept = nullptr;
    guest.remap(StaleGuest::kOld | 5);
    CHECK_EQUAL(guest.read(), StaleGuest::kOldValue);
    guest.remap(StaleGuest::kNew | 5);
    guest.execute(kStore);
    CHECK_EQUAL(guest.regs.rbx, 3u);
    CHECK_EQUAL(guest.read(), StaleGuest::kNewValue);
  }
}

TEST("rights that were taken away late are used until the translation ends") {
  StaleGuest guest;
  guest.execute(kStore);
  guest.remap(StaleGuest::kOld | 5);
  guest.execute(kFlush + kStore);
  CHECK_EQUAL(guest.regs.rbx, 0xffu);
  guest.execute(kInvlpg + kStore);
  CHECK_EQUAL(guest.regs.rbx, 3u);
}

TEST("CR0.WP and SMAP are looked at anew for a translation that is kept") {
  StaleGuest guest;
  guest.put<uint64_t>(Guest::kTables + 0x2000, 0x83);  // code and stack in supervisor pages
  guest.remap(StaleGuest::kOld | 5 | kDirty);
  guest.read();
  // mov rcx, cr0; btr rcx, 16; mov cr0, rcx
  guest.execute(BYTES("\x0f\x20\xc1\x48\x0f\xba\xf1\x10\x0f\x22\xc1") + kStore);
  CHECK_EQUAL(guest.regs.rbx, 0xffu);
  guest.execute(BYTES("\x0f\x20\xc1\x48\x0f\xba\xe9\x10\x0f\x22\xc1") + kStore);
  CHECK_EQUAL(guest.regs.rbx, 3u);
  guest.read(flipCr4(1 << 21));
  CHECK_EQUAL(guest.regs.rbx, 1u);
}

TEST("the first write walks, and sets the dirty flag; later ones do not, though the flag was cleared") {
  StaleGuest guest;
  const auto flags = [&] { return guest.get<uint64_t>(StaleGuest::kTable) & (kDirty | kAccessed); };
  guest.read();
  CHECK_EQUAL(flags(), kAccessed);
  guest.execute(kStore);
  CHECK_EQUAL(flags(), kAccessed | kDirty);
  guest.remap(StaleGuest::kOld | 7);
  guest.execute(kFlush + kStore);
  CHECK_EQUAL(flags(), 0u);
  guest.execute(kInvlpg + kStore);
  CHECK_EQUAL(flags(), kAccessed | kDirty);
}

TEST("the first write finds where the page is now") {
  StaleGuest guest;
  guest.read();
  guest.remap(StaleGuest::kNew | 7);
  guest.regs.rax = 0x77;
  guest.execute(kStore);
  CHECK_EQUAL(guest.get<uint64_t>(StaleGuest::kNew), 0x77u);
  CHECK_EQUAL(guest.get<uint64_t>(StaleGuest::kOld), StaleGuest::kOldValue);
}

TEST("a large page is kept whole: what was never touched is stale too, and one INVLPG ends it") {
  StaleGuest guest;
  guest.put<uint64_t>(StaleGuest::kDirectory + 16, 0x87);
  guest.put<uint64_t>(0x1f0000, 0x11);
  // mov rax, [0x400000 + 0x1f0000]
  const std::string other = BYTES("\x48\x8b\x04\x25\x00\x00\x5f\x00");
  guest.read();
  guest.put<uint64_t>(StaleGuest::kDirectory + 16, 0x200087);
  guest.execute(other);
  CHECK_EQUAL(guest.regs.rax, 0x11u);
  guest.execute(kInvlpg + other);
  CHECK_EQUAL(guest.regs.rax, guest.get<uint64_t>(0x3f0000));
}

TEST("a walk goes on from a table that was given up, until INVLPG of any address") {
  StaleGuest guest;
  // mov rax, [0x401000], of which no translation is there yet
  const std::string next = BYTES("\x48\x8b\x04\x25\x00\x10\x40\x00");
  guest.read();
  guest.put<uint64_t>(StaleGuest::kOtherTable + 8, StaleGuest::kNew | 7);
  guest.put<uint64_t>(StaleGuest::kDirectory + 16, StaleGuest::kOtherTable | 7);
  guest.execute(next);
  CHECK_EQUAL(guest.regs.rax, StaleGuest::kOldValue);
  guest.execute(kInvlpgNext + next);
  CHECK_EQUAL(guest.regs.rax, StaleGuest::kNewValue);

  guest.put<uint64_t>(StaleGuest::kDirectory + 16, StaleGuest::kTable | 7);
  guest.execute(BYTES("\x0f\x01\x3c\x25\x00\x00\x01\x00") + BYTES("\x48\x8b\x04\x25\x00\x00\x40\x00"));
  CHECK_EQUAL(guest.regs.rax, StaleGuest::kOldValue);
}

TEST("a page fault in a table that was given up ends the way there") {
  StaleGuest guest;
  guest.read();
  guest.put<uint64_t>(StaleGuest::kTable + 8, uint64_t{0});
  guest.put<uint64_t>(StaleGuest::kOtherTable + 8, StaleGuest::kNew | 7);
  guest.put<uint64_t>(StaleGuest::kDirectory + 16, StaleGuest::kOtherTable | 7);
  const std::string next = BYTES("\x48\x8b\x04\x25\x00\x10\x40\x00");
  guest.execute(next);
  CHECK_EQUAL(guest.regs.rbx, 0u);
  guest.execute(next);
  CHECK_EQUAL(guest.regs.rax, StaleGuest::kNewValue);
}

TEST("INIT and a state from outside leave nothing") {
  StaleGuest guest;
  guest.read();
  CHECK_EQUAL(guest.kept().count() > 0, true);
  guest.enable(kPge);
  CHECK_EQUAL(guest.kept().count(), size_t{0});
  guest.read();
  guest.processor->waitForStartup();
  CHECK_EQUAL(guest.kept().count(), size_t{0});
}

TEST("where there are too many, all end at once, and that is counted") {
  StaleGuest guest;
  for (uint64_t i = 2; i < 512; i++) guest.put<uint64_t>(StaleGuest::kDirectory + 8 * i, StaleGuest::kTable | 7);
  for (uint64_t i = 0; i < 512; i++) guest.put<uint64_t>(StaleGuest::kTable + 8 * i, StaleGuest::kOld | 7);
  // mov eax, 0x400000; again: mov rcx, [rax]; add eax, 0x1000; cmp eax, end; jb again
  const uint64_t end = StaleGuest::kAt + (TranslationCache::kMost << 12);
  CHECK_EQUAL(guest.kept().overflows(), 0u);
  guest.execute(BYTES("\xb8\x00\x00\x40\x00\x48\x8b\x08\x05\x00\x10\x00\x00\x3d") + bytesOf(end, 4) +
                BYTES("\x72\xf1"));
  CHECK_EQUAL(guest.kept().overflows(), 1u);
  CHECK_EQUAL(guest.kept().count() < TranslationCache::kMost, true);
}
