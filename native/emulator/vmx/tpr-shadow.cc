// The TPR shadow.
#include "emulator/vmx/tpr-shadow.h"

#include "emulator/vmx/controls.h"

namespace vtkit::emulator::vmx {

namespace {
constexpr uint64_t kVtpr = 0x80;  // in the virtual-APIC page
}

bool shadowsTpr(const Cpu& cpu) { return cpu.guest && primaryBased(cpu, primary::kUseTprShadow); }

uint64_t readShadow(const Cpu& cpu) {
  uint32_t vtpr = 0;
  cpu.memory->read(field(cpu, Field::virtualApicAddress) + kVtpr, &vtpr, sizeof(vtpr));
  return vtpr >> 4 & 15;
}

void writeShadow(Cpu& cpu, uint64_t cr8) {
  const auto vtpr = static_cast<uint32_t>(cr8 << 4);
  writePhysical(cpu, field(cpu, Field::virtualApicAddress) + kVtpr, &vtpr, sizeof(vtpr));
  if (cr8 >= (field(cpu, Field::tprThreshold) & 15)) return;
  cpu.vmx.belowThreshold = true;
  cpu.leaveBlock = true;
}

}  // namespace vtkit::emulator::vmx
