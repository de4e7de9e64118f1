// What a vCPU thread drives: one processor of either engine.
#pragma once

#include <cstdint>
#include <vector>

#include "vcpu/cell.h"

namespace vtkit::vcpu {

/** What the processor does after somebody answered its exit. */
enum class Continuation {
  resume,
  complete,  // finish the current instruction, then return ExitKind::completed from run()
  quit,      // the machine closes: return from run() at once
};

/** How a processor reaches the world during run(). */
class Outside {
 public:
  virtual ~Outside() = default;
  /** Publishes the exit in the cell (kind, address, size, count, data filled in) and waits for its answer there. */
  virtual Continuation deliver() = 0;
  /** True once somebody asked the vCPU to stop, or it is to end. */
  virtual bool stopRequested() = 0;
  /** Whether HLT waits for an interrupt instead of stopping the vCPU, for an engine that can wait by itself. */
  virtual bool waitsInHalt() = 0;
};

/**
 * Parts of the state that cross as raw structures in KVM's layout. `vmcs` is our own: pairs of encoding and value, and
 * whoever sets it asks for a VM entry with them at the next run.
 */
enum class StateKind : uint32_t {
  fpu = 0,
  xsave = 1,
  xcrs = 2,
  lapic = 3,
  events = 4,
  mpState = 5,
  debugRegs = 6,
  vmcs = 7,
};
inline constexpr StateKind kLastStateKind = StateKind::vmcs;

struct VmcsField {
  uint64_t encoding, value;
};

struct MsrEntry {
  uint32_t index, reserved;
  uint64_t value;
};

struct CpuidEntry {
  uint32_t function, index, flags, eax, ebx, ecx, edx, padding[3];
};
static_assert(sizeof(CpuidEntry) == 40, "as kvm_cpuid_entry2");

/**
 * One processor. run() belongs to the vCPU's thread; kick() may be called by anybody; the rest only while the vCPU is
 * stopped. Failures are os::SystemError on KVM; the emulator has none.
 */
class Processor {
 public:
  virtual ~Processor() = default;

  /** Runs until the guest or somebody outside stops it. Fills cell.exit for the kind it returns. */
  virtual ExitKind run(Outside& outside) = 0;
  virtual void kick() noexcept = 0;

  /** Moves registers between the processor and the cell. */
  virtual void loadRegs() = 0;
  virtual void storeRegs() = 0;
  virtual void loadSregs() = 0;
  virtual void storeSregs() = 0;

  /** Bytes of a state structure here, 0 where the engine has none. */
  virtual uint32_t stateBytes(StateKind kind) = 0;
  virtual void getState(StateKind kind, void* to) = 0;
  virtual void setState(StateKind kind, const void* from) = 0;

  /** How many of the entries were taken: less than all names the first that the processor refuses. */
  virtual uint32_t getMsrs(std::vector<MsrEntry>& entries) = 0;
  virtual uint32_t setMsrs(const std::vector<MsrEntry>& entries) = 0;
  virtual std::vector<CpuidEntry> getCpuid() = 0;
  virtual void setCpuid(const std::vector<CpuidEntry>& entries) = 0;

  /** Queues an external interrupt; false if the processor cannot take one now. */
  virtual bool interrupt(uint8_t vector) = 0;
  virtual void nmi() = 0;
  /** Whether an interrupt is there that ends HLT. Any thread. */
  virtual bool interruptWaits() = 0;
  virtual void setSingleStep(bool on) = 0;
  /** Ends runs with a debug exit before an INT3 of the guest. */
  virtual void setBreakpointExits(bool on) = 0;
};

}  // namespace vtkit::vcpu
