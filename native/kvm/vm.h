// One virtual machine descriptor of KVM (KVM API, "VM ioctls").
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "machine/engine.h"
#include "os/fd.h"

namespace vtkit::kvm {

class Vm final : public machine::Engine {
 public:
  struct Options {
    bool kernelIrqchip;  // KVM's PICs, I/O APIC and local APICs (KVM_CREATE_IRQCHIP), with its PIT
  };
  /** @param fd from KVM_CREATE_VM; @param runBytes from KVM_GET_VCPU_MMAP_SIZE */
  Vm(os::Fd fd, size_t runBytes, machine::Board& board, Options options);

  void addMemory(const memory::Slot& slot) override;
  void removeMemory(const memory::Slot& slot) override;
  void takeDirtyLog(const memory::Slot& slot, uint64_t* bitmap) override;
  std::unique_ptr<vcpu::Processor> createProcessor(uint32_t index, vcpu::Cell& cell) override;
  bool hasIrqLines() const override { return options_.kernelIrqchip; }
  void setIrqLine(uint32_t gsi, bool level) override;
  void connectIrqfd(uint32_t gsi, int eventfd, int resample, bool connect) override;
  void setMsiRoute(uint32_t gsi, uint64_t address, uint32_t data) override;
  void signalMsi(uint64_t address, uint32_t data) override;
  void attachVfio(int fd, bool attach) override;
  void connectIoeventfd(const Ioeventfd& connection, bool connect) override;

 private:
  struct MsiRoute {
    uint32_t gsi;
    uint64_t address;
    uint32_t data;
  };
  void route();

  os::Fd fd_;
  const size_t runBytes_;
  machine::Board& board_;
  const Options options_;
  std::vector<MsiRoute> msiRoutes_;
  os::Fd vfio_;  // the machine's KVM_DEV_TYPE_VFIO, once something was attached
};

}  // namespace vtkit::kvm
