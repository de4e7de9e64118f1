// A 16550A serial port (PC16550D data sheet, chapter 8).
#include "devices/uart.h"

namespace vtkit::devices {

namespace {
enum Register { kData, kInterruptEnable, kIdentify, kLineControl, kModemControl, kLineStatus, kModemStatus, kScratch };
constexpr uint8_t kDivisorLatch = 0x80;       // LCR.DLAB
constexpr uint8_t kDataReady = 0x01;          // LSR.DR
constexpr uint8_t kTransmitterIdle = 0x60;    // LSR.THRE and TEMT
constexpr uint8_t kFifosEnabled = 0x01;       // FCR
constexpr uint8_t kReceiveInterrupt = 0x01;   // IER.ERBFI
constexpr uint8_t kTransmitInterrupt = 0x02;  // IER.ETBEI
constexpr uint8_t kOut2 = 0x08;               // MCR: gates the interrupt line on a PC
}  // namespace

bus::Answer Uart::read(uint64_t offset, unsigned size, uint64_t& value) {
  const std::lock_guard<std::mutex> lock(mutex_);
  value = 0;
  for (unsigned i = 0; i < size; i++) {
    const uint64_t index = offset + i;
    value |= uint64_t{index < kPorts ? readRegister(static_cast<unsigned>(index)) : uint8_t{0xff}} << (8 * i);
  }
  return bus::Answer::done;
}

bus::Answer Uart::write(uint64_t offset, unsigned size, uint64_t value) {
  for (unsigned i = 0; i < size && offset + i < kPorts; i++) {
    const auto byte = static_cast<uint8_t>(value >> (8 * i));
    bool sends;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      sends = offset + i == kData && (lineControl_ & kDivisorLatch) == 0 && !loopback();
      writeRegister(static_cast<unsigned>(offset + i), byte);
    }
    // Outside the lock: the outbox may wait for its reader, which may be inside receive().
    if (sends) outbox_.push({bus::Record::serial, base_, base_, byte, 0, 0});
  }
  return bus::Answer::done;
}

void Uart::receive(const uint8_t* data, size_t bytes) {
  const std::lock_guard<std::mutex> lock(mutex_);
  received_.insert(received_.end(), data, data + bytes);
  updateInterrupt();
}

uint8_t Uart::readRegister(unsigned index) {
  const bool latch = (lineControl_ & kDivisorLatch) != 0;
  switch (index) {
    case kData: {
      if (latch) return static_cast<uint8_t>(divisor_);
      if (received_.empty()) return 0;
      const uint8_t byte = received_.front();
      received_.pop_front();
      updateInterrupt();
      return byte;
    }
    case kInterruptEnable:
      return latch ? static_cast<uint8_t>(divisor_ >> 8) : interruptEnable_;
    case kIdentify:
      return identify();
    case kLineControl:
      return lineControl_;
    case kModemControl:
      return modemControl_;
    case kLineStatus:
      return kTransmitterIdle | (received_.empty() ? 0 : kDataReady);
    case kModemStatus:
      return modemStatus();
    default:
      return scratch_;
  }
}

void Uart::writeRegister(unsigned index, uint8_t value) {
  const bool latch = (lineControl_ & kDivisorLatch) != 0;
  switch (index) {
    case kData:
      if (latch) {
        divisor_ = static_cast<uint16_t>((divisor_ & 0xff00) | value);
        return;
      }
      if (loopback()) received_.push_back(value);
      transmitterEmptied_ = true;
      break;
    case kInterruptEnable:
      if (latch) {
        divisor_ = static_cast<uint16_t>((divisor_ & 0x00ff) | value << 8);
        return;
      }
      // Enabling the interrupt while the transmitter is empty raises it.
      if ((value & kTransmitInterrupt) != 0 && (interruptEnable_ & kTransmitInterrupt) == 0) transmitterEmptied_ = true;
      interruptEnable_ = value & 0x0f;
      break;
    case kIdentify:  // FCR when written
      fifoControl_ = value;
      if ((value & 0x03) == 0x03) received_.clear();  // bit 1 resets the receiver's FIFO
      break;
    case kLineControl:
      lineControl_ = value;
      break;
    case kModemControl:
      modemControl_ = value & 0x1f;
      break;
    case kScratch:
      scratch_ = value;
      break;
    default:  // LSR and MSR are read-only
      break;
  }
  updateInterrupt();
}

/** IIR: the highest pending interrupt; reading it takes a THRE interrupt back. */
uint8_t Uart::identify() {
  const uint8_t fifos = (fifoControl_ & kFifosEnabled) != 0 ? 0xc0 : 0;
  if ((interruptEnable_ & kReceiveInterrupt) != 0 && !received_.empty()) return fifos | 0x04;
  if ((interruptEnable_ & kTransmitInterrupt) != 0 && transmitterEmptied_) {
    transmitterEmptied_ = false;
    updateInterrupt();
    return fifos | 0x02;
  }
  return fifos | 0x01;
}

/** In loopback the modem outputs come back as inputs: DTR-DSR, RTS-CTS, OUT1-RI, OUT2-DCD. */
uint8_t Uart::modemStatus() const {
  if (!loopback()) return 0xb0;  // DCD, DSR and CTS: somebody listens
  const uint8_t mcr = modemControl_;
  return static_cast<uint8_t>((mcr & 0x0c) << 4 | (mcr & 0x01) << 5 | (mcr & 0x02) << 3);
}

void Uart::updateInterrupt() {
  const bool receive = (interruptEnable_ & kReceiveInterrupt) != 0 && !received_.empty();
  const bool transmit = (interruptEnable_ & kTransmitInterrupt) != 0 && transmitterEmptied_;
  interrupt_.set((receive || transmit) && (modemControl_ & kOut2) != 0);
}

}  // namespace vtkit::devices
