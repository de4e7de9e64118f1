// What a processor keeps of VMX operation beside the current VMCS.
#pragma once

#include <cstdint>

#include "emulator/vmx/exit.h"

namespace vtkit::emulator::vmx {

/** A pointer that was never loaded, or was given up. */
inline constexpr uint64_t kNoVmcs = ~uint64_t{0};
inline constexpr uint64_t kNever = ~uint64_t{0};

/** An event on its way to the guest: what an exit meanwhile leaves as IDT-vectoring information. */
struct Vectoring {
  uint32_t information = 0;  // as in the VMCS, with bit 31; 0: none
  uint32_t error = 0;
  uint32_t length = 0;
};

struct Vmx {
  bool on = false;  // in VMX operation; Cpu::guest tells non-root from root
  uint64_t vmxonPointer = kNoVmcs;
  uint64_t current = kNoVmcs;  // physical address of the current VMCS
  PendingExit exit;
  Vectoring vectoring;
  uint64_t preemptionTick = kNever;  // of the time stamp counter: when the preemption timer reaches 0
  bool monitorTrap = false;          // an exit is due behind the next instruction
};

}  // namespace vtkit::emulator::vmx
