// A 16550A serial port (PC16550D data sheet, chapter 8).
#include "devices/uart.h"

#include <algorithm>

namespace vtkit::devices {

namespace {

enum Register { kData, kInterruptEnable, kIdentify, kLineControl, kModemControl, kLineStatus, kModemStatus, kScratch };

// IER
constexpr uint8_t kReceiveEnabled = 0x01, kTransmitEnabled = 0x02, kLineStatusEnabled = 0x04, kModemEnabled = 0x08;
// IIR, highest priority first
constexpr uint8_t kLineStatusCause = 0x06, kReceiveCause = 0x04, kTimeoutCause = 0x0c, kTransmitCause = 0x02,
                  kModemCause = 0x00, kNoCause = 0x01, kFifosShown = 0xc0;
// FCR
constexpr uint8_t kFifosEnabled = 0x01, kResetReceiver = 0x02;
constexpr size_t kFifoBytes = 16;
constexpr size_t kTriggerLevels[] = {1, 4, 8, 14};
// LCR, MCR
constexpr uint8_t kDivisorLatch = 0x80, kLoopback = 0x10;
// LSR
constexpr uint8_t kDataReady = 0x01, kOverrun = 0x02, kTransmitterIdle = 0x60;
// MSR: DCD, DSR and CTS of a terminal that listens; RI tells only of its trailing edge
constexpr uint8_t kTerminalListens = 0xb0, kRing = 0x40;

}  // namespace

bool Uart::latchSelected() const { return (lineControl_ & kDivisorLatch) != 0; }
bool Uart::loopback() const { return (modemControl_ & kLoopback) != 0; }
bool Uart::fifosEnabled() const { return (fifoControl_ & kFifosEnabled) != 0; }

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
      sends = offset + i == kData && !latchSelected() && !loopback();
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

void Uart::visit(state::Archive& archive) {
  constexpr size_t kMostReceived = 1 << 24;
  const std::lock_guard<std::mutex> lock(mutex_);
  archive.section("UART", 1);
  archive.queue(received_, kMostReceived);
  archive.queue(looped_, kFifoBytes);
  archive.value(divisor_);
  archive.bits(interruptEnable_, uint8_t{0x0f});
  archive.value(fifoControl_);
  archive.value(lineControl_);
  archive.bits(modemControl_, uint8_t{0x1f});
  archive.bits(modemChanges_, uint8_t{0x0f});
  archive.value(scratch_);
  archive.value(overrun_);
  archive.value(transmitterEmptied_);
}

uint8_t Uart::readRegister(unsigned index) {
  uint8_t value = 0;
  switch (index) {
    case kData:
      if (latchSelected()) return static_cast<uint8_t>(divisor_);
      value = takeByte();
      break;
    case kInterruptEnable:
      return latchSelected() ? static_cast<uint8_t>(divisor_ >> 8) : interruptEnable_;
    case kIdentify:
      value = cause();
      if (value == kTransmitCause) transmitterEmptied_ = false;
      value |= fifosEnabled() ? kFifosShown : 0;
      break;
    case kLineControl:
      return lineControl_;
    case kModemControl:
      return modemControl_;
    case kLineStatus:
      value = lineStatus();
      overrun_ = false;
      break;
    case kModemStatus:
      value = modemInputs() | modemChanges_;
      modemChanges_ = 0;
      break;
    default:
      return scratch_;
  }
  updateInterrupt();
  return value;
}

void Uart::writeRegister(unsigned index, uint8_t value) {
  switch (index) {
    case kData:
      if (latchSelected()) {
        divisor_ = static_cast<uint16_t>((divisor_ & 0xff00) | value);
      } else {
        transmit(value);
      }
      break;
    case kInterruptEnable:
      if (latchSelected()) {
        divisor_ = static_cast<uint16_t>((divisor_ & 0x00ff) | value << 8);
        break;
      }
      // Enabling the interrupt while the transmitter is empty raises it.
      if ((value & kTransmitEnabled) != 0 && (interruptEnable_ & kTransmitEnabled) == 0) transmitterEmptied_ = true;
      interruptEnable_ = value & 0x0f;
      break;
    case kIdentify:
      writeFifoControl(value);
      break;
    case kLineControl:
      lineControl_ = value;
      break;
    case kModemControl:
      writeModemControl(value);
      break;
    case kScratch:
      scratch_ = value;
      break;
    default:  // LSR and MSR are read-only
      break;
  }
  updateInterrupt();
}

void Uart::transmit(uint8_t value) {
  // A byte takes the interrupt back until it has left: an edge for the controller, although no time passes.
  transmitterEmptied_ = false;
  updateInterrupt();
  transmitterEmptied_ = true;
  if (!loopback()) return;
  if (looped_.size() < (fifosEnabled() ? kFifoBytes : 1)) {
    looped_.push_back(value);
    return;
  }
  overrun_ = true;
  if (!fifosEnabled()) looped_.back() = value;  // a full FIFO keeps what it has, the single register does not
}

void Uart::writeFifoControl(uint8_t value) {
  const bool enable = (value & kFifosEnabled) != 0;
  if (enable != fifosEnabled() || (enable && (value & kResetReceiver) != 0)) looped_.clear();
  fifoControl_ = enable ? value : 0;  // without the enabling bit the others are not taken over
}

void Uart::writeModemControl(uint8_t value) {
  const uint8_t before = modemInputs();
  modemControl_ = value & 0x1f;
  const uint8_t after = modemInputs();
  const auto changed = static_cast<uint8_t>((before ^ after) & ~(after & kRing));
  modemChanges_ |= changed >> 4;
}

size_t Uart::fifoBytes() const {
  const size_t bytes = looped_.size() + (loopback() ? 0 : received_.size());
  return std::min(bytes, fifosEnabled() ? kFifoBytes : 1);
}

uint8_t Uart::takeByte() {
  if (fifoBytes() == 0) return 0;
  std::deque<uint8_t>& source = looped_.empty() ? received_ : looped_;
  const uint8_t byte = source.front();
  source.pop_front();
  return byte;
}

uint8_t Uart::lineStatus() const {
  return static_cast<uint8_t>(kTransmitterIdle | (overrun_ ? kOverrun : 0) | (fifoBytes() > 0 ? kDataReady : 0));
}

uint8_t Uart::cause() const {
  const auto enabled = [this](uint8_t bit) { return (interruptEnable_ & bit) != 0; };
  if (enabled(kLineStatusEnabled) && overrun_) return kLineStatusCause;
  if (enabled(kReceiveEnabled) && fifoBytes() > 0) {
    const bool reached = !fifosEnabled() || fifoBytes() >= kTriggerLevels[fifoControl_ >> 6];
    return reached ? kReceiveCause : kTimeoutCause;
  }
  if (enabled(kTransmitEnabled) && transmitterEmptied_) return kTransmitCause;
  if (enabled(kModemEnabled) && modemChanges_ != 0) return kModemCause;
  return kNoCause;
}

/** The high half of MSR. In loopback the modem outputs come back: RTS-CTS, DTR-DSR, OUT1-RI, OUT2-DCD. */
uint8_t Uart::modemInputs() const {
  if (!loopback()) return kTerminalListens;
  const uint8_t mcr = modemControl_;
  return static_cast<uint8_t>((mcr & 0x0c) << 4 | (mcr & 0x01) << 5 | (mcr & 0x02) << 3);
}

void Uart::updateInterrupt() { interrupt_.set(cause() != kNoCause); }

}  // namespace vtkit::devices
