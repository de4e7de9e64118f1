// Which engine a machine gets.
#include "napi/engines.h"

#include <fcntl.h>
#include "kvm/uapi.h"

#include <string>

#include "emulator/engine.h"
#include "kvm/vm.h"
#include "os/ioctl.h"

namespace vtkit::napi {

namespace {

std::unique_ptr<machine::Engine> createKvm(const std::string& path, bool kernelIrqchip, machine::Board& board) {
  const os::Fd system = os::Fd::open(path, O_RDWR);
  const int runBytes = os::ioctl(system, KVM_GET_VCPU_MMAP_SIZE, "KVM_GET_VCPU_MMAP_SIZE", 0);
  os::Fd vm(os::ioctl(system, KVM_CREATE_VM, "KVM_CREATE_VM", 0));
  return std::make_unique<kvm::Vm>(std::move(vm), static_cast<size_t>(runBytes), board,
                                   kvm::Vm::Options{kernelIrqchip});
}

}  // namespace

machine::Machine::EngineFactory engineFactory(const Napi::Object& options) {
  if (options.Get("engine").ToString().Utf8Value() == "emulated") {
    return [](machine::Board& board, memory::GuestMemory& memory) {
      return std::make_unique<emulator::Engine>(board, memory);
    };
  }
  const std::string path = options.Get("path").ToString();
  const bool kernelIrqchip = options.Get("kernelIrqchip").ToBoolean();
  return [path, kernelIrqchip](machine::Board& board, memory::GuestMemory&) {
    return createKvm(path, kernelIrqchip, board);
  };
}

}  // namespace vtkit::napi
