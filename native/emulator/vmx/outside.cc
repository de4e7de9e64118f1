// VM entries from outside the machine.
#include "emulator/vmx/outside.h"

#include "emulator/cpu.h"
#include "emulator/system.h"
#include "emulator/translation-cache.h"
#include "emulator/vmx/capabilities.h"
#include "emulator/vmx/entry-checks.h"
#include "emulator/vmx/transitions.h"

namespace vtkit::emulator::vmx {

void getFields(const Cpu& cpu, vcpu::VmcsField* to) {
  for (const Field field : kFields) *to++ = {static_cast<uint64_t>(field), cpu.vmx.vmcs.get(field)};
}

const char* setFields(Cpu& cpu, const vcpu::VmcsField* from) {
  if (cpu.vmx.on && !cpu.vmx.outside) return "enter a VMCS: the guest is in VMX operation of its own";
  Vmcs vmcs;
  for (unsigned i = 0; i < kFieldCount; i++) {
    if (!isField(from[i].encoding) || (from[i].encoding & 1) != 0) return "enter a VMCS: an encoding names no field";
    vmcs.set(static_cast<Field>(from[i].encoding), from[i].value);
  }
  cpu.vmx = Vmx();
  cpu.vmx.vmcs = vmcs;
  cpu.vmx.outside = cpu.vmx.entryAsked = true;
  if (cpu.kept != nullptr) cpu.kept->endAll();  // a script has no INVEPT
  cpu.guest = cpu.ept = cpu.waits = false;
  return nullptr;
}

unsigned enterFromOutside(Cpu& cpu) {
  Vmx& vmx = cpu.vmx;
  vmx.entryAsked = false;
  const uint64_t cr0 = cpu.cr0, cr4 = cpu.cr4, efer = cpu.efer;
  // Root operation is what the VMCS says of its host: nobody was in it before.
  const bool wide = (Controls(vmx.vmcs).exit & onExit::kHostAddressSpaceSize) != 0;
  cpu.cr0 |= kCr0Fixed0;
  cpu.cr4 |= kCr4Fixed0 | (wide ? kCr4Pae : 0);
  cpu.efer = wide ? cpu.efer | kEferLme | kEferLma : cpu.efer & ~(kEferLme | kEferLma);
  cpu.shadow = cpu.shadowNext = cpu.trapBlocked = cpu.halted = cpu.taskTraps = cpu.stepNow = cpu.taskSwitched = false;
  cpu.dataHits = 0;
  cpu.fault.pending = cpu.fault.leaves = false;
  vmx.on = true;
  const unsigned error = enter(cpu);
  if (error == 0) return 0;
  cpu.cr0 = cr0;
  cpu.cr4 = cr4;
  cpu.efer = efer;
  vmx.on = vmx.outside = false;
  vmx.vmcs.set(Field::vmInstructionError, error);
  updateMode(cpu);
  return error;
}

void interruptFromOutside(Cpu& cpu) {
  if (!cpu.vmx.outside || !cpu.guest) return;
  leave(cpu, ExitReason::externalInterrupt);
  makeExit(cpu);
  leftForOutside(cpu);
}

bool leftForOutside(Cpu& cpu) {
  Vmx& vmx = cpu.vmx;
  if (!vmx.outside || cpu.guest) return false;
  vmx.on = vmx.outside = false;
  return true;
}

}  // namespace vtkit::emulator::vmx
