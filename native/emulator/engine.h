// The emulated processors behind the interfaces that machines use.
#pragma once

#include "emulator/emulator.h"
#include "emulator/inbox.h"
#include "emulator/rounds.h"
#include "emulator/virtual-clock.h"
#include "machine/engine.h"

namespace vtkit::emulator {

class Processor;

/** One machine: memory needs no registration, since the processor looks slots up where they are kept. */
class Engine final : public machine::Engine, private bus::MessageSink {
 public:
  struct Options {
    bool keepsTranslations;  // until the architecture ends them
    uint64_t seed;           // of RDRAND and RDSEED
  };

  Engine(machine::Board& board, memory::GuestMemory& memory, Options options)
      : board_(board), memory_(memory), options_(options) {
    rounds_.listen(&inbox_);
  }
  ~Engine() override { clock_->detach(); }

  void addMemory(const memory::Slot&) override {}
  void removeMemory(const memory::Slot&) override {}
  void takeDirtyLog(const memory::Slot& slot, uint64_t* bitmap) override;
  std::unique_ptr<vcpu::Processor> createProcessor(uint32_t index, vcpu::Cell& cell) override;
  bus::MessageSink* messages() override { return this; }
  std::shared_ptr<devices::Clock> virtualClock() override { return clock_; }
  bool pause() override;
  bool pauseAt(uint64_t instructions) override;
  bool traceInstructions(bool on) override;
  uint64_t instructions() override;
  Inbox* inbox() override { return &inbox_; }
  void wake() override { rounds_.wake(); }
  bool visit(state::Archive& archive) override;
  void setIrqLine(uint32_t gsi, bool level) override;
  void connectIrqfd(uint32_t gsi, int eventfd, int resample, bool connect) override;
  void setMsiRoute(uint32_t gsi, uint64_t address, uint32_t data) override;
  void signalMsi(uint64_t address, uint32_t data) override;
  void attachVfio(int fd, bool attach) override;
  void connectIoeventfd(const Ioeventfd& connection, bool connect) override;

 private:
  friend class Processor;

  bool deliver(const bus::InterruptMessage& message) override { return route(message, nullptr); }
  /** To all processors that the message is for, but the one left out. */
  bool route(const bus::InterruptMessage& message, const Processor* except);

  machine::Board& board_;
  memory::GuestMemory& memory_;
  const Options options_;
  std::vector<Cpu*> cpus_;
  std::vector<Processor*> processors_;
  Inbox inbox_;
  Rounds rounds_;
  uint64_t pauseAt_ = Emulator::kNever;
  const std::shared_ptr<VirtualClock> clock_ = std::make_shared<VirtualClock>(rounds_);
};

class Processor final : public vcpu::Processor, private Platform, private Member {
 public:
  Processor(Engine& engine, uint32_t index, vcpu::Cell& cell);
  ~Processor() override;

  vcpu::ExitKind run(vcpu::Outside& outside) override;
  void kick() noexcept override;
  void loadRegs() override { emulator_.getRegs(cell_.regs); }
  void storeRegs() override;
  void loadSregs() override { emulator_.getSregs(cell_.sregs); }
  void storeSregs() override;
  uint32_t stateBytes(vcpu::StateKind kind) override;
  void getState(vcpu::StateKind kind, void* to) override;
  void setState(vcpu::StateKind kind, const void* from) override;
  uint32_t getMsrs(std::vector<vcpu::MsrEntry>& entries) override;
  uint32_t setMsrs(const std::vector<vcpu::MsrEntry>& entries) override;
  std::vector<vcpu::CpuidEntry> getCpuid() override;
  void setCpuid(const std::vector<vcpu::CpuidEntry>& entries) override;
  bool interrupt(uint8_t vector) override { return emulator_.interrupt(vector); }
  void nmi() override { emulator_.nmi(); }
  bool interruptWaits() override { return emulator_.wakes(); }
  void setSingleStep(bool on) override { emulator_.setSingleStep(on); }
  void setBreakpointExits(bool on) override { emulator_.setBreakpointExits(on); }

 private:
  friend class Engine;

  unsigned index() const override { return index_; }
  Turn turn(uint64_t start, const uint64_t& end, uint64_t& until) override;
  uint64_t tick() const override { return emulator_.ticks(); }
  void look() override { emulator_.attention(kInterrupt); }
  bool stopDead() override;
  bool stops() override { return outside_->stopRequested(); }
  void leave() override;
  bool mustLeave();
  void visit(state::Archive& archive);
  Turn end(vcpu::ExitKind kind);
  Turn sleep(uint64_t end, uint64_t& until);
  Turn ended(Emulator::Stop stop);

  bool portRead(uint16_t port, unsigned size, unsigned count, void* data) override;
  bool portWrite(uint16_t port, unsigned size, unsigned count, const void* data) override;
  bool mmioRead(uint64_t address, unsigned size, void* data) override;
  bool mmioWrite(uint64_t address, unsigned size, const void* data) override;
  int acknowledgeInterrupt() override;
  bool interruptAsserted() override;
  bool send(const bus::InterruptMessage& message, bool others) override;
  void executed(const Executed& instruction) override;
  void endOfInterrupt(uint8_t vector) override;
  /** Offers the access to the devices, then to the world outside. `data` goes out with writes and comes back with
   * reads. */
  bool access(vcpu::ExitKind kind, uint64_t address, unsigned size, unsigned count, void* in, const void* out);
  /** The 8259 is wired to the first processor. */
  bus::InterruptSource* controller() { return index_ == 0 ? engine_.board_.interrupts() : nullptr; }

  Engine& engine_;
  const uint32_t index_;
  vcpu::Cell& cell_;
  Emulator emulator_;
  vcpu::Outside* outside_ = nullptr;  // during run()
  vcpu::ExitKind exit_ = vcpu::ExitKind::none;
  bool completing_ = false;
  bool halted_ = false;
};

}  // namespace vtkit::emulator
