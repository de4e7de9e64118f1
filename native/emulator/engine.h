// The emulated processor behind the interfaces that machines use.
#pragma once

#include "emulator/emulator.h"
#include "machine/engine.h"

namespace vtkit::emulator {

/** One machine: memory needs no registration, since the processor looks slots up where they are kept. */
class Engine final : public machine::Engine {
 public:
  Engine(machine::Board& board, memory::GuestMemory& memory) : board_(board), memory_(memory) {}

  void addMemory(const memory::Slot&) override {}
  void removeMemory(const memory::Slot&) override {}
  void takeDirtyLog(const memory::Slot& slot, uint64_t* bitmap) override;
  std::unique_ptr<vcpu::Processor> createProcessor(uint32_t index, vcpu::Cell& cell) override;
  void setIrqLine(uint32_t gsi, bool level) override;
  void connectIrqfd(uint32_t gsi, int eventfd, bool connect) override;
  void connectIoeventfd(const Ioeventfd& connection, bool connect) override;

 private:
  machine::Board& board_;
  memory::GuestMemory& memory_;
};

class Processor final : public vcpu::Processor, private Platform {
 public:
  Processor(vcpu::Cell& cell, machine::Board& board, memory::GuestMemory& memory);

  vcpu::ExitKind run(vcpu::Outside& outside) override;
  void kick() noexcept override;
  void loadRegs() override { emulator_.getRegs(cell_.regs); }
  void storeRegs() override { emulator_.setRegs(cell_.regs); }
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
  void nmi() override { emulator_.attention(kNmi); }
  bool interruptWaits() override;
  void setSingleStep(bool on) override { emulator_.setSingleStep(on); }

 private:
  bool portRead(uint16_t port, unsigned size, unsigned count, void* data) override;
  bool portWrite(uint16_t port, unsigned size, unsigned count, const void* data) override;
  bool mmioRead(uint64_t address, unsigned size, void* data) override;
  bool mmioWrite(uint64_t address, unsigned size, const void* data) override;
  int acknowledgeInterrupt() override;
  bool interruptAsserted() override;
  /** Offers the access to the devices, then to the world outside. `data` goes out with writes and comes back with
   * reads. */
  bool access(vcpu::ExitKind kind, uint64_t address, unsigned size, unsigned count, void* in, const void* out);

  vcpu::Cell& cell_;
  machine::Board& board_;
  Emulator emulator_;
  vcpu::Outside* outside_ = nullptr;  // during run()
  bool completing_ = false;
};

}  // namespace vtkit::emulator
