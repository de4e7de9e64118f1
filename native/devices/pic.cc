// The PC's two 8259A interrupt controllers (Intel 8259A data sheet).
#include "devices/pic.h"

#include <utility>

namespace vtkit::devices {

namespace {
constexpr int kCascade = 2;
constexpr int kSpurious = 7;
constexpr uint8_t bit(int number) { return static_cast<uint8_t>(1u << number); }
}  // namespace

Pic::Pic(std::function<void()> intrChanged) : intrChanged_(std::move(intrChanged)) {
  for (size_t i = 0; i < lines_.size(); i++) {
    lines_[i].pic_ = this;
    lines_[i].number_ = static_cast<int>(i);
  }
  Ports* ports[] = {&masterPorts_, &slavePorts_, &edgeLevelPorts_};
  for (int i = 0; i < 3; i++) {
    ports[i]->pic_ = this;
    ports[i]->which_ = i;
  }
}

template <typename Change>
void Pic::update(Change change) {
  bool before, after;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    before = master_.pending() >= 0;
    change();
    // The cascade follows the slave's output like a level: a request that goes away unserved leaves no trace.
    if (slave_.pending() >= 0) {
      master_.request |= bit(kCascade);
    } else {
      master_.request &= static_cast<uint8_t>(~bit(kCascade));
    }
    after = master_.pending() >= 0;
  }
  if (after && !before) intrChanged_();
}

void Pic::setLine(int number, bool level) {
  if (number == kCascade) return;
  update([&] { (number < 8 ? master_ : slave_).setLine(number & 7, level); });
}

bool Pic::asserted() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return master_.pending() >= 0;
}

int Pic::acknowledge() {
  int vector = -1;
  update([&] {
    const int line = serve(master_);
    vector = line == kCascade ? slave_.base + serve(slave_) : master_.base + line;
  });
  return vector;
}

/** An INTA cycle on one chip: the line that it serves; 7 without entering service if the request went away. */
int Pic::serve(Chip& chip) {
  const int number = chip.pending();
  if (number < 0) return kSpurious;
  chip.begin(number);
  return number;
}

void Pic::Chip::setLine(int number, bool level) {
  const uint8_t mask = bit(number);
  const bool was = (levels & mask) != 0;
  levels = static_cast<uint8_t>(level ? levels | mask : levels & ~mask);
  if ((elcr & mask) != 0) {
    request = static_cast<uint8_t>(level ? request | mask : request & ~mask);
  } else if (level && !was) {
    request |= mask;
  } else if (!level) {
    request &= static_cast<uint8_t>(~mask);  // the 8259A wants the line high until INTA
  }
}

int Pic::Chip::pending() const {
  if (initStep != 0) return -1;
  const uint8_t candidates = request & static_cast<uint8_t>(~mask);
  for (int i = 1; i <= 8; i++) {
    const int number = (lowest + i) & 7;
    const uint8_t in = service & bit(number);
    if (specialMask ? in != 0 : false) continue;
    if (in != 0) return -1;  // in service: only higher priorities nest
    if ((candidates & bit(number)) != 0) return number;
  }
  return -1;
}

void Pic::Chip::begin(int number) {
  if ((elcr & bit(number)) == 0) request &= static_cast<uint8_t>(~bit(number));
  if (!autoEnd) {
    service |= bit(number);
  } else if (rotateOnAutoEnd) {
    lowest = static_cast<uint8_t>(number);
  }
}

int Pic::Chip::highestInService() const {
  for (int i = 1; i <= 8; i++) {
    const int number = (lowest + i) & 7;
    if ((service & bit(number)) != 0 && !(specialMask && (mask & bit(number)) != 0)) return number;
  }
  return -1;
}

void Pic::Chip::endOfInterrupt(int number, bool rotate) {
  if (number < 0) return;
  service &= static_cast<uint8_t>(~bit(number));
  if (rotate) lowest = static_cast<uint8_t>(number);
}

void Pic::Chip::command(uint8_t value) {
  if ((value & 0x10) != 0) {  // ICW1
    const uint8_t kept = elcr, lines = levels;
    *this = Chip();
    elcr = kept;
    levels = lines;
    request = levels & elcr;
    initStep = 2;
    wantsIcw4 = (value & 0x01) != 0;
    if ((value & 0x02) != 0) initStep = 0;  // single chip: not wired so on a PC
    return;
  }
  if ((value & 0x08) != 0) {  // OCW3
    if ((value & 0x04) != 0) poll = true;
    if ((value & 0x02) != 0) readService = (value & 0x01) != 0;
    if ((value & 0x40) != 0) specialMask = (value & 0x20) != 0;
    return;
  }
  const int level = value & 7;  // OCW2
  switch (value >> 5) {
    case 0:
      rotateOnAutoEnd = false;
      break;
    case 4:
      rotateOnAutoEnd = true;
      break;
    case 1:
    case 5:
      endOfInterrupt(highestInService(), value >> 5 == 5);
      break;
    case 3:
    case 7:
      endOfInterrupt(level, value >> 5 == 7);
      break;
    case 6:
      lowest = static_cast<uint8_t>(level);
      break;
    default:
      break;
  }
}

void Pic::Chip::write(unsigned port, uint8_t value) {
  if (port == 0) return command(value);
  switch (initStep) {
    case 2:
      base = value & 0xf8;
      initStep = 3;
      break;
    case 3:
      initStep = wantsIcw4 ? 4 : 0;
      break;
    case 4:
      autoEnd = (value & 0x02) != 0;
      initStep = 0;
      break;
    default:
      mask = value;
  }
}

uint8_t Pic::Chip::read(unsigned port) {
  if (poll) {
    poll = false;
    const int number = pending();
    if (number < 0) return 0;
    begin(number);
    return static_cast<uint8_t>(0x80 | number);
  }
  if (port == 1) return mask;
  return readService ? service : request;
}

bus::Answer Pic::Ports::read(uint64_t offset, unsigned size, uint64_t& value) {
  value = ~uint64_t{0};
  for (unsigned i = 0; i < size && offset + i < 2; i++) {
    const auto port = static_cast<unsigned>(offset + i);
    uint8_t byte = 0;
    pic_->update([&] {
      Chip& chip = which_ == 0 || (which_ == 2 && port == 0) ? pic_->master_ : pic_->slave_;
      byte = which_ == 2 ? chip.elcr : chip.read(port);
    });
    value = (value & ~(uint64_t{0xff} << (8 * i))) | uint64_t{byte} << (8 * i);
  }
  return bus::Answer::done;
}

bus::Answer Pic::Ports::write(uint64_t offset, unsigned size, uint64_t value) {
  // Lines 0, 1, 2, 8 and 13 of a PC are wired to edges.
  constexpr uint8_t kSelectable[] = {0xf8, 0xde};
  for (unsigned i = 0; i < size && offset + i < 2; i++) {
    const auto port = static_cast<unsigned>(offset + i);
    const auto byte = static_cast<uint8_t>(value >> (8 * i));
    pic_->update([&] {
      Chip& chip = which_ == 0 || (which_ == 2 && port == 0) ? pic_->master_ : pic_->slave_;
      if (which_ == 2) {
        chip.elcr = byte & kSelectable[port];
      } else {
        chip.write(port, byte);
      }
    });
  }
  return bus::Answer::done;
}

}  // namespace vtkit::devices
