// The local APIC: modes, priorities, timer, and messages in and out.
#include "emulator/apic.h"

#include <algorithm>

namespace vtkit::emulator {

using bus::DeliveryMode;
using bus::InterruptMessage;

namespace {

constexpr uint32_t kLevelTriggered = 1u << 15, kMasked = 1u << 16;

// Error status (11.5.3)
constexpr uint32_t kSendIllegalVector = 1u << 5, kReceiveIllegalVector = 1u << 6;

}  // namespace

LocalApic::LocalApic(ApicHost& host, uint32_t id)
    : host_(host), id_(id), base_(0xfee00000 | kApicEnabled | (id == 0 ? kApicBsp : 0)) {
  powerOn();
}

void LocalApic::powerOn() {
  reset();
  if (id_ != 0) return;
  lvt_[lint0] = kLevelTriggered | static_cast<uint32_t>(DeliveryMode::external) << 8;
  lvt_[lint1] = kLevelTriggered | static_cast<uint32_t>(DeliveryMode::nmi) << 8;
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
  if (tpr_ == (value & 0xff)) return;
  tpr_ = static_cast<uint8_t>(value);
  host_.look();
}

bool LocalApic::takesExternal() const {
  if (!enabled()) return true;
  return (lvt_[lint0] & kMasked) == 0 && (lvt_[lint0] >> 8 & 7) == static_cast<uint32_t>(DeliveryMode::external);
}

void LocalApic::visit(state::Archive& archive) {
  archive.section("APIC", 1);
  archive.value(base_);
  archive.value(tpr_);
  archive.value(xapicId_);
  for (uint32_t* field : {&svr_, &ldr_, &dfr_, &esr_, &initialCount_, &divide_}) archive.value(*field);
  archive.value(errors_);
  archive.value(icr_);
  archive.value(lvt_);
  archive.value(start_);
  archive.value(tscDeadline_);
  uint64_t event = event_;
  archive.value(event);
  archive.check(event == kNever || deadlineMode() || initialCount_ != 0, "a timer counts to an event from nothing");
  for (std::atomic<uint32_t>* words : {irr_, isr_, tmr_}) {
    for (unsigned i = 0; i < 8; i++) archive.value(words[i]);
  }
  if (!archive.reads()) return;
  event_ = archive.failed() ? kNever : event;
  host_.look();
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
  if (destination == 0xff) return true;                                         // broadcast in both models (11.6.2.2)
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

/** What a masked timer did meanwhile. */
void LocalApic::settle() {
  const uint64_t now = host_.ticks();
  if (event_ == kNever || event_ > now || !timerMasked()) return;
  if (periodic()) {
    const uint64_t period = uint64_t{initialCount_} * divider();
    event_ += ((now - event_) / period + 1) * period;
  } else {
    event_ = kNever;
    tscDeadline_ = 0;
  }
}

uint64_t LocalApic::tscDeadline() {
  settle();
  return deadlineMode() ? tscDeadline_ : 0;
}

uint32_t LocalApic::currentCount() {
  settle();
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

}  // namespace vtkit::emulator
