// A 16550A serial port: what the guest sends goes to the outbox, what it receives waits here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>

#include "bus/device.h"
#include "bus/outbox.h"
#include "state/archive.h"

namespace vtkit::devices {

/**
 * PC16550D, polled and interrupt driven.
 *
 * The transmitter is always empty: a byte leaves at once. The receiver takes any number of bytes from the host, which
 * sends the next only when the guest took the last: there is no overrun, and a FIFO reset finds none of them to drop.
 * What the guest loops back to itself fills the FIFO of sixteen as on the chip. Silence follows every byte, so the
 * character timeout is due as soon as fewer bytes wait than the trigger level asks for.
 *
 * The line is the chip's INTR pin; OUT2 does not gate it. It is set under this object's lock.
 *
 * An access wider than a byte is that many byte accesses at consecutive ports, lowest first, as the ISA bus splits it
 * for an 8-bit card; ports behind the last read all ones and ignore writes.
 */
class Uart final : public bus::Device {
 public:
  static constexpr uint64_t kPorts = 8;

  Uart(bus::Outbox& outbox, uint32_t base, bus::Line& interrupt)
      : outbox_(outbox), base_(base), interrupt_(interrupt) {}

  bus::Answer read(uint64_t offset, unsigned size, uint64_t& value) override;
  bus::Answer write(uint64_t offset, unsigned size, uint64_t value) override;

  /** Bytes for the guest. Any thread. */
  void receive(const uint8_t* data, size_t bytes);
  void visit(state::Archive& archive);

 private:
  uint8_t readRegister(unsigned index);
  void writeRegister(unsigned index, uint8_t value);
  void transmit(uint8_t value);
  void writeFifoControl(uint8_t value);
  void writeModemControl(uint8_t value);

  size_t fifoBytes() const;
  uint8_t takeByte();
  uint8_t lineStatus() const;
  /** IIR without the bits that tell of FIFOs: the cause of highest priority. */
  uint8_t cause() const;
  uint8_t modemInputs() const;
  void updateInterrupt();

  bool latchSelected() const;
  bool loopback() const;
  bool fifosEnabled() const;

  bus::Outbox& outbox_;
  const uint32_t base_;
  bus::Line& interrupt_;

  std::mutex mutex_;  // receive() comes from outside the bus
  std::deque<uint8_t> received_;
  std::deque<uint8_t> looped_;  // bytes that the guest sent itself; ahead of the host's
  uint16_t divisor_ = 12;       // 9600 baud; kept for the guest, nothing is timed by it
  uint8_t interruptEnable_ = 0;
  uint8_t fifoControl_ = 0;
  uint8_t lineControl_ = 0;
  uint8_t modemControl_ = 0;
  uint8_t modemChanges_ = 0;  // the low half of MSR
  uint8_t scratch_ = 0;
  bool overrun_ = false;
  bool transmitterEmptied_ = false;  // a THRE interrupt that IIR has not shown yet
};

}  // namespace vtkit::devices
