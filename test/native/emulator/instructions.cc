// Instructions that no other test brings to their end: far pointers and segments, caches, identities, random numbers.
#include "emulator/features.h"
#include "emulator/msrs.h"
#include "test/native/emulator/vmx-guest.h"

using namespace vtkit;
using namespace vtkit::test;

namespace {

constexpr uint32_t kData = Guest::kData;

void announceEverything(Guest& guest) {
  std::vector<emulator::CpuidRow> rows = guest.processor->cpuid();
  emulator::announceAll(rows);
  guest.processor->setCpuid(rows);
}

}  // namespace

TEST("LFS, LGS and LSS load a far pointer, and PUSH and POP move FS and GS") {
  Guest guest(16);
  guest.put<uint16_t>(0x100, 0x1234);
  guest.put<uint16_t>(0x102, 0x5000);
  // lfs ax, [100h]; lgs bx, [100h]; push fs; push gs; pop cx; mov word [100h], 4321h; pop gs; push 0; pop fs;
  // lss dx, [100h]
  guest.run(
      BYTES("\x0f\xb4\x06\x00\x01\x0f\xb5\x1e\x00\x01\x0f\xa0\x0f\xa8\x59\xc7\x06\x00\x01\x21\x43\x0f\xa9\x6a\x00\x0f"
            "\xa1\x0f\xb2\x16\x00\x01"));
  CHECK_EQUAL(guest.regs.rax, 0x1234u);
  CHECK_EQUAL(guest.regs.rbx, 0x1234u);
  CHECK_EQUAL(guest.regs.rcx, 0x5000u);
  CHECK_EQUAL(guest.regs.rdx, 0x4321u);
  vcpu::Sregs sregs;
  guest.processor->getSregs(sregs);
  CHECK_EQUAL(sregs.gs.base, 0x50000u);
  CHECK_EQUAL(sregs.fs.selector, 0);
  CHECK_EQUAL(sregs.ss.base, 0x50000u);
}

TEST("what moves or empties caches, prefetches or fences leaves memory as it is") {
  Guest guest(64);
  announceEverything(guest);
  guest.put<uint64_t>(kData, 0x1122334455667788);
  guest.regs.rdi = kData;
  // wbinvd; invd; clflush [rdi]; clflushopt [rdi]; clwb [rdi]; prefetchw [rdi]; mfence; sfence
  const std::string code =
      BYTES("\x0f\x09\x0f\x08\x0f\xae\x3f\x66\x0f\xae\x3f\x66\x0f\xae\x37\x0f\x0d\x0f\x0f\xae\xf0\x0f\xae\xf8");
  CHECK_EQUAL(static_cast<int>(guest.run(code)), static_cast<int>(Emulator::Stop::halted));
  CHECK_EQUAL(guest.regs.rip, Guest::kCode + code.size() + 1);
  CHECK_EQUAL(guest.get<uint64_t>(kData), 0x1122334455667788u);
}

TEST("the second encoding of SHL shifts as the first, by each kind of count (SDM Vol. 2B, SAL/SAR/SHL/SHR)") {
  Guest guest(64);
  guest.regs.rax = 0x81, guest.regs.rbx = guest.regs.rdx = guest.regs.rsi = guest.regs.rdi = 0x80000001;
  guest.regs.rbp = 0x81, guest.regs.rcx = 3;
  // shl al, 1; shl ebx, 1; shl dl, cl; shl esi, cl; shl edi, 4; shl bpl, 4, all with /6; setc r8b: bit 4 of 81h went
  // last
  guest.run(BYTES("\xd0\xf0\xd1\xf3\xd2\xf2\xd3\xf6\xc1\xf7\x04\x40\xc0\xf5\x04\x41\x0f\x92\xc0"));
  CHECK_EQUAL(guest.regs.rax, 0x02u);
  CHECK_EQUAL(guest.regs.rbx, 0x00000002u);
  CHECK_EQUAL(guest.regs.rdx, 0x80000008u);
  CHECK_EQUAL(guest.regs.rsi, 0x00000008u);
  CHECK_EQUAL(guest.regs.rdi, 0x00000010u);
  CHECK_EQUAL(guest.regs.rbp, 0x10u);
  CHECK_EQUAL(guest.regs.r8 & 0xff, 0u);
}

TEST("WRFSBASE and RDFSBASE move the base of FS") {
  Guest guest(64);
  guest.enable(1u << 16);
  guest.regs.rax = 0x123456789a;
  guest.run(BYTES("\xf3\x48\x0f\xae\xd0\xf3\x48\x0f\xae\xc3"));
  CHECK_EQUAL(guest.regs.rbx, 0x123456789au);
}

TEST("RDRAND and RDSEED of 16 bits leave the rest of their register, and CF tells that there is a number") {
  Guest guest(64);
  announceEverything(guest);
  guest.regs.rax = guest.regs.rbx = 0x1111111111110000;
  guest.run(BYTES("\x66\x0f\xc7\xf0\x73\x0f\x66\x0f\xc7\xfb\x73\x09\x0f\xc7\xf9\x73\x04\xba\x01\x00\x00\x00"));
  CHECK_EQUAL(guest.regs.rax >> 16, 0x111111111111u);
  CHECK_EQUAL(guest.regs.rbx >> 16, 0x111111111111u);
  CHECK_EQUAL(guest.regs.rcx >> 32, 0u);
  CHECK_EQUAL(guest.regs.rdx & 0xff, 1u);
}

TEST("RDPID gives IA32_TSC_AUX") {
  Guest guest(64);
  announceEverything(guest);
  emulator::writeMsr(guest.processor->cpu(), 0xc0000103, 0x1234);
  guest.run(BYTES("\xf3\x0f\xc7\xf9"));
  CHECK_EQUAL(guest.regs.rcx, 0x1234u);
}

TEST("RDPMC gives counters that count nothing") {
  Guest guest(64);
  guest.regs.rax = guest.regs.rdx = ~uint64_t{0};
  guest.regs.rcx = 1;
  guest.run(BYTES("\x0f\x33"));
  CHECK_EQUAL(guest.regs.rax, 0u);
  CHECK_EQUAL(guest.regs.rdx, 0u);
}

TEST("FXRSTOR and XRSTORS load what FXSAVE and XSAVES wrote") {
  Guest guest(64);
  announceEverything(guest);
  guest.enable(0x40600);
  guest.put<uint16_t>(kData, 0x027f);
  guest.put<uint32_t>(kData + 24, 0x1f80);
  guest.regs.rax = 1;
  const auto at = [](const char* opcode, uint32_t address) { return opcode + bytesOf(address); };
  // fxrstor [kData]; xsaves [kData + 400h]; fninit; fnstcw [kData + 800h]; xrstors [kData + 400h]; fnstcw [kData +
  // 802h]
  guest.run(at("\x0f\xae\x0c\x25", kData) + at("\x0f\xc7\x2c\x25", kData + 0x400) + BYTES("\xdb\xe3") +
            at("\xd9\x3c\x25", kData + 0x800) + at("\x0f\xc7\x1c\x25", kData + 0x400) +
            at("\xd9\x3c\x25", kData + 0x802));
  CHECK_EQUAL(guest.get<uint16_t>(kData + 0x800), 0x037f);
  CHECK_EQUAL(guest.get<uint16_t>(kData + 0x802), 0x027f);
  CHECK_EQUAL(guest.get<uint64_t>(kData + 0x400 + 520) >> 63, 1u);  // the compacted form
}

TEST("SYSENTER goes where its registers say, to flat segments with interrupts off") {
  Guest guest(32);
  guest.write(0x3000, "\xf4");
  emulator::writeMsr(guest.processor->cpu(), 0x174, 8);
  emulator::writeMsr(guest.processor->cpu(), 0x175, 0x7000);
  emulator::writeMsr(guest.processor->cpu(), 0x176, 0x3000);
  guest.regs.rflags = 0x202;
  guest.run(BYTES("\x0f\x34"));
  CHECK_EQUAL(guest.regs.rip, 0x3001u);
  CHECK_EQUAL(guest.regs.rsp, 0x7000u);
  CHECK_EQUAL(guest.regs.rflags, 2u);
  vcpu::Sregs sregs;
  guest.processor->getSregs(sregs);
  CHECK_EQUAL(sregs.cs.selector, 8);
  CHECK_EQUAL(sregs.ss.selector, 16);
  CHECK_EQUAL(sregs.ss.limit, 0xffffffffu);
}

TEST("VMPTRST gives the current VMCS; INVEPT and INVVPID of all contexts succeed") {
  VmxGuest guest;
  guest.regs.rax = 2;
  const auto at = [](const std::string& opcode, uint32_t address) { return opcode + bytesOf(address); };
  guest.put<uint64_t>(kData + 0x100, 0);
  // vmptrst [kData]; invept rax, [kData + 100h]
  guest.run(at(BYTES("\x0f\xc7\x3c\x25"), kData) + at(BYTES("\x66\x0f\x38\x80\x04\x25"), kData + 0x100));
  CHECK_EQUAL(guest.get<uint64_t>(kData), VmxGuest::kVmcs);
  CHECK_EQUAL(guest.regs.rflags & 0x8d5, 0u);
  guest.run(at(BYTES("\x66\x0f\x38\x81\x04\x25"), kData + 0x100));
  CHECK_EQUAL(guest.regs.rflags & 0x8d5, 0u);
}
