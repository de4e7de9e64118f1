// VMCALL outside VMX operation: a call of the hypervisor that CPUID announces, by the convention of KVM, where RAX
// holds the number and takes the answer (Linux, Documentation/virt/kvm/x86/hypercalls.rst).
#include "emulator/execute-system.h"

#include "emulator/cpu-model.h"
#include "emulator/dispatch.h"
#include "emulator/system.h"

namespace vtkit::emulator {

namespace {

constexpr uint32_t kSendIpi = 10;
constexpr int64_t kNotPermitted = -1, kNoSuchCall = -1000;

/** RBX and RCX: a set of APIC identities from RDX on; RSI: the lower half of the interrupt command. */
int64_t sendIpis(Cpu& cpu) {
  const uint64_t sets[] = {cpu.gpr[RBX], cpu.gpr[RCX]};
  const uint64_t command = cpu.gpr[RSI] & 0x7ff;
  const auto lowest = static_cast<uint32_t>(cpu.gpr[RDX]);
  int64_t sent = 0;
  for (const Cpu* other : *cpu.all) {
    const uint32_t number = other->apic->id() - lowest;
    if (other->apic->id() < lowest || number > 127 || (sets[number / 64] >> (number % 64) & 1) == 0) continue;
    cpu.apic->sendCommand(uint64_t{other->apic->id()} << (cpu.apic->x2apic() ? 32 : 56) | command);
    sent++;
  }
  return sent;
}

}  // namespace

bool hypercall(Cpu& cpu) {
  if (!has(cpu, model::kHypervisor)) return raise(cpu, kUd);
  const int64_t answer = cpu.cpl != 0                                      ? kNotPermitted
                         : static_cast<uint32_t>(cpu.gpr[RAX]) == kSendIpi ? sendIpis(cpu)
                                                                           : kNoSuchCall;
  const auto value = static_cast<uint64_t>(answer);
  cpu.gpr[RAX] = cpu.code64() ? value : value & 0xffffffff;
  spend(cpu, kDeviceTicks);
  cpu.leaveBlock = true;
  return true;
}

}  // namespace vtkit::emulator
