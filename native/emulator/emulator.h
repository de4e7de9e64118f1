// One emulated processor: state, run loop, and the ways in and out.
#pragma once

#include <memory>
#include <vector>

#include "emulator/apic.h"
#include "emulator/blocks.h"
#include "emulator/cpu.h"
#include "emulator/dispatch.h"
#include "emulator/translation-cache.h"

namespace vtkit::emulator {

class Emulator final : private ApicHost {
 public:
  enum class Stop {
    halted,     // HLT; RIP stands behind it, run() goes on there
    shutdown,   // triple fault
    attention,  // somebody asked, by attention(kStop)
    unknownInstruction,
    stepped,  // single step
    closing,  // the platform gave up
    waiting,  // INIT: for a startup message
    left,     // a VM exit, or an entry that failed, of a hypervisor outside
    turn,     // its turn is over
  };

  static constexpr uint64_t kNever = LocalApic::kNever;

  /**
   * The state after RESET (SDM Vol. 3A, table 10-1). `all` are the processors of a machine that has several, to which
   * this one adds itself.
   */
  Emulator(memory::GuestMemory& memory, Platform& platform, uint32_t id = 0, std::vector<Cpu*>* all = nullptr);
  ~Emulator() override;

  /** Runs until one of the stops; to `turnEnd` ticks and the end of the block there. One thread at a time. */
  Stop run(const uint64_t& turnEnd = kNever);
  /** Time that passes without instructions. */
  void advanceTo(uint64_t tick);
  uint64_t ticks() const override;
  /** The tick at which a timer wants to be looked at, or kNever. */
  uint64_t nextEvent() const;
  /** Whether anything but INIT and startup messages can end HLT. */
  bool interruptible() const;
  /** Whether something is there that ends HLT, or the wait for a startup message. */
  bool wakes();
  /** As after INIT, on any processor: the next that happens to it is a startup message. */
  void waitForStartup();
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
  void getFpu(vcpu::Fpu& fpu);
  void setFpu(const vcpu::Fpu& fpu);
  /** The area that XSAVE would write for all components, in the standard form; `bytes` of it, at least kXsaveBytes. */
  void getXsave(uint8_t* area, unsigned bytes);
  /** Null, or why no processor could be in that state. */
  const char* setXsave(const uint8_t* area);
  const char* setXcr0(uint64_t value);
  /** From here on translations live until the architecture ends them. */
  void keepTranslations();
  void setCpuid(std::vector<CpuidRow> rows);
  /** What RDRAND and RDSEED give from here on. */
  void seedRandom(uint64_t seed) { cpu_->randomState = seed; }
  /** What is not in the structures above. Read last of all, as setting some of them has effects of its own. */
  void visit(state::Archive& archive);
  void getEvents(vcpu::Events& events);
  void setEvents(const vcpu::Events& events);

  bool interrupt(uint8_t vector);
  void nmi() { nonMaskable(); }
  /** Makes the VM entry that somebody outside asked for. False if it failed, and the guest was not entered. */
  bool enter();
  /** The VM-instruction error of the entry from outside that was made last, or 0. */
  unsigned entryError() const { return entryError_; }
  /** run() stops as by attention(kStop) once so many instructions are retired in all. */
  void setLimit(uint64_t instructions) {
    limit_ = instructions;
    cpu_->deadline.store(0);
  }
  /** Any thread. Platform::executed is told of each instruction, which is executed alone; the guest cannot tell. */
  void traceInstructions(bool on) { traces_.store(on, std::memory_order_relaxed); }
  uint64_t instructionsRetired() const { return cpu_->instructions; }
  void setSingleStep(bool on) { cpu_->singleStep = on; }
  /** Stops, as a single step does, before an INT3 instead of executing it. */
  void setBreakpointExits(bool on) { breakpointExits_ = on; }

  LocalApic& apic() { return apic_; }
  Cpu& cpu() { return *cpu_; }
  const Cpu& cpu() const { return *cpu_; }
  /** During a call of the platform: the address behind the instruction that makes it. */
  uint64_t rip() const { return nextRip(*cpu_); }
  const std::vector<CpuidRow>& cpuid() const { return cpuid_; }

  /** The instruction that is not known: its linear address, and how many bytes of it could be read. */
  unsigned unknownBytes(uint8_t* to, unsigned most, uint64_t& linear);

 private:
  Stop goOn(const uint64_t& turnEnd);
  int nextVector();
  bool interruptWaits() const;
  bool guestWakes();
  bool takeGuestEvent();
  bool takeInterrupt();
  void forgetNmi();
  uint64_t horizon(uint64_t turnEnd) const;
  void trapBehind(bool steps);
  void passBoundary();
  bool stopsBefore();
  bool standsAtInt3();
  /** Executes what comes next, `room` instructions at most. False: an instruction did not end, or ended the run. */
  bool advance(bool single, uint64_t room);
  void reset();
  void executeTraced(Block& block);
  /** INIT and startup messages. True if the processor is to wait for one. */
  bool takeInit();
  bool takeVmxInit();
  bool waitsInGuest() const;
  /** Whether INIT or a startup message came that is not blocked, and is for a processor in this state. */
  bool signalWakes() const;

  uint64_t tscOffset() const override { return cpu_->tscOffset; }
  void look() override { attention(kInterrupt); }
  void nonMaskable() override;
  void init() override;
  void startup(uint8_t vector) override;
  void send(const bus::InterruptMessage& message, bool others) override;
  void endOfInterrupt(uint8_t vector) override { cpu_->platform->endOfInterrupt(vector); }

  std::unique_ptr<Cpu> cpu_;
  LocalApic apic_;
  std::vector<Cpu*> alone_;
  std::vector<Cpu*>* const all_;
  Blocks blocks_;
  std::unique_ptr<TranslationCache> kept_;
  std::vector<CpuidRow> cpuid_;
  uint64_t seenChanges_ = 0;
  uint64_t limit_ = ~uint64_t{0};
  bool breakpointExits_ = false;
  std::atomic<bool> traces_{false};
  unsigned entryError_ = 0;
};

}  // namespace vtkit::emulator
