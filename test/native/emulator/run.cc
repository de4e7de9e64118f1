// What run() returns for, what it does between two instructions, and what it asks of the platform.
#include "test/native/emulator/guest.h"

using namespace vtkit;
using namespace vtkit::test;

namespace {

using Stop = Emulator::Stop;
int number(Stop stop) { return static_cast<int>(stop); }
#define BYTES(TEXT) std::string(TEXT, sizeof(TEXT) - 1)

constexpr uint16_t kHandler = 0x3000;

/** A real-mode guest whose vectors all point to one handler: inc bx; iret. */
struct RealGuest : Guest {
  RealGuest() : Guest(16) {
    for (unsigned vector = 0; vector < 256; vector++) put<uint32_t>(vector * 4, kHandler);
    write(kHandler, "\x43\xcf");
    vcpu::Sregs sregs;
    processor->getSregs(sregs);
    sregs.idt.limit = 0x3ff;
    processor->setSregs(sregs);
  }
};

}  // namespace

TEST("HLT stops behind itself, and running again goes on there") {
  Guest guest(32);
  guest.write(Guest::kCode, "\x40\xf4\x40\xf4");  // inc eax; hlt; inc eax; hlt
  CHECK_EQUAL(number(guest.run()), number(Stop::halted));
  CHECK_EQUAL(guest.regs.rip, Guest::kCode + 2);
  CHECK_EQUAL(number(guest.run()), number(Stop::halted));
  CHECK_EQUAL(guest.regs.rax, 2u);
  CHECK_EQUAL(guest.processor->instructionsRetired(), 4u);
}

TEST("an asserted interrupt is taken in a loop that never leaves its block") {
  RealGuest guest;
  guest.write(Guest::kCode, "\x85\xdb\x74\xfc\xf4");  // again: test bx, bx; jz again; hlt
  guest.regs.rflags = 0x202;
  guest.platform.asserted = 0x21;
  guest.processor->attention(emulator::kInterrupt);
  CHECK_EQUAL(number(guest.run()), number(Stop::halted));
  CHECK_EQUAL(guest.regs.rbx, 1u);
  CHECK_EQUAL(guest.platform.asserted, -1);
}

TEST("an interrupt waits while IF is clear, and through the instruction behind STI") {
  RealGuest guest;
  // nop; nop; sti; mov cx, bx; mov dx, bx; hlt
  guest.write(Guest::kCode, "\x90\x90\xfb\x89\xd9\x89\xda\xf4");
  guest.platform.asserted = 0x21;
  guest.processor->attention(emulator::kInterrupt);
  CHECK_EQUAL(number(guest.run()), number(Stop::halted));
  CHECK_EQUAL(guest.regs.rcx, 0u);
  CHECK_EQUAL(guest.regs.rdx, 1u);
}

TEST("an interrupt waits through the instruction behind MOV SS") {
  RealGuest guest;
  guest.regs.rflags = 0x202;
  // mov ss, ax; mov cx, bx; mov dx, bx; hlt: asserted by a port write right before it
  guest.write(Guest::kCode, "\x8e\xd0\x89\xd9\x89\xda\xf4");
  guest.processor->setRegs(guest.regs);
  guest.processor->setSingleStep(true);
  CHECK_EQUAL(number(guest.processor->run()), number(Stop::stepped));
  guest.processor->setSingleStep(false);
  guest.platform.asserted = 0x21;
  guest.processor->attention(emulator::kInterrupt);
  CHECK_EQUAL(number(guest.processor->run()), number(Stop::halted));
  guest.processor->getRegs(guest.regs);
  CHECK_EQUAL(guest.regs.rcx, 0u);
  CHECK_EQUAL(guest.regs.rdx, 1u);
}

TEST("a data breakpoint that MOV SS holds back is part of a state") {
  RealGuest first, second;
  for (RealGuest* guest : {&first, &second}) {
    guest->write(Guest::kCode, BYTES("\x8e\x16\x00\x60\x90\x90\xf4"));  // mov ss, [0x6000]; nop; nop; hlt
    emulator::Cpu& cpu = guest->processor->cpu();
    cpu.dr[0] = 0x6000;
    cpu.dr7 = 0x70403;  // two bytes, read or written
    emulator::updateBreakpoints(cpu);
  }
  first.processor->setRegs(first.regs);
  first.processor->setSingleStep(true);
  CHECK_EQUAL(number(first.processor->run()), number(Stop::stepped));
  first.processor->getRegs(first.regs);

  std::vector<uint8_t> bytes;
  state::Archive written(bytes);
  first.processor->visit(written);
  second.regs = first.regs;
  second.processor->setRegs(second.regs);
  state::Archive read(bytes.data(), bytes.size());
  second.processor->visit(read);
  CHECK_EQUAL(read.failed(), false);

  CHECK_EQUAL(number(second.run()), number(Stop::halted));
  CHECK_EQUAL(second.regs.rbx, 1u);
  CHECK_EQUAL(second.get<uint16_t>(Guest::kStack - 6), Guest::kCode + 5);
}

TEST("an interrupt from outside any controller is taken once, when IF allows it") {
  RealGuest guest;
  CHECK_EQUAL(guest.processor->interrupt(0x40), true);
  CHECK_EQUAL(guest.processor->interrupt(0x41), false);  // one at a time
  guest.write(Guest::kCode, "\x90\xfb\x90\x90\xf4");
  CHECK_EQUAL(number(guest.run()), number(Stop::halted));
  CHECK_EQUAL(guest.regs.rbx, 1u);
}

TEST("an NMI is taken whatever IF says, and not again before IRET") {
  RealGuest guest;
  guest.write(kHandler, "\x43\xf4\xcf");  // inc bx; hlt; iret
  guest.write(Guest::kCode, "\x90\x90\xf4");
  guest.processor->nmi();
  CHECK_EQUAL(number(guest.run()), number(Stop::halted));
  CHECK_EQUAL(guest.regs.rip, kHandler + 2u);
  guest.processor->nmi();
  CHECK_EQUAL(number(guest.run()), number(Stop::halted));  // IRET lets the second one in
  CHECK_EQUAL(guest.regs.rip, kHandler + 2u);
  CHECK_EQUAL(guest.regs.rbx, 2u);
}

TEST("the trap flag stops behind each instruction that is executed with it") {
  RealGuest guest;
  guest.write(Guest::kCode, BYTES("\x90\x90\x90\x6a\x02\x9d\xf4"));  // nop; nop; nop; push 2; popf; hlt
  guest.regs.rflags = 0x102;
  CHECK_EQUAL(number(guest.run()), number(Stop::halted));
  CHECK_EQUAL(guest.regs.rbx, 5u);
}

TEST("the trap flag ends HLT at once") {
  RealGuest guest;
  guest.write(Guest::kCode, BYTES("\xf4\x6a\x02\x9d\xf4"));  // hlt; push 2; popf; hlt
  guest.regs.rflags = 0x102;
  CHECK_EQUAL(number(guest.run()), number(Stop::halted));
  CHECK_EQUAL(guest.regs.rip, Guest::kCode + 5);
  CHECK_EQUAL(guest.regs.rbx, 3u);
}

TEST("single steps do not touch the guest's own trap flag") {
  Guest guest(32);
  guest.write(Guest::kCode, "\x9c\x58\xf4");  // pushfd; pop eax; hlt
  guest.processor->setRegs(guest.regs);
  guest.processor->setSingleStep(true);
  for (unsigned i = 0; i < 2; i++) CHECK_EQUAL(number(guest.processor->run()), number(Stop::stepped));
  CHECK_EQUAL(number(guest.processor->run()), number(Stop::halted));
  guest.processor->getRegs(guest.regs);
  CHECK_EQUAL(guest.regs.rax, 2u);
}

TEST("a breakpoint whose handler cannot be reached ends in a shutdown, stepped or not") {
  for (const bool stepped : {false, true}) {
    Guest guest(32);
    guest.write(Guest::kCode, "\x90\xf4");
    guest.processor->setRegs(guest.regs);
    emulator::Cpu& cpu = guest.processor->cpu();
    cpu.dr[0] = Guest::kCode;
    cpu.dr7 = 0x402;  // G0, execution
    emulator::updateBreakpoints(cpu);
    guest.processor->setSingleStep(stepped);
    CHECK_EQUAL(number(guest.processor->run()), number(Stop::shutdown));
  }
}

TEST("a trap flag whose handler cannot be reached ends in a shutdown, stepped or not") {
  for (const bool stepped : {false, true}) {
    Guest guest(32);
    guest.write(Guest::kCode, "\x90\x90\xf4");
    guest.regs.rflags = 0x102;
    guest.processor->setSingleStep(stepped);
    CHECK_EQUAL(number(guest.run()), number(Stop::shutdown));
  }
}

TEST("a step onto what is no instruction, and running on from its handler") {
  RealGuest guest;
  guest.write(Guest::kCode, "\xeb\x02\x90\x90\x0f\x0b\xf4");  // jmp to ud2
  guest.put<uint32_t>(6 * 4, kHandler + 0x100);
  guest.write(kHandler + 0x100, "\x43\xf4");  // inc bx; hlt
  guest.processor->setRegs(guest.regs);
  guest.processor->setSingleStep(true);
  for (unsigned i = 0; i < 2; i++) CHECK_EQUAL(number(guest.processor->run()), number(Stop::stepped));
  guest.processor->setSingleStep(false);
  CHECK_EQUAL(number(guest.processor->run()), number(Stop::halted));
  guest.processor->getRegs(guest.regs);
  CHECK_EQUAL(guest.regs.rbx, 1u);
}

TEST("code in no memory stops at itself, with no bytes") {
  Guest guest(32);
  guest.regs.rax = 2 * Guest::kBytes;
  CHECK_EQUAL(number(guest.run("\xff\xe0")), number(Stop::unknownInstruction));  // jmp eax
  CHECK_EQUAL(guest.regs.rip, 2 * Guest::kBytes);
  uint8_t bytes[15];
  uint64_t linear;
  CHECK_EQUAL(guest.processor->unknownBytes(bytes, 15, linear), 0u);
  CHECK_EQUAL(linear, 2 * Guest::kBytes);
}

TEST("a port access reaches the platform with its size, once") {
  Guest guest(32);
  guest.regs.rdx = 0x3f8;
  guest.regs.rax = 0x11223344;
  guest.run("\xee\x66\xef\xef\xec");  // out dx, al; out dx, ax; out dx, eax; in al, dx
  CHECK_EQUAL(guest.platform.writes.size(), 3u);
  CHECK_EQUAL(guest.platform.writes[0].value, 0x44u);
  CHECK_EQUAL(guest.platform.writes[1].value, 0x3344u);
  CHECK_EQUAL(guest.platform.writes[2].value, 0x11223344u);
  CHECK_EQUAL(guest.platform.reads.size(), 1u);
  CHECK_EQUAL(guest.regs.rax, 0x1122335au);
}

TEST("repeated port I/O moves every item, in pages' worth at most") {
  Guest guest(32);
  guest.regs.rdx = 0x1f0;
  guest.regs.rcx = 3000;
  guest.regs.rdi = Guest::kData;
  guest.run("\xf3\x66\x6d");  // rep insw
  unsigned items = 0, most = 0;
  for (const PortAccess& access : guest.platform.reads) {
    items += access.count;
    most = std::max(most, access.size * access.count);
  }
  CHECK_EQUAL(items, 3000u);
  CHECK_EQUAL(most <= 4096, true);
  CHECK_EQUAL(guest.regs.rdi, Guest::kData + 6000);
  CHECK_EQUAL(guest.get<uint16_t>(Guest::kData + 5998), 0x5a5au);
  CHECK_EQUAL(guest.get<uint16_t>(Guest::kData + 6000), 0u);
}

TEST("an access where no memory is goes to the platform, in parts that do not cross a page") {
  Guest guest(64);
  guest.put<uint64_t>(Guest::kTables + 0x2010, 0x40000087);  // 4 MiB: to 1 GiB
  guest.regs.rdi = 0x400ffe;
  guest.regs.rax = 0x0807060504030201;
  guest.run("\x48\x89\x07");
  CHECK_EQUAL(guest.platform.mmio.size(), 2u);
  CHECK_EQUAL(guest.platform.mmio[0].address, 0x40000ffeu);
  CHECK_EQUAL(guest.platform.mmio[0].size, 2u);
  CHECK_EQUAL(guest.platform.mmio[1].address, 0x40001000u);
  CHECK_EQUAL(guest.platform.mmio[1].size, 6u);
  CHECK_EQUAL(guest.platform.mmio[1].value, 0x080706050403u);
}

TEST("a write to read-only memory goes to the platform and leaves the memory alone") {
  Guest guest(32);
  alignas(4096) static uint8_t rom[4096] = {0x77};
  guest.memory.addSlot(1, 0x800000, sizeof(rom), rom, true, false);
  guest.regs.rdi = 0x800000;
  guest.run("\x8a\x07\xc6\x07\x12");  // mov al, [edi]; mov byte [edi], 0x12
  CHECK_EQUAL(guest.regs.rax, 0x77u);
  CHECK_EQUAL(rom[0], 0x77);
  CHECK_EQUAL(guest.platform.mmio.size(), 1u);
}

TEST("a write marks its page dirty, though many others went before") {
  Guest guest(32);
  alignas(4096) static uint8_t logged[8192];
  guest.memory.addSlot(1, 0x800000, sizeof(logged), logged, false, true);
  const memory::Slot* slot = guest.memory.find(0x800000);
  guest.regs.rdi = 0x800ff0;
  guest.regs.rcx = 3;
  const std::string loop("\x89\x07\x89\x07\xf4");
  guest.write(Guest::kCode, loop);
  guest.run();
  CHECK_EQUAL(slot->dirty[0].exchange(0), 1u);
  guest.regs.rip = Guest::kCode;
  guest.run();
  CHECK_EQUAL(slot->dirty[0].exchange(0), 1u);
}

TEST("memory that changes from outside is executed as it is then") {
  Guest guest(32);
  guest.run("\xb0\x01");  // mov al, 1
  guest.write(Guest::kCode, "\xb0\x02\xf4");
  guest.regs.rip = Guest::kCode;
  guest.run();
  CHECK_EQUAL(guest.regs.rax & 0xff, 2u);
}

TEST("an instruction may have 15 bytes, and no more") {
  Guest guest(32);
  CHECK_EQUAL(number(guest.run(std::string(14, '\x66') + "\x90")), number(Stop::halted));
  guest.reset();
  CHECK_EQUAL(number(guest.run(std::string(15, '\x66') + "\x90")), number(Stop::shutdown));
}
