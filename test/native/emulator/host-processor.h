// One piece of code on this processor: registers in, registers out.
#pragma once

#include <csetjmp>
#include <csignal>

#include <cpuid.h>
#include <ucontext.h>

#include <cstdint>
#include <cstring>

namespace vtkit::test {

/** What an instruction may read and write. The XSAVE area is in the standard form: x87, SSE, AVX. */
struct alignas(64) Registers {
  uint8_t area[832];
  uint64_t rax, rcx, rdx, rbx, flags;

  template <typename T>
  T get(unsigned at) const {
    T value;
    std::memcpy(&value, area + at, sizeof(T));
    return value;
  }
  template <typename T>
  void put(unsigned at, T value) {
    std::memcpy(area + at, &value, sizeof(T));
  }
};

/** Runs code that ends with RET, with RDI and RSI as they are given. */
inline void runHere(const void* code, Registers& registers, void* rdi, const void* rsi) {
  asm volatile(
      "lea -128(%%rsp), %%rsp\n"
      "push %%rbx\n"
      "push %%rbp\n"
      "push %[registers]\n"
      "mov %[code], %%r9\n"
      "mov %[registers], %%rbp\n"
      "mov $7, %%eax\n"
      "xor %%edx, %%edx\n"
      "xrstor64 (%%rbp)\n"
      "pushq 864(%%rbp)\n"
      "mov 832(%%rbp), %%rax\n"
      "mov 840(%%rbp), %%rcx\n"
      "mov 848(%%rbp), %%rdx\n"
      "mov 856(%%rbp), %%rbx\n"
      "popfq\n"
      "call *%%r9\n"
      "pop %%rbp\n"
      "pushfq\n"
      "popq 864(%%rbp)\n"
      "mov %%rax, 832(%%rbp)\n"
      "mov %%rcx, 840(%%rbp)\n"
      "mov %%rdx, 848(%%rbp)\n"
      "mov %%rbx, 856(%%rbp)\n"
      "mov $7, %%eax\n"
      "xor %%edx, %%edx\n"
      "xsave64 (%%rbp)\n"
      "fninit\n"
      "vzeroupper\n"
      "cld\n"
      "pushq $0x1f80\n"
      "ldmxcsr (%%rsp)\n"
      "pop %%rax\n"
      "pop %%rbp\n"
      "pop %%rbx\n"
      "lea 128(%%rsp), %%rsp\n"
      :
      : [registers] "r"(&registers), [code] "r"(code), "D"(rdi), "S"(rsi)
      : "rax", "rcx", "rdx", "r9", "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",
        "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "st", "st(1)", "st(2)", "st(3)", "st(4)",
        "st(5)", "st(6)", "st(7)");
}

/** Set while code runs that may raise #XM: where to go on, and what MXCSR was. */
inline sigjmp_buf* faultReturn = nullptr;
inline uint32_t faultMxcsr = 0;

inline void onFault(int, siginfo_t*, void* context) {
  faultMxcsr = static_cast<ucontext_t*>(context)->uc_mcontext.fpregs->mxcsr;
  siglongjmp(*faultReturn, 1);
}

/** As runHere(), for code whose exceptions are not masked: true if it raised one, with MXCSR in `faultMxcsr`. */
inline bool raisesHere(const void* code, Registers& registers, void* rdi, const void* rsi) {
  struct sigaction action = {}, before;
  action.sa_sigaction = onFault;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  sigaction(SIGFPE, &action, &before);
  sigjmp_buf place;
  faultReturn = &place;
  volatile bool raised = true;
  if (sigsetjmp(place, 0) == 0) {
    runHere(code, registers, rdi, rsi);
    raised = false;
  }
  sigaction(SIGFPE, &before, nullptr);
  return raised;
}

/** Whether this processor has all that the list of instructions uses. */
inline bool hostHasAll() {
  unsigned a, b, c, d;
  __cpuid_count(7, 0, a, b, c, d);
  const bool extended = (b & 1u << 3) != 0 && (b & 1u << 5) != 0 && (b & 1u << 8) != 0 && (b & 1u << 19) != 0 &&
                        (b & 1u << 29) != 0;  // BMI1, AVX2, BMI2, ADX, SHA
  return extended && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.2");
}

}  // namespace vtkit::test
