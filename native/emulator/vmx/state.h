// What a processor keeps of VMX operation: the current VMCS, and what its guest is about to do.
#pragma once

#include <cstdint>

#include "emulator/vmx/exit.h"
#include "emulator/vmx/vmcs.h"

namespace vtkit::emulator::vmx {

/** A pointer that was never loaded, or was given up. */
inline constexpr uint64_t kNoVmcs = ~uint64_t{0};
inline constexpr uint64_t kNever = ~uint64_t{0};
inline constexpr uint16_t kNoRegister = 0xffff;

/** An event on its way to the guest: what an exit meanwhile leaves as IDT-vectoring information. */
struct Vectoring {
  uint32_t information = 0;  // as in the VMCS, with bit 31; 0: none
  uint32_t error = 0;
  uint32_t length = 0;
};

/** Activity states (SDM Vol. 3C, 25.4.2). */
enum class Activity : uint8_t { active, hlt, shutdown, waitForSipi };

struct Vmx {
  bool on = false;  // in VMX operation; Cpu::guest tells non-root from root
  uint64_t vmxonPointer = kNoVmcs;
  uint64_t current = kNoVmcs;  // physical address of the current VMCS
  Vmcs vmcs;                   // its contents
  bool outside = false;        // somebody outside the machine is the hypervisor: exits stop the processor
  bool entryAsked = false;     // by them

  PendingExit exit;
  Vectoring vectoring;
  uint8_t instructionBytes = 0;  // of the last instruction that may exit
  Activity activity = Activity::active;
  bool blockedByMovSs = false;  // of Cpu::shadow: MOV SS or POP SS, not STI
  bool virtualNmiMasked = false;
  bool unblockedNmi = false;  // by the IRET that is executed
  bool monitorTrap = false;   // an exit is due behind every instruction
  bool monitorTrapDue = false;
  bool trapDue = false;  // an exit behind an instruction, for what it asked of the virtual APIC
  ExitReason trapReason = ExitReason::apicWrite;
  uint64_t trapQualification = 0;
  uint64_t pendingDebug = 0;                                   // conditions, as in DR6
  uint64_t debugConditions = 0, dr6Before = 0, cr2Before = 0;  // of the exception that is raised
  uint64_t preemptionTick = kNever;                            // when the preemption timer reaches 0
  uint64_t preemptionStart = 0;                                // time stamp counter, in units of the timer
  uint64_t firstPause = kNever, lastPause = 0;                 // of a loop since the VM entry

  uint64_t accessPage = kNever;      // physical page that stands for the APIC's registers
  uint16_t apicWrite = kNoRegister;  // offset of a register of the virtual APIC that was written
  bool virtualInterrupt = false;     // is pending, and recognised
};

/** Whether Vmx::trapDue makes an exit now: a processor that rests too deep for it does so when it has been woken. */
inline bool trapIsDue(const Vmx& vmx) {
  return vmx.trapDue && vmx.activity != Activity::shutdown && vmx.activity != Activity::waitForSipi;
}

}  // namespace vtkit::emulator::vmx
