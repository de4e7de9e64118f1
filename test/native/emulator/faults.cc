// Precise faults: whatever an instruction was about to do, a page fault leaves registers, flags and memory as they were
// (SDM Vol. 3A, 6.6), and CR2 names the address.
#include "test/native/emulator/guest.h"

using namespace vtkit;
using namespace vtkit::test;

namespace {

constexpr uint64_t kMissing = 0x101000, kReadOnly = 0x103000;

/** Small pages for the megabyte at 1 MiB: one of them missing, one read-only. */
void mapSmallPages(Guest& guest) {
  const uint64_t table = Guest::kTables + 0x3000;
  guest.put<uint64_t>(Guest::kTables + 0x2000, (table + 0x1000) | 7);
  guest.put<uint64_t>(Guest::kTables + 0x2008, 0x200087);
  for (uint64_t page = 0; page < 512; page++) guest.put<uint64_t>(table + 0x1000 + page * 8, page << 12 | 7);
  guest.put<uint64_t>(table + 0x1000 + (kMissing >> 12) * 8, 0);
  guest.put<uint64_t>(table + 0x1000 + (kReadOnly >> 12) * 8, kReadOnly | 5);
}

struct Case {
  const char* text;
  std::string code;
  bool writes;     // its operand, even where it reads first
  uint64_t bytes;  // of the operand at RDI
};

#define BYTES(TEXT) std::string(TEXT, sizeof(TEXT) - 1)

const Case kCases[] = {
    {"mov [rdi], rax", BYTES("\x48\x89\x07"), true, 8},
    {"mov rax, [rdi]", BYTES("\x48\x8b\x07"), false, 8},
    {"add [rdi], eax", BYTES("\x01\x07"), true, 4},
    {"adc [rdi], rax", BYTES("\x48\x11\x07"), true, 8},
    {"sub word [rdi], 5", BYTES("\x66\x83\x2f\x05"), true, 2},
    {"cmp [rdi], eax", BYTES("\x39\x07"), false, 4},
    {"test [rdi], eax", BYTES("\x85\x07"), false, 4},
    {"inc dword [rdi]", BYTES("\xff\x07"), true, 4},
    {"neg qword [rdi]", BYTES("\x48\xf7\x1f"), true, 8},
    {"not dword [rdi]", BYTES("\xf7\x17"), true, 4},
    {"xchg [rdi], eax", BYTES("\x87\x07"), true, 4},
    {"lock xadd [rdi], eax", BYTES("\xf0\x0f\xc1\x07"), true, 4},
    {"lock cmpxchg [rdi], ecx", BYTES("\xf0\x0f\xb1\x0f"), true, 4},
    {"cmpxchg8b [rdi]", BYTES("\x0f\xc7\x0f"), true, 8},
    {"shl dword [rdi], 3", BYTES("\xc1\x27\x03"), true, 4},
    {"rcr dword [rdi], cl", BYTES("\xd3\x1f"), true, 4},
    {"shld [rdi], eax, 4", BYTES("\x0f\xa4\x07\x04"), true, 4},
    {"bts dword [rdi], 3", BYTES("\x0f\xba\x2f\x03"), true, 4},
    {"bt dword [rdi], 3", BYTES("\x0f\xba\x27\x03"), false, 4},
    {"sete [rdi]", BYTES("\x0f\x94\x07"), true, 1},
    {"imul eax, [rdi]", BYTES("\x0f\xaf\x07"), false, 4},
    {"mul qword [rdi]", BYTES("\x48\xf7\x27"), false, 8},
    {"div dword [rdi]", BYTES("\xf7\x37"), false, 4},
    {"push qword [rdi]", BYTES("\xff\x37"), false, 8},
    {"pop qword [rdi]", BYTES("\x8f\x07"), true, 8},
    {"call [rdi]", BYTES("\xff\x17"), false, 8},
    {"jmp [rdi]", BYTES("\xff\x27"), false, 8},
    {"stosd", BYTES("\xab"), true, 4},
    {"scasd", BYTES("\xaf"), false, 4},
    {"movsd", BYTES("\xa5"), true, 4},
    {"movzx eax, word [rdi]", BYTES("\x0f\xb7\x07"), false, 2},
    {"cmovne eax, [rdi]", BYTES("\x0f\x45\x07"), false, 4},
    {"sgdt [rdi]", BYTES("\x0f\x01\x07"), true, 10},
    {"lgdt [rdi]", BYTES("\x0f\x01\x17"), false, 10},
};

/** `warm`: the page before was written just now, so that the processor knows its way there. */
void check(const Case& test, uint64_t rdi, uint64_t fault, bool warm) {
  Guest guest(64);
  mapSmallPages(guest);
  for (uint64_t i = 0; i < 32; i++) guest.put<uint8_t>(rdi - 16 + i, static_cast<uint8_t>(0xa0 + i));
  vcpu::Regs before = {};
  before.rax = 0x1122334455667788;
  before.rbx = 0x99;
  before.rcx = 7;
  before.rdx = 0x55;
  before.rsi = Guest::kData;
  before.rdi = rdi;
  before.rsp = Guest::kStack;
  before.rbp = 0x1234;
  before.rip = Guest::kCode;
  before.rflags = 0x897;  // OF, SF, AF, PF, CF
  const uint64_t around[] = {guest.get<uint64_t>(rdi - 8), guest.get<uint64_t>(rdi), guest.get<uint64_t>(rdi + 8)};
  const std::string prologue = warm ? BYTES("\x88\x57\xf0") : "";  // mov [rdi - 16], dl
  const uint64_t place = Guest::kCode + prologue.size();
  guest.write(Guest::kCode, prologue + test.code + '\xf4');
  guest.regs = before;
  const Emulator::Stop stop = guest.run();
  const std::string what = std::string(test.text) + " at " + shown(rdi) + ":";
  const auto equal = [&what](uint64_t actual, uint64_t expected, const char* of) {
    checkEqual(actual, expected, __FILE__, __LINE__, what + " " + of);
  };
  // Without an interrupt table the fault ends in a shutdown, at its place.
  equal(static_cast<uint64_t>(stop), static_cast<uint64_t>(Emulator::Stop::shutdown), "stop");
  vcpu::Sregs sregs;
  guest.processor->getSregs(sregs);
  equal(sregs.cr2, fault, "CR2");
  before.rip = place;
  const auto* old = reinterpret_cast<const uint64_t*>(&before);
  const auto* now = reinterpret_cast<const uint64_t*>(&guest.regs);
  for (unsigned i = 0; i < 17; i++) equal(now[i], old[i], ("register " + std::to_string(i)).c_str());
  equal(guest.regs.rflags & ~uint64_t{0x10000}, before.rflags, "flags");
  for (unsigned i = 0; i < 3; i++) equal(guest.get<uint64_t>(rdi - 8 + 8 * i), around[i], "memory");
}

}  // namespace

TEST("an access of a missing page changes nothing") {
  for (const Case& test : kCases) check(test, kMissing + 0x80, kMissing + 0x80, false);
}

TEST("an access whose second half is missing changes nothing, and CR2 names the page's start") {
  for (const Case& test : kCases) {
    if (test.bytes == 1) continue;
    check(test, kMissing - 1, kMissing, false);
    check(test, kMissing - 1, kMissing, true);
  }
}

TEST("a write of a read-only page, with CR0.WP, changes nothing") {
  for (const Case& test : kCases) {
    if (!test.writes) continue;
    Guest guest(64);
    mapSmallPages(guest);
    vcpu::Sregs sregs;
    guest.processor->getSregs(sregs);
    sregs.cr0 |= 0x10000;
    guest.processor->setSregs(sregs);
    for (uint64_t offset : {uint64_t{0x80}, uint64_t{0} - 1}) {
      if (offset > 0x80 && test.bytes == 1) continue;
      guest.write(Guest::kCode, test.code + '\xf4');
      guest.regs = {};
      guest.regs.rip = Guest::kCode;
      guest.regs.rsp = Guest::kStack;
      guest.regs.rsi = Guest::kData;
      guest.regs.rdi = kReadOnly + offset;
      guest.regs.rflags = 0x897;
      const vcpu::Regs before = guest.regs;
      const auto memory = guest.get<uint64_t>(kReadOnly - 8);
      CHECK_EQUAL(static_cast<int>(guest.run()), static_cast<int>(Emulator::Stop::shutdown));
      const std::string what = std::string(test.text) + ":";
      checkEqual(guest.regs.rax, before.rax, __FILE__, __LINE__, what + " rax");
      checkEqual(guest.regs.rsp, before.rsp, __FILE__, __LINE__, what + " rsp");
      checkEqual(guest.regs.rflags & ~uint64_t{0x10000}, before.rflags, __FILE__, __LINE__, what + " flags");
      checkEqual(guest.get<uint64_t>(kReadOnly - 8), memory, __FILE__, __LINE__, what + " memory");
    }
  }
}

TEST("an instruction that ends its page does not reach for the next one") {
  for (const std::string& code : {BYTES("\xf4"), BYTES("\x90\xf4"), BYTES("\x01\xd8\xf4"),
                                  BYTES("\x48\x8d\x04\x12\xf4"), BYTES("\x0f\x31\xf4"), BYTES("\x0f\xa2\xf4")}) {
    Guest guest(64);
    mapSmallPages(guest);
    guest.write(kMissing - code.size(), code);
    guest.regs.rip = kMissing - code.size();
    CHECK_EQUAL(static_cast<int>(guest.run()), static_cast<int>(Emulator::Stop::halted));
    CHECK_EQUAL(guest.regs.rip, kMissing);
  }
  // One that goes on there faults, at its own address.
  Guest guest(64);
  mapSmallPages(guest);
  guest.put<uint8_t>(kMissing - 3, 0x90);
  guest.put<uint8_t>(kMissing - 1, 0x01);
  guest.put<uint8_t>(kMissing - 2, 0x90);
  guest.regs.rip = kMissing - 3;
  CHECK_EQUAL(static_cast<int>(guest.run()), static_cast<int>(Emulator::Stop::shutdown));
  CHECK_EQUAL(guest.regs.rip, kMissing - 1);
  vcpu::Sregs sregs;
  guest.processor->getSregs(sregs);
  CHECK_EQUAL(sregs.cr2, kMissing);
}

TEST("a push, a call and ENTER that cannot write leave RSP alone") {
  for (const std::string& code : {BYTES("\x50"), BYTES("\xe8\x10\x00\x00\x00"), BYTES("\xc8\x10\x00\x02"),
                                  BYTES("\x9c"), BYTES("\x6a\x01"), BYTES("\xff\xd0")}) {
    Guest guest(64);
    mapSmallPages(guest);
    guest.write(Guest::kCode, code);
    guest.regs.rsp = kMissing + 0x1000;
    guest.regs.rbp = Guest::kData;
    guest.regs.rax = Guest::kCode;
    CHECK_EQUAL(static_cast<int>(guest.run()), static_cast<int>(Emulator::Stop::shutdown));
    CHECK_EQUAL(guest.regs.rsp, kMissing + 0x1000);
    CHECK_EQUAL(guest.regs.rbp, Guest::kData);
    CHECK_EQUAL(guest.regs.rip, Guest::kCode);
  }
}

TEST("PUSHA and POPA that fault halfway leave RSP and every register alone") {
  for (const char code : {'\x60', '\x61'}) {
    Guest guest(16);
    guest.write(Guest::kCode, std::string(1, code));
    vcpu::Sregs sregs;
    guest.processor->getSregs(sregs);
    sregs.ss.limit = 0x7fff;
    guest.processor->setSregs(sregs);
    guest.regs.rsp = code == '\x60' ? 0x8004 : 0x7ffa;
    guest.regs.rax = 0x1111;
    guest.regs.rdi = 0x2222;
    guest.run();
    CHECK_EQUAL(guest.regs.rsp, code == '\x60' ? 0x8004u : 0x7ffau);
    CHECK_EQUAL(guest.regs.rax, 0x1111u);
    CHECK_EQUAL(guest.regs.rdi, 0x2222u);
  }
}

TEST("a REP that faults keeps the iterations before it, and continues when the page is there") {
  Guest guest(64);
  mapSmallPages(guest);
  guest.regs.rdi = kMissing - 0x18;
  guest.regs.rcx = 8;
  guest.regs.rax = 0x0123456789abcdef;
  CHECK_EQUAL(static_cast<int>(guest.run("\xf3\x48\xab")), static_cast<int>(Emulator::Stop::shutdown));
  CHECK_EQUAL(guest.regs.rcx, 5u);
  CHECK_EQUAL(guest.regs.rdi, kMissing);
  CHECK_EQUAL(guest.regs.rip, Guest::kCode);
  guest.put<uint64_t>(Guest::kTables + 0x4000 + (kMissing >> 12) * 8, kMissing | 7);
  guest.reset();
  mapSmallPages(guest);
  guest.put<uint64_t>(Guest::kTables + 0x4000 + (kMissing >> 12) * 8, kMissing | 7);
  guest.regs.rdi = kMissing;
  guest.regs.rcx = 5;
  guest.regs.rax = 0x0123456789abcdef;
  CHECK_EQUAL(static_cast<int>(guest.run()), static_cast<int>(Emulator::Stop::halted));
  CHECK_EQUAL(guest.get<uint64_t>(kMissing + 32), 0x0123456789abcdefu);
}
