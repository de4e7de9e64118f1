// VM exits.
#include "emulator/vmx/exit.h"

#include "emulator/cpu.h"

namespace vtkit::emulator::vmx {

bool leave(Cpu& cpu, ExitReason reason, uint64_t qualification) {
  cpu.fault = {true, 0, false, 0, true};
  cpu.vmx.exit = {};
  cpu.vmx.exit.reason = reason;
  cpu.vmx.exit.qualification = qualification;
  return false;
}

}  // namespace vtkit::emulator::vmx
