// What a device on the bus is: something that answers accesses at offsets of its own.
#pragma once

#include <cstdint>

namespace vtkit::bus {

/** What became of an access. */
enum class Answer {
  done,  // the device answered; the processor goes on
  exit,  // somebody outside must answer: the access leaves the run loop
};

/**
 * A device whose accesses are answered in C++.
 *
 * The bus calls one access at a time, on the thread of the processor that makes it. `offset` counts from the start of
 * the range that the device was mapped at; `size` is 1, 2, 4 or 8 bytes.
 */
class Device {
 public:
  virtual ~Device() = default;
  virtual Answer read(uint64_t offset, unsigned size, uint64_t& value) = 0;
  virtual Answer write(uint64_t offset, unsigned size, uint64_t value) = 0;
};

/** An interrupt line into a controller; level semantics. Devices hold one by reference. */
class Line {
 public:
  virtual ~Line() = default;
  virtual void set(bool level) = 0;
};

/** What an interrupt controller offers to the processor it is wired to. Calls may come from any thread. */
class InterruptSource {
 public:
  virtual ~InterruptSource() = default;
  /** True while INTR is asserted. */
  virtual bool asserted() = 0;
  /** The INTA cycle: the vector to deliver, or -1 if INTR went away. */
  virtual int acknowledge() = 0;
};

}  // namespace vtkit::bus
