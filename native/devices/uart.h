// A 16550A serial port: what the guest sends goes to the outbox, what it receives waits here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>

#include "bus/device.h"
#include "bus/outbox.h"

namespace vtkit::devices {

/**
 * PC16550D, polled and interrupt driven. The transmitter is always empty: a byte leaves at once. The receiver takes any
 * number of bytes from the host and shows them to the guest one by one, so none is lost to an overrun.
 * An access wider than a byte is that many byte accesses at consecutive registers, as on an 8-bit ISA device.
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

 private:
  uint8_t readRegister(unsigned index);
  void writeRegister(unsigned index, uint8_t value);
  uint8_t identify();
  uint8_t modemStatus() const;
  bool loopback() const { return (modemControl_ & 0x10) != 0; }
  void updateInterrupt();

  bus::Outbox& outbox_;
  const uint32_t base_;
  bus::Line& interrupt_;

  std::mutex mutex_;  // receive() comes from outside the bus
  std::deque<uint8_t> received_;
  uint16_t divisor_ = 12;  // 9600 baud; kept for the guest, nothing is timed by it
  uint8_t interruptEnable_ = 0;
  uint8_t fifoControl_ = 0;
  uint8_t lineControl_ = 0;
  uint8_t modemControl_ = 0;
  uint8_t scratch_ = 0;
  bool transmitterEmptied_ = false;  // a THRE interrupt that IIR has not shown yet
};

}  // namespace vtkit::devices
