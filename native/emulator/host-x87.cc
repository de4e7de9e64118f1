// x87 instructions on the host: FXRSTOR, the instruction with the bytes that the guest has, FXSAVE.
#include "emulator/host-x87.h"

namespace vtkit::emulator {

#ifdef VTKIT_HOST_FLOAT

// Four bytes for each: the instruction, RET, and one to spare. First the memory forms, which take the address in RDI
// (mod 0, rm 7), then the register forms.
asm(R"(
  .pushsection .text
  .balign 4
vtkit_x87_memory:
  .set opcode, 0xd8
  .rept 8
    .set modrm, 7
    .rept 8
      .byte opcode, modrm, 0xc3, 0xcc
      .set modrm, modrm + 8
    .endr
    .set opcode, opcode + 1
  .endr
vtkit_x87_registers:
  .set opcode, 0xd8
  .rept 8
    .set modrm, 0xc0
    .rept 64
      .byte opcode, modrm, 0xc3, 0xcc
      .set modrm, modrm + 1
    .endr
    .set opcode, opcode + 1
  .endr
  .popsection
)");

void runX87(X87& state, uint8_t opcode, uint8_t modrm, void* memory, uint64_t& flags) {
  const unsigned unit = opcode & 7u;
  const uint8_t* code;
  if (modrm < 0xc0) {
    asm("lea vtkit_x87_memory(%%rip), %0" : "=r"(code));
    code += 4 * (unit * 8 + (modrm >> 3 & 7u));
  } else {
    asm("lea vtkit_x87_registers(%%rip), %0" : "=r"(code));
    code += 4 * (unit * 64 + (modrm & 63u));
  }
  state.hostMxcsr = hostMxcsr();
  // The stack pointer steps over the red zone: the compiler does not know of the call.
  asm volatile(
      "fxrstor64 (%[state])\n"
      "lea -128(%%rsp), %%rsp\n"
      "pushq %[flags]\n"
      "popfq\n"
      "call *%[code]\n"
      "pushfq\n"
      "popq %[flags]\n"
      "lea 128(%%rsp), %%rsp\n"
      "fxsave64 (%[state])\n"
      "fninit\n"
      : [flags] "+r"(flags)
      : [state] "r"(&state), [code] "r"(code), "D"(memory)
      : "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
        "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)",
        "st(7)");
}

#else

void runX87(X87&, uint8_t, uint8_t, void*, uint64_t&) {}

#endif

}  // namespace vtkit::emulator
