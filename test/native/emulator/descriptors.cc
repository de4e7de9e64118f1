// What is asked of descriptors beside rights: all 16 bytes of them in IA-32e mode, room in a TSS, the order of checks.
#include "test/native/emulator/guest.h"

using namespace vtkit;
using namespace vtkit::test;
using emulator::TR;

namespace {

#define BYTES(TEXT) std::string(TEXT, sizeof(TEXT) - 1)
constexpr uint64_t kGdt = Guest::kData + 0x1000, kIdt = Guest::kData + 0x2000, kHandler = Guest::kCode + 0x100,
                   kTarget = Guest::kCode + 0x200, kUpperType = uint64_t{1} << 40;
constexpr uint16_t kSystem = 0x18;
constexpr uint64_t kTask = 0x0000890000000067, kNoError = ~uint64_t{0};

/** In 64-bit mode, with one system descriptor and a handler for #GP. */
struct Described : Guest {
  Described(uint64_t low, uint64_t high) : Guest(64) {
    const uint64_t descriptors[] = {0, 0x00af9b000000ffff, 0x00cf93000000ffff, low, high};
    for (unsigned i = 0; i < 5; i++) put<uint64_t>(kGdt + 8 * i, descriptors[i]);
    emulator::Cpu& cpu = processor->cpu();
    cpu.gdt.base = kGdt;
    cpu.gdt.limit = sizeof(descriptors) - 1;
    cpu.idt.base = kIdt;
    cpu.idt.limit = 16 * 16 - 1;
    put<uint64_t>(kIdt + 13 * 16, 0x00008e0000080000 | kHandler);
    write(kHandler, BYTES("\x58\xf4"));  // pop rax; hlt
    write(kTarget, BYTES("\xf4"));
    put<uint32_t>(kData, 0);
    put<uint16_t>(kData + 4, kSystem);
    regs.rax = kNoError;
    regs.rcx = kSystem;
    regs.rdi = kData;
  }
  /** The error code of the #GP that code raises, or kNoError. */
  uint64_t errorOf(const std::string& code) {
    run(code);
    return regs.rip == kHandler + 2 ? regs.rax : kNoError;
  }
};

const std::string kLtr = BYTES("\x0f\x00\xd9"), kCallFar = BYTES("\xff\x1f"), kJmpFar = BYTES("\xff\x2f");  // cx; [rdi]

/** A call gate to kTarget in ring 0. */
constexpr uint64_t kGate = 0x00008c0000080000 | kTarget;

}  // namespace

TEST("LTR takes a TSS only if its upper half has no type (SDM Vol. 2A, LTR)") {
  CHECK_EQUAL(Described(kTask, 0).errorOf(kLtr), kNoError);
  for (unsigned bit = 0; bit < 5; bit++) CHECK_EQUAL(Described(kTask, kUpperType << bit).errorOf(kLtr), kSystem);
  CHECK_EQUAL(Described(kTask, kUpperType << 5).errorOf(kLtr), kNoError);
}

TEST("CALL and JMP go through a 64-bit gate only if its upper half has no type (SDM Vol. 3A, 6.15, interrupt 13)") {
  for (const std::string& code : {kCallFar, kJmpFar}) {
    Described good(kGate, 0);
    CHECK_EQUAL(good.errorOf(code), kNoError);
    CHECK_EQUAL(good.regs.rip, kTarget + 1);
    for (unsigned bit = 0; bit < 5; bit++) CHECK_EQUAL(Described(kGate, kUpperType << bit).errorOf(code), kSystem);
  }
}

TEST("a descriptor of 16 bytes lies whole within the limit, and its own selector is the error") {
  for (const unsigned missing : {1u, 8u}) {
    for (const std::string& code : {kLtr, kCallFar, kJmpFar}) {
      Described guest(code == kLtr ? kTask : kGate, 0);
      guest.processor->cpu().gdt.limit -= missing;
      CHECK_EQUAL(guest.errorOf(code), kSystem);
    }
  }
  // The last selector of all: nothing lies behind it, not even the beginning.
  Described guest(kTask, 0);
  emulator::Cpu& cpu = guest.processor->cpu();
  cpu.gdt.limit = 0xffff;
  guest.put<uint64_t>(kGdt + 0xfff8, kTask);
  guest.regs.rcx = 0xfff8;
  CHECK_EQUAL(guest.errorOf(kLtr), 0xfff8u);
}

TEST("CR0.PG does not activate IA-32e mode while TR has a TSS of 16 bits (SDM Vol. 3A, 10.8.5)") {
  constexpr uint64_t kPaged = 0x80000011;
  const struct {
    uint8_t type;
    bool activates;
  } rows[] = {{1, false}, {3, false}, {9, true}, {11, true}};
  for (const auto& [type, activates] : rows) {
    Guest tables(64), guest(32);
    for (uint64_t at = Guest::kTables; at < Guest::kTables + 0x3000; at += 8) {
      guest.put<uint64_t>(at, tables.get<uint64_t>(at));
    }
    emulator::Cpu& cpu = guest.processor->cpu();
    cpu.cr4 = 0x20;
    cpu.efer = 0x100;
    cpu.seg[TR].type = type;
    guest.regs.rax = kPaged;
    guest.run(BYTES("\x0f\x22\xc0"));  // mov cr0, eax
    CHECK_EQUAL(cpu.cr0, activates ? kPaged : 0x11);
    CHECK_EQUAL(cpu.efer, activates ? 0x500u : 0x100u);
    CHECK_EQUAL(guest.regs.rip, Guest::kCode + (activates ? 4 : 0));
  }
}

TEST("a task switch needs a whole new TSS, and of the old one what it writes to (SDM Vol. 3A, 8.3)") {
  constexpr uint32_t kOld = 0x5000, kNew = 0x6000, kEntry = 0x2000;
  const struct {
    uint16_t oldLimit, newLimit;
    bool switches;
  } rows[] = {{0x67, 0x67, true}, {0x67, 0x66, false}, {0x5f, 0x67, true}, {0x5e, 0x67, false}};
  for (const auto& [oldLimit, newLimit, switches] : rows) {
    Guest guest(32);
    const uint64_t descriptors[] = {0, 0x00cf9b000000ffff, 0x00cf93000000ffff,
                                    0x0000890000000000 | uint64_t{kOld} << 16 | oldLimit,
                                    0x0000890000000000 | uint64_t{kNew} << 16 | newLimit};
    for (unsigned i = 0; i < 5; i++) guest.put<uint64_t>(kGdt + 8 * i, descriptors[i]);
    guest.processor->cpu().gdt.base = kGdt;
    guest.processor->cpu().gdt.limit = sizeof(descriptors) - 1;
    const struct { uint32_t at, value; } image[] = {{32, kEntry}, {36, 2}, {72, 16}, {76, 8}, {80, 16}, {84, 16}};
    for (const auto& [at, value] : image) guest.put<uint32_t>(kNew + at, value);
    guest.write(kEntry, BYTES("\xf4"));
    guest.regs.rax = 24;
    guest.run(BYTES("\x0f\x00\xd8\xea\x00\x00\x00\x00\x20\x00"));  // ltr ax; jmp 32:0
    CHECK_EQUAL(guest.regs.rip, switches ? kEntry + 1 : Guest::kCode + 3);
  }
}

TEST("RET to an outer ring looks at its stack before the instruction pointer (SDM Vol. 2B, RET)") {
  // Ring 3: code of 4 KiB for compatibility mode.
  constexpr uint64_t kSmallCode = 0x0040fa0000000fff, kBeyond = 0x1000;
  constexpr uint16_t kData = 0x10, kCode = 0x1b;
  const struct { uint16_t ss, error; } rows[] = {{kData | 3, kData}, {0, 0}, {0x28 | 3, 0x28}};
  for (const auto& [ss, error] : rows) {
    Described guest(kSmallCode, 0x00cff20000000fff);
    const uint64_t frame[] = {kBeyond, kCode, Guest::kStack, ss};
    for (unsigned i = 0; i < 4; i++) guest.put<uint64_t>(Guest::kStack - 32 + 8 * i, frame[i]);
    guest.regs.rsp = Guest::kStack - 32;
    CHECK_EQUAL(guest.errorOf(BYTES("\x48\xcb")), error);
  }
  Described guest(kSmallCode, 0x00cff20000000fff);
  const uint64_t frame[] = {kBeyond, kCode, Guest::kStack, 0x20 | 3};
  for (unsigned i = 0; i < 4; i++) guest.put<uint64_t>(Guest::kStack - 32 + 8 * i, frame[i]);
  guest.regs.rsp = Guest::kStack - 32;
  CHECK_EQUAL(guest.errorOf(BYTES("\x48\xcb")), 0u);
  CHECK_EQUAL(guest.get<uint64_t>(kGdt + 0x20), 0x00cff20000000fffu);  // neither is marked accessed
  CHECK_EQUAL(guest.get<uint64_t>(kGdt + 0x18), kSmallCode);
}
