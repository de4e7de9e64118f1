// The VMCS region in guest memory, which software may write at any time: every value is cut to its field.
#include "emulator/vmx/transitions.h"

namespace vtkit::emulator::vmx {

namespace {

// Bytes 0 to 7 are the revision and the VMX-abort indicator (SDM Vol. 3C, table 25-1); a word for the launch state; and
// the fields in the order of their table.
constexpr uint64_t kLaunchState = 8, kValues = 16;
constexpr uint32_t kLaunched = 1;

}  // namespace

void loadRegion(const Cpu& cpu, uint64_t address, Vmcs& vmcs) {
  uint32_t launchState = 0;
  uint64_t values[kFieldCount] = {};
  static_assert(kValues + sizeof(values) <= 4096);
  cpu.memory->read(address + kLaunchState, &launchState, sizeof(launchState));
  cpu.memory->read(address + kValues, values, sizeof(values));
  vmcs.launched = launchState == kLaunched;
  for (unsigned i = 0; i < kFieldCount; i++) vmcs.set(kFields[i], values[i]);
}

void storeRegion(Cpu& cpu, uint64_t address, const Vmcs& vmcs) {
  uint64_t values[kFieldCount];
  for (unsigned i = 0; i < kFieldCount; i++) values[i] = vmcs.get(kFields[i]);
  const uint32_t launchState = vmcs.launched ? kLaunched : 0;
  writePhysical(cpu, address + kLaunchState, &launchState, sizeof(launchState));
  // Piece by piece, as code is looked for in what is written.
  for (unsigned i = 0; i < kFieldCount; i++) writePhysical(cpu, address + kValues + 8 * i, &values[i], 8);
}

}  // namespace vtkit::emulator::vmx
