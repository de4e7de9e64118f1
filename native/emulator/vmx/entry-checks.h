// What VM entry holds controls, host and guest state to (SDM Vol. 3C, 27.2 and 27.3).
#pragma once

#include "emulator/vmx/vmcs.h"

namespace vtkit::emulator {
struct Cpu;
}

namespace vtkit::emulator::vmx {

/** A VM-instruction error number, or 0. */
struct Failure {
  unsigned number = 0;
  explicit operator bool() const { return number != 0; }
};
/** Exit qualifications of an entry that fails (table 27-1). */
enum : uint64_t { kBadState = 0, kBadPointers = 2, kNmiBlocked = 3, kBadLink = 4 };
struct GuestFailure {
  bool failed = false;
  uint64_t qualification = 0;
  explicit operator bool() const { return failed; }
};

Failure checkControls(const Cpu& cpu, const Vmcs& vmcs);
Failure checkHost(const Cpu& cpu, const Vmcs& vmcs);
GuestFailure checkGuest(const Cpu& cpu, const Vmcs& vmcs);

/** The control words, with those that are not activated as 0. */
struct Controls {
  explicit Controls(const Vmcs& vmcs);
  uint64_t pinBased, primary, secondary, exit, entry;
};

/** Whether a byte of each of these is a memory type that a PAT may have. */
bool isPat(uint64_t value);
/** Whether CR4 has no bit that the processor lacks. */
bool hasCr4(const Cpu& cpu, uint64_t value);
/** Whether IA32_EFER has no bit that the processor lacks. */
bool isEfer(const Cpu& cpu, uint64_t value);

}  // namespace vtkit::emulator::vmx
