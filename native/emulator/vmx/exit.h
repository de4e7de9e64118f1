// VM exits: how an instruction or an event says that one is due. They travel as faults do, and the run loop makes them.
#pragma once

#include <cstdint>

namespace vtkit::emulator {
struct Cpu;
}

namespace vtkit::emulator::vmx {

/** Basic exit reasons (SDM Vol. 3D, appendix C) that this processor gives. */
enum class ExitReason : uint16_t {
  exceptionOrNmi = 0,
  externalInterrupt = 1,
  tripleFault = 2,
  initSignal = 3,
  startupIpi = 4,
  interruptWindow = 7,
  nmiWindow = 8,
  taskSwitch = 9,
  cpuid = 10,
  hlt = 12,
  invd = 13,
  invlpg = 14,
  rdpmc = 15,
  rdtsc = 16,
  vmcall = 18,
  vmclear = 19,
  vmlaunch = 20,
  vmptrld = 21,
  vmptrst = 22,
  vmread = 23,
  vmresume = 24,
  vmwrite = 25,
  vmxoff = 26,
  vmxon = 27,
  controlRegisterAccess = 28,
  movDr = 29,
  ioInstruction = 30,
  rdmsr = 31,
  wrmsr = 32,
  invalidGuestState = 33,
  msrLoading = 34,
  mwait = 36,
  monitorTrapFlag = 37,
  monitor = 39,
  pause = 40,
  tprBelowThreshold = 43,
  apicAccess = 44,
  virtualizedEoi = 45,
  gdtrOrIdtrAccess = 46,
  ldtrOrTrAccess = 47,
  eptViolation = 48,
  eptMisconfiguration = 49,
  invept = 50,
  rdtscp = 51,
  preemptionTimer = 52,
  invvpid = 53,
  wbinvd = 54,
  xsetbv = 55,
  apicWrite = 56,
  rdrand = 57,
  invpcid = 58,
  vmfunc = 59,
  rdseed = 61,
  pageModificationLogFull = 62,
};

/** What an exit leaves in the VMCS beside its reason; what it does not have is 0. */
struct PendingExit {
  ExitReason reason = ExitReason::exceptionOrNmi;
  uint64_t qualification = 0;
  uint64_t guestLinear = 0;
  uint64_t guestPhysical = 0;
  uint32_t interruption = 0, interruptionError = 0;  // of the event that leaves
  uint32_t instruction = 0;                          // VM-exit instruction information (SDM Vol. 3C, 28.2.5)
  bool trapLike = false;                             // the instruction is done: RIP stands behind it
  bool byInstruction = false;                        // the instruction's length is told
};

/**
 * Records an exit and returns false, for handlers to pass on as they do faults; Cpu::fault.leaves tells it from one.
 * Details are set in Vmx::exit behind the call.
 */
bool leave(Cpu& cpu, ExitReason reason, uint64_t qualification = 0);

}  // namespace vtkit::emulator::vmx
