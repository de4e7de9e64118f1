// Ways between ring 0 and ring 3 that differ by mode and maker.
#include "emulator/cpu-model.h"
#include "test/native/emulator/guest.h"

using namespace vtkit;
using namespace vtkit::test;
using emulator::CS;
using emulator::GS;

namespace {

#define BYTES(TEXT) std::string(TEXT, sizeof(TEXT) - 1)
enum Selector : uint16_t { kCode64 = 0x08, kData = 0x10, kUserCode32 = 0x23, kUserData = 0x2b, kUserCode64 = 0x33 };
constexpr uint64_t kTable = Guest::kData + 0x1000, kUser = Guest::kCode + 0x100;

/** In 64-bit mode, with the descriptors of both rings. */
struct Rings : Guest {
  Rings() : Guest(64) {
    const uint64_t descriptors[] = {
        0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0, 0x00cffb000000ffff, 0x00cff3000000ffff, 0x00affb000000ffff};
    for (unsigned i = 0; i < 7; i++) put<uint64_t>(kTable + 8 * i, descriptors[i]);
    processor->cpu().gdt.base = kTable;
    processor->cpu().gdt.limit = sizeof(descriptors) - 1;
  }
  void pushFrame(uint16_t cs, uint64_t rip, uint64_t flags) {
    const uint64_t frame[] = {rip, cs, flags, kStack + 0x800, kUserData};
    for (unsigned i = 0; i < 5; i++) put<uint64_t>(kStack - 40 + 8 * i, frame[i]);
    regs.rsp = kStack - 40;
  }
  void become(const char* maker) {
    std::vector<emulator::CpuidRow> rows = emulator::defaultCpuid();
    std::memcpy(&rows[0].ebx, maker, 4);
    std::memcpy(&rows[0].edx, maker + 4, 4);
    std::memcpy(&rows[0].ecx, maker + 8, 4);
    processor->setCpuid(rows);
  }
};

}  // namespace

TEST("IRET to ring 3 makes GS of ring 0 null, but leaves its base (SDM Vol. 2A, IRET)") {
  Rings guest;
  guest.processor->cpu().seg[GS].selector = kData;
  guest.processor->cpu().seg[GS].base = Guest::kData;
  guest.put<uint64_t>(Guest::kData + 8, 0x1122334455667788);
  guest.pushFrame(kUserCode64, kUser, 2);
  guest.write(kUser, BYTES("\x65\x48\x8b\x04\x25\x08\x00\x00\x00\xf4"));  // mov rax, gs:[8]; hlt faults
  guest.run(BYTES("\x48\xcf"));
  CHECK_EQUAL(guest.regs.rax, 0x1122334455667788u);
  CHECK_EQUAL(guest.processor->cpu().seg[GS].selector, 0);
}

/** SYSCALL in compatibility mode in ring 3: where it leads, with the stop. */
static Emulator::Stop callFast(Rings& guest) {
  emulator::Cpu& cpu = guest.processor->cpu();
  cpu.efer |= emulator::kEferSce;
  cpu.star = uint64_t{kCode64} << 32;
  cpu.lstar = Guest::kCode + 0x300;
  cpu.cstar = Guest::kCode + 0x200;
  guest.write(Guest::kCode + 0x200, BYTES("\xf4"));
  guest.pushFrame(kUserCode32, kUser, 2);
  guest.write(kUser, BYTES("\x0f\x05"));
  return guest.run(BYTES("\x48\xcf"));
}

TEST("SYSCALL of compatibility mode leads to CSTAR on AMD64") {
  Rings guest;
  guest.become("AuthenticAMD");
  CHECK_EQUAL(static_cast<int>(callFast(guest)), static_cast<int>(Emulator::Stop::halted));
  CHECK_EQUAL(guest.regs.rip, Guest::kCode + 0x201);
  CHECK_EQUAL(guest.regs.rcx, kUser + 2);
  CHECK_EQUAL(guest.processor->cpu().seg[CS].selector, uint16_t{kCode64});
}

TEST("SYSCALL of compatibility mode is undefined on Intel 64") {
  Rings guest;
  CHECK_EQUAL(static_cast<int>(callFast(guest)), static_cast<int>(Emulator::Stop::shutdown));
  CHECK_EQUAL(guest.regs.rip, kUser);
}
