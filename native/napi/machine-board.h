// The devices that JavaScript talks to by name, and how they are wired to a machine.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "devices/hpet.h"
#include "devices/interrupt-lines.h"
#include "devices/pit.h"
#include "devices/power-management.h"
#include "devices/rtc.h"
#include "devices/uart.h"
#include "napi/machine.h"

namespace vtkit::napi {

struct Machine::Board {
  /** A line of the kernel's controller, or of none. */
  class EngineLine;
  class OpenLine;
  struct Timers;
  /** The clock and the power management with what they refer to. */
  struct Firmware;

  std::shared_ptr<devices::InterruptLines> lines;  // null: the engine has them
  std::map<uint64_t, std::shared_ptr<devices::Uart>> uarts;
  std::shared_ptr<devices::Clock> clock;  // null: the board's own
  std::shared_ptr<Timers> timers;
  std::shared_ptr<Firmware> firmware;

  /**
   * Puts the 8259s at 0x20, 0xa0 and 0x4d0, the 8254 at 0x40 and 0x61, and, where processors have local APICs, the I/O
   * APIC at 0xfec00000 and the timers of high precision at 0xfed00000. False if a range is taken.
   */
  bool addPc(machine::Machine& machine, bool virtualTime);
  bool addUart(machine::Machine& machine, uint64_t from, uint32_t line);
  /** Puts the clock at 0x70, and the power management at each of the bases. False if a range is taken. */
  bool addFirmware(machine::Machine& machine, const devices::Rtc::Contents& contents, int64_t unixSeconds,
                   const std::vector<uint64_t>& powerManagementBases);
  /** Where a device's interrupt ends: at the board's controller, the engine's, or in the air. @throws os::SystemError
   */
  std::shared_ptr<bus::Line> interruptLine(machine::Machine& machine, uint32_t number);
  devices::Clock& time(machine::Machine& machine);
  /** The devices that are there, as a part of the machine's state. */
  void visit(state::Archive& archive);
};

}  // namespace vtkit::napi
