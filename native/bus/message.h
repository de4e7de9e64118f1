// Interrupts as messages: what local APICs, I/O APICs and devices send to processors (SDM Vol. 3A, 11.6.1 and 11.11).
#pragma once

#include <cstdint>

namespace vtkit::bus {

enum class DeliveryMode : uint8_t {
  fixed = 0,
  lowestPriority = 1,
  smi = 2,
  nmi = 4,
  init = 5,
  startup = 6,
  external = 7,  // the vector comes from the 8259
};

struct InterruptMessage {
  uint32_t destination = 0;
  bool logical = false;
  bool broadcast = false;  // whatever the destination says
  DeliveryMode mode = DeliveryMode::fixed;
  uint8_t vector = 0;
  bool level = false;
};

/** Where messages go. Calls may come from any thread. */
class MessageSink {
 public:
  virtual ~MessageSink() = default;
  /** False if no processor took it. */
  virtual bool deliver(const InterruptMessage& message) = 0;
};

/** Who has to know that a level-triggered interrupt was served: I/O APICs. */
class EndListener {
 public:
  virtual ~EndListener() = default;
  virtual void endOfInterrupt(uint8_t vector) = 0;
};

}  // namespace vtkit::bus
