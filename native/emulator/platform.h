// What an emulated processor asks of the machine around it.
#pragma once

#include <cstdint>

#include "bus/message.h"

namespace vtkit::emulator {

/** An instruction as it stood in memory when it was executed. */
struct Executed {
  uint64_t rip = 0;
  uint8_t bits = 0;  // 16, 32 or 64
  uint8_t length = 0;
  uint8_t bytes[16] = {};
};

/**
 * The board as one processor sees it. Every call comes on the processor's own thread and may block for as long as
 * somebody outside takes to answer. A false return means that the machine is closing: the processor gives up the
 * instruction and leaves run().
 */
class Platform {
 public:
  virtual ~Platform() = default;

  /** `count` items of `size` bytes (1, 2 or 4) from or to one port, in order; count is over 1 only for REP INS/OUTS. */
  virtual bool portRead(uint16_t port, unsigned size, unsigned count, void* data) = 0;
  virtual bool portWrite(uint16_t port, unsigned size, unsigned count, const void* data) = 0;

  /** A physical access (1 to 8 bytes, within one page) where no memory slot answers, or a write to a read-only slot. */
  virtual bool mmioRead(uint64_t address, unsigned size, void* data) = 0;
  virtual bool mmioWrite(uint64_t address, unsigned size, const void* data) = 0;

  /** The interrupt controller's INTA cycle: a vector, or -1 if none is asserted any more. */
  virtual int acknowledgeInterrupt() = 0;

  /** True while an interrupt controller asserts INTR. */
  virtual bool interruptAsserted() = 0;

  /** An interrupt for processors of the machine, this one among them unless `others`. False: it is the only one. */
  virtual bool send(const bus::InterruptMessage& message, bool others) {
    (void)message;
    (void)others;
    return false;
  }
  /** An instruction was retired; told only where somebody wants to know (Emulator::traceInstructions). */
  virtual void executed(const Executed& instruction) { (void)instruction; }
  /** A level-triggered interrupt was served. */
  virtual void endOfInterrupt(uint8_t vector) { (void)vector; }
};

}  // namespace vtkit::emulator
