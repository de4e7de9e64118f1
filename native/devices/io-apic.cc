// The I/O APIC: registers and redirection.
#include "devices/io-apic.h"

namespace vtkit::devices {

namespace {

// Redirection entry (82093AA, 3.2.4)
constexpr uint64_t kLogical = 1u << 11, kRemoteIrr = 1u << 14, kLevel = 1u << 15, kMasked = 1u << 16;
constexpr uint64_t kWritable = 0xff0000000001afff;  // all but delivery status and remote IRR
constexpr uint32_t kIdBits = 0x0f000000;
constexpr uint32_t kVersion = 0x11 | (IoApic::kLines - 1) << 16;

}  // namespace

IoApic::IoApic(bus::MessageSink& sink) : sink_(sink) {
  entries_.fill(kMasked);
  for (unsigned i = 0; i < kLines; i++) {
    lines_[i].owner_ = this;
    lines_[i].number_ = i;
  }
}

void IoApic::setLine(unsigned number, bool level, bool falls) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const bool rises = level && (falls || !levels_[number]);
  levels_[number] = level;
  if (level) serve(number, rises);
}

void IoApic::serve(unsigned number, bool edge) {
  uint64_t& entry = entries_[number];
  const bool levelTriggered = (entry & kLevel) != 0;
  if ((entry & kMasked) != 0 || (levelTriggered ? (entry & kRemoteIrr) != 0 : !edge)) return;
  bus::InterruptMessage message;
  message.destination = static_cast<uint32_t>(entry >> 56);
  message.logical = (entry & kLogical) != 0;
  message.mode = static_cast<bus::DeliveryMode>(entry >> 8 & 7);
  message.vector = static_cast<uint8_t>(entry);
  message.level = levelTriggered;
  if (sink_.deliver(message) && levelTriggered) entry |= kRemoteIrr;
}

void IoApic::endOfInterrupt(uint8_t vector) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (unsigned i = 0; i < kLines; i++) {
    uint64_t& entry = entries_[i];
    if (static_cast<uint8_t>(entry) != vector || (entry & kLevel) == 0) continue;
    entry &= ~kRemoteIrr;
    if (levels_[i]) serve(i, false);
  }
}

uint32_t IoApic::readRegister() const {
  if (select_ == 0 || select_ == 2) return id_;  // the arbitration identity follows the identity
  if (select_ == 1) return kVersion;
  const unsigned index = (select_ - 0x10u) / 2;
  if (select_ < 0x10 || index >= kLines) return 0;
  return static_cast<uint32_t>(entries_[index] >> (32 * (select_ & 1)));
}

void IoApic::writeRegister(uint32_t value) {
  if (select_ == 0) id_ = value & kIdBits;
  const unsigned index = (select_ - 0x10u) / 2;
  if (select_ < 0x10 || index >= kLines) return;
  const unsigned shift = 32 * (select_ & 1);
  const uint64_t mask = kWritable & uint64_t{0xffffffff} << shift;
  uint64_t& entry = entries_[index];
  entry = (entry & ~mask) | ((uint64_t{value} << shift) & mask);
  if ((entry & kLevel) == 0) entry &= ~kRemoteIrr;
  if (levels_[index]) serve(index, false);
}

void IoApic::visit(state::Archive& archive) {
  const std::lock_guard<std::mutex> lock(mutex_);
  archive.section("IOAP", 1);
  archive.value(select_);
  archive.bits(id_, kIdBits);
  for (uint64_t& entry : entries_) archive.bits(entry, kWritable | kRemoteIrr);
  for (bool& level : levels_) archive.value(level);
}

bus::Answer IoApic::read(uint64_t offset, unsigned size, uint64_t& value) {
  (void)size;
  const std::lock_guard<std::mutex> lock(mutex_);
  const uint64_t base = offset & ~uint64_t{0xf};
  const uint32_t whole = base == 0 ? select_ : base == 0x10 ? readRegister() : 0;
  value = (offset & 0xf) < 4 ? whole >> (8 * (offset & 3)) : 0;
  return bus::Answer::done;
}

bus::Answer IoApic::write(uint64_t offset, unsigned size, uint64_t value) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (offset == 0) select_ = static_cast<uint8_t>(value);
  if (offset == 0x10 && size >= 4) writeRegister(static_cast<uint32_t>(value));
  return bus::Answer::done;
}

}  // namespace vtkit::devices
