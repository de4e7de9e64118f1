// The local APIC: registers, priorities, timer, and messages in and out.
#include "emulator/apic.h"

#include <algorithm>

namespace vtkit::emulator {

using bus::DeliveryMode;
using bus::InterruptMessage;

namespace {

constexpr uint32_t kLevelTriggered = 1u << 15, kMasked = 1u << 16;
constexpr uint32_t kVersion = 0x00050014;  // six LVT entries, integrated (11.4.8)

// Error status (11.5.3)
constexpr uint32_t kSendIllegalVector = 1u << 5, kReceiveIllegalVector = 1u << 6, kIllegalRegister = 1u << 7;

/** Writable bits of the LVT entries (figure 11-8), in the order of their registers 320H to 370H. */
constexpr uint32_t kLvtBits[] = {0x700ff, 0x107ff, 0x107ff, 0x1a7ff, 0x1a7ff, 0x100ff};

/** Registers of x2APIC mode as MSRs (table 11-6): index less 800H, how far the row goes, and what is allowed. */
struct Row {
  uint8_t first, last;
  bool readable, writable;
  uint64_t mask;  // bits that a write may have
};
constexpr Row kRows[] = {
    {0x02, 0x03, true, false, 0},                  // ID, version
    {0x08, 0x08, true, true, 0xff},                // TPR
    {0x0a, 0x0a, true, false, 0},                  // PPR
    {0x0b, 0x0b, false, true, 0},                  // EOI
    {0x0d, 0x0d, true, false, 0},                  // LDR
    {0x0f, 0x0f, true, true, 0x1ff},               // SVR
    {0x10, 0x27, true, false, 0},                  // ISR, TMR, IRR
    {0x28, 0x28, true, true, 0},                   // ESR
    {0x30, 0x30, true, true, 0xffffffff000ccfff},  // ICR
    {0x32, 0x32, true, true, 0x700ff},             // LVT timer
    {0x33, 0x34, true, true, 0x107ff},             // thermal, performance
    {0x35, 0x36, true, true, 0x1a7ff},             // LINT0, LINT1
    {0x37, 0x37, true, true, 0x100ff},             // error
    {0x38, 0x38, true, true, 0xffffffff},          // initial count
    {0x39, 0x39, true, false, 0},                  // current count
    {0x3e, 0x3e, true, true, 0xb},                 // divide configuration
    {0x3f, 0x3f, false, true, 0xff},               // self IPI
};

const Row* rowOf(uint32_t index) {
  for (const Row& row : kRows) {
    if (index >= row.first && index <= row.last) return &row;
  }
  return nullptr;
}

}  // namespace

LocalApic::LocalApic(ApicHost& host, uint32_t id)
    : host_(host), id_(id), base_(0xfee00000 | kApicEnabled | (id == 0 ? kApicBsp : 0)) {
  reset();
}

void LocalApic::reset() {
  tpr_ = 0;
  xapicId_ = static_cast<uint8_t>(id_);
  svr_ = 0xff;
  ldr_ = 0;
  dfr_ = 0xffffffff;
  esr_ = 0;
  errors_ = 0;
  icr_ = 0;
  for (uint32_t& entry : lvt_) entry = kMasked;
  // Virtual wire mode, in which firmware leaves the first processor (MultiProcessor Specification 1.4, 3.6.2.2).
  if (id_ == 0) {
    lvt_[lint0] = kLevelTriggered | static_cast<uint32_t>(DeliveryMode::external) << 8;
    lvt_[lint1] = kLevelTriggered | static_cast<uint32_t>(DeliveryMode::nmi) << 8;
  }
  initialCount_ = divide_ = 0;
  tscDeadline_ = 0;
  for (unsigned i = 0; i < 8; i++) irr_[i] = isr_[i] = tmr_[i] = 0;
  setEvent(kNever);
}

bool LocalApic::setBase(uint64_t value, uint64_t physicalMask) {
  const uint64_t known = (physicalMask & ~uint64_t{0xfff}) | kApicBsp | kApicExtended | kApicEnabled;
  if ((value & ~known) != 0) return false;
  const bool enabledNow = (value & kApicEnabled) != 0, extendedNow = (value & kApicExtended) != 0;
  if (extendedNow && (!enabledNow || !enabled())) return false;
  if (x2apic() && enabledNow && !extendedNow) return false;
  if (enabled() && !enabledNow) reset();
  base_ = value;
  return true;
}

// Priorities ---------------------------------------------------------------------------------------------------------

int LocalApic::highest(const std::atomic<uint32_t>* bits) const {
  for (int word = 7; word >= 0; word--) {
    const uint32_t value = bits[word].load(std::memory_order_relaxed);
    if (value != 0) return word * 32 + 31 - __builtin_clz(value);
  }
  return -1;
}

uint8_t LocalApic::processorPriority() const {
  const int service = std::max(highest(isr_), 0);
  const uint8_t tpr = tpr_;
  return (tpr & 0xf0) >= (service & 0xf0) ? tpr : static_cast<uint8_t>(service & 0xf0);
}

int LocalApic::pending() const {
  if (!enabled() || !softwareEnabled()) return -1;
  const int vector = highest(irr_);
  return vector >= 0 && (vector & 0xf0) > (processorPriority() & 0xf0) ? vector : -1;
}

void LocalApic::acknowledge(int vector) {
  const uint32_t bit = 1u << (vector & 31);
  irr_[vector / 32].fetch_and(~bit);
  isr_[vector / 32].fetch_or(bit);
}

void LocalApic::endOfInterrupt() {
  const int vector = highest(isr_);
  if (vector < 0) return;
  const uint32_t bit = 1u << (vector & 31);
  isr_[vector / 32].fetch_and(~bit);
  if ((tmr_[vector / 32].load() & bit) != 0) host_.endOfInterrupt(static_cast<uint8_t>(vector));
  host_.look();
}

void LocalApic::setTpr(uint32_t value) {
  tpr_ = static_cast<uint8_t>(value);
  host_.look();
}

bool LocalApic::takesExternal() const {
  if (!enabled()) return true;
  return (lvt_[lint0] & kMasked) == 0 && (lvt_[lint0] >> 8 & 7) == static_cast<uint32_t>(DeliveryMode::external);
}

// Messages
// -------------------------------------------------------------------------------------------------------------

uint32_t LocalApic::logicalId() const { return x2apic() ? (id_ & ~15u) << 12 | 1u << (id_ & 15) : ldr_ >> 24; }

bool LocalApic::matches(const InterruptMessage& message) const {
  if (!enabled()) return false;
  if (message.broadcast) return true;
  const uint32_t destination = message.destination;
  if (!message.logical) {
    // An xAPIC or an I/O APIC has eight bits to say "all".
    return destination == (x2apic() ? id_ : xapicId_) || destination == 0xffffffff || destination == 0xff;
  }
  const uint32_t own = logicalId();
  if (x2apic()) {
    return destination == 0xffffffff || (destination >> 16 == own >> 16 && (destination & own & 0xffff) != 0);
  }
  if (dfr_ >> 28 == 15) return (destination & own & 0xff) != 0;                 // flat
  return (destination >> 4 & 15) == own >> 4 && (destination & own & 15) != 0;  // cluster
}

bool LocalApic::accept(const InterruptMessage& message) {
  switch (message.mode) {
    case DeliveryMode::fixed:
    case DeliveryMode::lowestPriority: {
      if (message.vector < 16) fail(kReceiveIllegalVector);
      if (message.vector < 16 || !softwareEnabled()) return false;
      const uint32_t bit = 1u << (message.vector & 31);
      if (message.level) {
        tmr_[message.vector / 32].fetch_or(bit);
      } else {
        tmr_[message.vector / 32].fetch_and(~bit);
      }
      irr_[message.vector / 32].fetch_or(bit);
      host_.look();
      return true;
    }
    case DeliveryMode::nmi:
      host_.nonMaskable();
      return true;
    case DeliveryMode::init:
      host_.init();
      return true;
    case DeliveryMode::startup:
      host_.startup(message.vector);
      return true;
    default:  // no firmware handles an SMI; the 8259 is wired to LINT0 of the first processor
      return false;
  }
}

void LocalApic::sendCommand(uint64_t command) {
  InterruptMessage message;
  message.vector = static_cast<uint8_t>(command);
  message.mode = static_cast<DeliveryMode>(command >> 8 & 7);
  message.logical = (command >> 11 & 1) != 0;
  const bool asserts = (command >> 14 & 1) != 0, levelTriggered = (command >> 15 & 1) != 0;
  message.destination = x2apic() ? static_cast<uint32_t>(command >> 32) : static_cast<uint32_t>(command >> 56);
  // INIT level de-assert only synchronises arbitration identities, which there are none of.
  if (message.mode == DeliveryMode::init && levelTriggered && !asserts) return;
  const bool carriesVector = message.mode == DeliveryMode::fixed || message.mode == DeliveryMode::lowestPriority;
  if (carriesVector && message.vector < 16) return fail(kSendIllegalVector);
  switch (command >> 18 & 3) {
    case 0:
      return host_.send(message, false);
    case 1:  // self
      accept(message);
      return;
    case 2:
      message.broadcast = true;
      return host_.send(message, false);
    default:
      message.broadcast = true;
      return host_.send(message, true);
  }
}

void LocalApic::fail(uint32_t bit) {
  if ((errors_.fetch_or(bit) & bit) == 0) fire(error);
}

void LocalApic::fire(Lvt entry) {
  if ((lvt_[entry] & kMasked) != 0) return;
  InterruptMessage message;
  message.vector = static_cast<uint8_t>(lvt_[entry]);
  const bool hasMode = entry != timer && entry != error;
  if (hasMode) message.mode = static_cast<DeliveryMode>(lvt_[entry] >> 8 & 7);
  accept(message);
}

// Timer
// ----------------------------------------------------------------------------------------------------------------

unsigned LocalApic::divider() const {
  const unsigned code = (divide_ & 3) | (divide_ >> 1 & 4);
  return code == 7 ? 1 : 2u << code;
}

void LocalApic::setEvent(uint64_t tick) {
  if (event_ == tick) return;
  event_ = tick;
  host_.look();
}

void LocalApic::startTimer() {
  start_ = host_.ticks();
  setEvent(initialCount_ == 0 ? kNever : start_ + uint64_t{initialCount_} * divider());
}

uint32_t LocalApic::currentCount() const {
  if (deadlineMode() || event_ == kNever) return 0;
  const uint64_t now = host_.ticks();
  return now >= event_ ? 0 : static_cast<uint32_t>((event_ - now + divider() - 1) / divider());
}

void LocalApic::setTscDeadline(uint64_t value) {
  if (!deadlineMode()) return;  // ignored in the other modes (11.5.4.1)
  tscDeadline_ = value;
  tscMoved();
}

void LocalApic::tscMoved() {
  if (!deadlineMode()) return;
  const uint64_t tsc = host_.ticks() + host_.tscOffset();
  if (tscDeadline_ == 0) return setEvent(kNever);
  setEvent(host_.ticks() + (tscDeadline_ > tsc ? tscDeadline_ - tsc : 0));
}

void LocalApic::expire() {
  const uint64_t due = event_;
  if (periodic()) {
    const uint64_t period = uint64_t{initialCount_} * divider(), now = host_.ticks();
    start_ = due + (now > due ? (now - due) / period * period : 0);  // periods that nobody could see give one interrupt
    setEvent(start_ + period);
  } else {
    tscDeadline_ = 0;
    setEvent(kNever);
  }
  fire(timer);
}

// Registers
// --------------------------------------------------------------------------------------------------------------

void LocalApic::setLvt(unsigned index, uint32_t value) {
  const bool wasDeadline = deadlineMode();
  lvt_[index] = (value & kLvtBits[index]) | (softwareEnabled() ? 0 : kMasked);
  if (index == timer && deadlineMode() != wasDeadline) {
    // A change between TSC-deadline and the other modes disarms the timer (11.5.4.1).
    initialCount_ = 0;
    tscDeadline_ = 0;
    setEvent(kNever);
  }
}

void LocalApic::setSpurious(uint32_t value) {
  svr_ = value & 0x1ff;
  if (!softwareEnabled()) {
    for (uint32_t& entry : lvt_) entry |= kMasked;
  }
  host_.look();
}

uint32_t LocalApic::read(uint32_t offset) {
  switch (offset) {
    case 0x20:
      return x2apic() ? id_ : static_cast<uint32_t>(xapicId_) << 24;
    case 0x30:
      return kVersion;
    case 0x80:
      return tpr_;
    case 0x90:  // arbitration priority: there is no bus to arbitrate for
    case 0xa0:
      return processorPriority();
    case 0xd0:
      return x2apic() ? logicalId() : ldr_;
    case 0xe0:
      return dfr_;
    case 0xf0:
      return svr_;
    case 0x280:
      return esr_;
    case 0x300:
      return static_cast<uint32_t>(icr_);
    case 0x310:
      return static_cast<uint32_t>(icr_ >> 32);
    case 0x380:
      return deadlineMode() ? 0 : initialCount_;
    case 0x390:
      return currentCount();
    case 0x3e0:
      return divide_;
    default:
      break;
  }
  const unsigned word = offset >> 4 & 7;
  if (offset >= 0x100 && offset < 0x180) return isr_[word];
  if (offset >= 0x180 && offset < 0x200) return tmr_[word];
  if (offset >= 0x200 && offset < 0x280) return irr_[word];
  if (offset >= 0x320 && offset <= 0x370) return lvt_[(offset - 0x320) >> 4];
  fail(kIllegalRegister);
  return 0;
}

void LocalApic::write(uint32_t offset, uint32_t value) {
  switch (offset) {
    case 0x20:
      xapicId_ = static_cast<uint8_t>(value >> 24);
      return;
    case 0x80:
      return setTpr(value & 0xff);
    case 0xb0:
      return endOfInterrupt();
    case 0xd0:
      ldr_ = value & 0xff000000;
      return;
    case 0xe0:
      dfr_ = value | 0x0fffffff;
      return;
    case 0xf0:
      return setSpurious(value);
    case 0x280:  // a write makes what happened since the last one readable
      esr_ = errors_.exchange(0);
      return;
    case 0x300:
      icr_ = (icr_ & ~uint64_t{0xffffffff}) | (value & 0xccfff);
      return sendCommand(icr_);
    case 0x310:
      icr_ = (icr_ & 0xffffffff) | uint64_t{value & 0xff000000} << 32;
      return;
    case 0x380:
      if (deadlineMode()) return;
      initialCount_ = value;
      return startTimer();
    case 0x3e0: {
      const uint32_t left = currentCount();
      divide_ = value & 0xb;
      if (left != 0) setEvent(host_.ticks() + uint64_t{left} * divider());
      return;
    }
    case 0x30:
    case 0x90:
    case 0xa0:
    case 0x390:
      return;  // read-only
    default:
      if (offset >= 0x320 && offset <= 0x370) return setLvt((offset - 0x320) >> 4, value);
      if (offset < 0x100 || offset >= 0x280) fail(kIllegalRegister);
  }
}

bool LocalApic::readMsr(uint32_t index, uint64_t& value) {
  const Row* row = x2apic() ? rowOf(index - 0x800) : nullptr;
  if (row == nullptr || !row->readable) return false;
  value = index == 0x830 ? icr_ : read((index - 0x800) << 4);
  return true;
}

bool LocalApic::writeMsr(uint32_t index, uint64_t value) {
  const Row* row = x2apic() ? rowOf(index - 0x800) : nullptr;
  if (row == nullptr || !row->writable || (value & ~row->mask) != 0) return false;
  if (index == 0x830) {
    icr_ = value;
    sendCommand(value);
  } else if (index == 0x83f) {
    InterruptMessage message;
    message.vector = static_cast<uint8_t>(value);
    accept(message);
  } else {
    write((index - 0x800) << 4, static_cast<uint32_t>(value));
  }
  return true;
}

}  // namespace vtkit::emulator
