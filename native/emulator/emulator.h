// One emulated processor: state, run loop, and the ways in and out.
#pragma once

#include <memory>
#include <vector>

#include "emulator/blocks.h"
#include "emulator/cpu.h"
#include "emulator/dispatch.h"

namespace vtkit::emulator {

class Emulator {
 public:
  enum class Stop {
    halted,     // HLT; RIP stands behind it, run() goes on there
    shutdown,   // triple fault
    attention,  // somebody asked, by attention(kStop)
    unknownInstruction,
    stepped,  // single step
    closing,  // the platform gave up
  };

  /** The state after RESET (SDM Vol. 3A, table 10-1). */
  Emulator(memory::GuestMemory& memory, Platform& platform);

  /** Runs until one of the stops. On the thread that owns the processor. */
  Stop run();
  /** Any thread: bits of Attention. */
  void attention(uint32_t bits) noexcept {
    cpu_->attention.fetch_or(bits);
    cpu_->deadline.store(0);
  }

  void getRegs(vcpu::Regs& regs);
  void setRegs(const vcpu::Regs& regs);
  void getSregs(vcpu::Sregs& sregs);
  /** Null, or why no processor could be in that state. */
  const char* setSregs(const vcpu::Sregs& sregs);
  void getEvents(vcpu::Events& events);
  void setEvents(const vcpu::Events& events);

  bool interrupt(uint8_t vector);
  /** run() stops as by attention(kStop) once so many instructions are retired in all. */
  void setLimit(uint64_t instructions) {
    limit_ = instructions;
    cpu_->deadline.store(0);
  }
  uint64_t instructionsRetired() const { return cpu_->instructions; }
  void setSingleStep(bool on) { cpu_->singleStep = on; }

  Cpu& cpu() { return *cpu_; }
  const Cpu& cpu() const { return *cpu_; }
  /** During a call of the platform: the address behind the instruction that makes it. */
  uint64_t rip() const { return nextRip(*cpu_); }
  std::vector<CpuidRow>& cpuid() { return cpuid_; }

  /** The instruction that is not known: its linear address, and how many bytes of it could be read. */
  unsigned unknownBytes(uint8_t* to, unsigned most, uint64_t& linear);

 private:
  bool takeInterrupt();
  bool stopsBefore();
  /** Executes what comes next. False: an instruction did not end, or ended the run. */
  bool advance(bool single);
  void reset();

  std::unique_ptr<Cpu> cpu_;
  Blocks blocks_;
  std::vector<CpuidRow> cpuid_;
  uint64_t seenChanges_ = 0;
  uint64_t limit_ = ~uint64_t{0};
};

}  // namespace vtkit::emulator
