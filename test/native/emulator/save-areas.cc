// Where x87 and vector state lies in memory, and what a processor without a feature makes of its instructions.
#include "test/native/emulator/guest.h"

using namespace vtkit;
using namespace vtkit::test;

namespace {

#define BYTES(TEXT) std::string(TEXT, sizeof(TEXT) - 1)
using Stop = Emulator::Stop;
int number(Stop stop) { return static_cast<int>(stop); }

constexpr uint64_t kSse = 0x600, kXsave = 0x40000;

}  // namespace

TEST("FNSTENV writes seven doublewords in 32-bit protected mode (SDM Vol. 1, figure 8-9)") {
  Guest guest(32);
  guest.regs.rdi = Guest::kData;
  guest.run(BYTES("\xdb\xe3\xd9\xe8\xd9\x07\xd9\x37"));  // fninit; fld1; fld [edi]; fnstenv [edi]
  CHECK_EQUAL(guest.get<uint32_t>(Guest::kData), 0xffff037fu);
  CHECK_EQUAL(guest.get<uint32_t>(Guest::kData + 4), 0xffff3000u);  // TOP is 6
  CHECK_EQUAL(guest.get<uint32_t>(Guest::kData + 8), 0xffff1fffu);  // register 7 valid, register 6 zero
  CHECK_EQUAL(guest.get<uint32_t>(Guest::kData + 12), Guest::kCode + 4);
  CHECK_EQUAL(guest.get<uint32_t>(Guest::kData + 20), Guest::kData);
}

TEST("FNSTENV writes seven words with a 16-bit operand size (SDM Vol. 1, figure 8-11)") {
  Guest guest(32);
  guest.regs.rdi = Guest::kData;
  guest.put<uint16_t>(Guest::kData + 14, 0x1234);
  guest.run(BYTES("\xdb\xe3\xd9\xe8\x66\xd9\x37"));  // fninit; fld1; fnstenv [edi]
  CHECK_EQUAL(guest.get<uint16_t>(Guest::kData), 0x037fu);
  CHECK_EQUAL(guest.get<uint16_t>(Guest::kData + 2), 0x3800u);
  CHECK_EQUAL(guest.get<uint16_t>(Guest::kData + 4), 0x3fffu);
  CHECK_EQUAL(guest.get<uint16_t>(Guest::kData + 6), (Guest::kCode + 2) & 0xffff);
  CHECK_EQUAL(guest.get<uint16_t>(Guest::kData + 14), 0x1234u);
}

TEST("FNSAVE writes the stack from its top and initialises, and FRSTOR brings all of it back") {
  Guest guest(64);
  guest.regs.rdi = Guest::kData;
  guest.regs.rsi = Guest::kData + 0x100;
  // fninit; fldz; fld1; fnsave [rdi]; frstor [rdi]; fnsave [rsi]
  guest.run(BYTES("\xdb\xe3\xd9\xee\xd9\xe8\xdd\x37\xdd\x27\xdd\x36"));
  CHECK_EQUAL(guest.get<uint64_t>(Guest::kData + 28), uint64_t{1} << 63);
  CHECK_EQUAL(guest.get<uint16_t>(Guest::kData + 36), 0x3fffu);
  CHECK_EQUAL(guest.get<uint64_t>(Guest::kData + 38), 0u);
  for (unsigned i = 0; i < 108; i++) {
    if (!CHECK_EQUAL(guest.get<uint8_t>(Guest::kData + 0x100 + i), guest.get<uint8_t>(Guest::kData + i))) return;
  }
  vcpu::Fpu fpu;
  guest.processor->getFpu(fpu);
  CHECK_EQUAL(fpu.ftwx, 0u);
}

TEST("FXSAVE writes 64-bit pointers with REX.W, the abridged tags and MXCSR with its mask (SDM Vol. 1, table 10-2)") {
  Guest guest(64);
  guest.enable(kSse);
  guest.regs.rdi = Guest::kData;
  guest.put<uint64_t>(Guest::kData + 0x1d0, 0x1122334455667788);
  guest.run(BYTES("\xdb\xe3\xd9\xe8\x48\x0f\xae\x07"));  // fninit; fld1; fxsave64 [rdi]
  CHECK_EQUAL(guest.get<uint16_t>(Guest::kData), 0x37fu);
  CHECK_EQUAL(guest.get<uint16_t>(Guest::kData + 2), 0x3800u);
  CHECK_EQUAL(guest.get<uint8_t>(Guest::kData + 4), 0x80u);
  CHECK_EQUAL(guest.get<uint64_t>(Guest::kData + 8), Guest::kCode + 2);
  CHECK_EQUAL(guest.get<uint32_t>(Guest::kData + 24), 0x1f80u);
  CHECK_EQUAL(guest.get<uint32_t>(Guest::kData + 28), 0xffffu);
  CHECK_EQUAL(guest.get<uint64_t>(Guest::kData + 32), uint64_t{1} << 63);
  CHECK_EQUAL(guest.get<uint64_t>(Guest::kData + 0x1d0), 0x1122334455667788u);  // software's
}

TEST("XSAVEC writes the compacted form and only what is in use; XRSTOR initialises the rest") {
  Guest guest(64);
  guest.enable(kSse | kXsave);
  guest.processor->setXcr0(7);
  guest.regs.rdi = Guest::kData;
  guest.regs.rax = 7;
  guest.regs.rdx = 0;
  // fninit; pcmpeqd xmm1, xmm1; xsavec [rdi]; fld1; vpcmpeqd ymm2, ymm2, ymm2; xrstor [rdi]
  guest.run(BYTES("\xdb\xe3\x66\x0f\x76\xc9\x0f\xc7\x27\xd9\xe8\xc5\xed\x76\xd2\x0f\xae\x2f"));
  CHECK_EQUAL(guest.get<uint64_t>(Guest::kData + 512), 2u);
  CHECK_EQUAL(guest.get<uint64_t>(Guest::kData + 520), uint64_t{1} << 63 | 7);
  CHECK_EQUAL(guest.get<uint64_t>(Guest::kData + 160 + 16), ~uint64_t{0});
  uint8_t area[832];
  guest.processor->getXsave(area, sizeof(area));
  uint64_t xmm1, ymm2;
  std::memcpy(&xmm1, area + 160 + 16, 8);
  std::memcpy(&ymm2, area + 576 + 32, 8);
  CHECK_EQUAL(xmm1, ~uint64_t{0});
  CHECK_EQUAL(ymm2, 0u);
  CHECK_EQUAL(area[4], 0u);  // fld1 is gone
}

TEST("XSAVEOPT leaves what it does not write as it was") {
  Guest guest(64);
  guest.enable(kSse | kXsave);
  guest.processor->setXcr0(7);
  guest.regs.rdi = Guest::kData;
  guest.regs.rax = 3;
  guest.put<uint64_t>(Guest::kData + 512, 4);
  guest.put<uint64_t>(Guest::kData + 576, 0x55);
  guest.put<uint64_t>(Guest::kData + 160, 0x66);
  guest.run(BYTES("\xd9\xe8\x0f\xae\x37"));                  // fld1; xsaveopt [rdi]
  CHECK_EQUAL(guest.get<uint64_t>(Guest::kData + 512), 5u);  // AVX was not asked for: its bit stays
  CHECK_EQUAL(guest.get<uint64_t>(Guest::kData + 576), 0x55u);
  CHECK_EQUAL(guest.get<uint64_t>(Guest::kData + 160), 0x66u);  // SSE is in its initial state
}

TEST("a store of x87 that faults leaves the stack as it was") {
  Guest guest(64);
  guest.regs.rdi = 0x200000000;                                                       // mapped by nothing
  CHECK_EQUAL(number(guest.run(BYTES("\xd9\xe8\xdd\x1f"))), number(Stop::shutdown));  // fld1; fstp qword [rdi]
  vcpu::Fpu fpu;
  guest.processor->getFpu(fpu);
  CHECK_EQUAL(fpu.fsw, 0x3800u);
  CHECK_EQUAL(fpu.ftwx, 0x80u);
}

TEST("without its CPUID bit an instruction is #UD, or what its bytes meant before") {
  Guest guest(64);
  std::vector<emulator::CpuidRow> rows = guest.processor->cpuid();
  for (emulator::CpuidRow& row : rows) {
    if (row.leaf == 7) row.ebx &= ~(1u << 3);           // BMI1
    if (row.leaf == 0x80000001) row.ecx &= ~(1u << 5);  // LZCNT
  }
  guest.processor->setCpuid(rows);
  guest.regs.rcx = 0x10;
  CHECK_EQUAL(number(guest.run(BYTES("\xf3\x0f\xbd\xc1"))), number(Stop::halted));  // lzcnt eax, ecx: BSR
  CHECK_EQUAL(guest.regs.rax, 4u);
  CHECK_EQUAL(number(guest.run(BYTES("\xc4\xe2\x70\xf2\xc2"))), number(Stop::shutdown));  // andn eax, ecx, edx
}

TEST("RDRAND gives another number each time, and the same ones in every run") {
  Guest first(64), second(64);
  for (Guest* guest : {&first, &second}) guest->run(BYTES("\x48\x0f\xc7\xf0\x48\x0f\xc7\xf3"));  // rdrand rax, rbx
  CHECK_EQUAL(first.regs.rax == first.regs.rbx, false);
  CHECK_EQUAL(first.regs.rflags & 1, 1u);
  CHECK_EQUAL(first.regs.rax, second.regs.rax);
  CHECK_EQUAL(first.regs.rbx, second.regs.rbx);
}
