// The devices that JavaScript talks to by name, and how they are wired to a machine.
#pragma once

#include <map>
#include <memory>

#include "devices/interrupt-lines.h"
#include "devices/pit.h"
#include "devices/uart.h"
#include "napi/machine.h"

namespace vtkit::napi {

struct Machine::Board {
  /** A line of the kernel's controller, or of none. */
  class EngineLine;
  class OpenLine;

  std::shared_ptr<devices::InterruptLines> lines;  // null: the engine has them
  std::map<uint64_t, std::shared_ptr<devices::Uart>> uarts;
  std::shared_ptr<devices::Clock> clock;  // null: the board's own

  /**
   * Puts the 8259s at 0x20, 0xa0 and 0x4d0, the 8254 at 0x40 and 0x61, and, where processors have local APICs, the I/O
   * APIC at 0xfec00000. False if a range is taken.
   */
  bool addPc(machine::Machine& machine, bool virtualTime);
  bool addUart(machine::Machine& machine, uint64_t from, uint32_t line);
};

}  // namespace vtkit::napi
