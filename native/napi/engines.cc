// Which engine a machine gets.
#include "napi/engines.h"

#include <string>

#include "emulator/engine.h"
#include "kvm/system.h"
#include "kvm/vm.h"
#include "napi/convert.h"

namespace vtkit::napi {

namespace {

std::unique_ptr<machine::Engine> createKvm(const std::string& path, bool kernelIrqchip, machine::Board& board) {
  const kvm::System system = kvm::System::open(path);
  return std::make_unique<kvm::Vm>(system.createVm(), system.vcpuMmapSize(), board, kvm::Vm::Options{kernelIrqchip});
}

}  // namespace

machine::Machine::EngineFactory engineFactory(const Napi::Object& options) {
  if (options.Get("engine").ToString().Utf8Value() == "emulated") {
    const bool stale = options.Get("staleTranslations").ToBoolean();
    const uint64_t seed = toUint64(options.Get("seed"), "seed");
    return [stale, seed](machine::Board& board, memory::GuestMemory& memory) {
      return std::make_unique<emulator::Engine>(board, memory, emulator::Engine::Options{stale, seed});
    };
  }
  const std::string path = options.Get("path").ToString();
  const bool kernelIrqchip = options.Get("kernelIrqchip").ToBoolean();
  return [path, kernelIrqchip](machine::Board& board, memory::GuestMemory&) {
    return createKvm(path, kernelIrqchip, board);
  };
}

}  // namespace vtkit::napi
