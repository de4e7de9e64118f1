// One vCPU descriptor of KVM (KVM API, "vcpu ioctls") and its run loop.
#pragma once

#include "kvm/uapi.h"

#include <atomic>

#include "machine/board.h"
#include "os/fd.h"
#include "os/mapping.h"
#include "vcpu/processor.h"

namespace vtkit::kvm {

class Vcpu final : public vcpu::Processor {
 public:
  /** @param runBytes the size of the shared kvm_run area (KVM_GET_VCPU_MMAP_SIZE) */
  Vcpu(os::Fd fd, size_t runBytes, vcpu::Cell& cell, machine::Board& board, bool kernelIrqchip);

  vcpu::ExitKind run(vcpu::Outside& outside) override;
  void kick() noexcept override;

  void loadRegs() override;
  void storeRegs() override;
  void loadSregs() override;
  void storeSregs() override;
  uint32_t stateBytes(vcpu::StateKind kind) override;
  void getState(vcpu::StateKind kind, void* to) override;
  void setState(vcpu::StateKind kind, const void* from) override;
  uint32_t getMsrs(std::vector<vcpu::MsrEntry>& entries) override;
  uint32_t setMsrs(const std::vector<vcpu::MsrEntry>& entries) override;
  std::vector<vcpu::CpuidEntry> getCpuid() override;
  void setCpuid(const std::vector<vcpu::CpuidEntry>& entries) override;
  bool interrupt(uint8_t vector) override;
  void nmi() override;
  bool interruptWaits() override;
  void setSingleStep(bool on) override;
  void setBreakpointExits(bool on) override;

 private:
  void enter();
  void injectInterrupt();
  /** Fills the exit record from kvm_run. Returns the kind; I/O, MMIO and hypercalls are the ones to be answered. */
  vcpu::ExitKind describeExit();
  void describeIo();
  void describeMmio();
  void giveAnswer();
  void syncRegsToCell();
  void setGuestDebug();
  void armSingleStep();

  os::Fd fd_;
  os::Mapping mapping_;
  kvm_run* const run_;
  vcpu::Cell& cell_;
  machine::Board& board_;
  const bool kernelIrqchip_;
  bool stepping_ = false;
  bool breakpointExits_ = false;
  std::atomic<int> thread_{0};         // the thread inside run(), as gettid() names it
  std::atomic<int> queuedVector_{-1};  // from interrupt(), until the guest can take it
  std::atomic<bool> nmiQueued_{false};
};

}  // namespace vtkit::kvm
