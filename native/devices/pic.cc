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
  // As a PC's firmware leaves them for real mode.
  master_.base = 0x08;
  slave_.base = 0x70;
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
  bool rises;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const bool before = master_.pending() >= 0;
    change();
    // The cascade's IRR bit follows the slave's output, so that a request that goes away unserved leaves no trace.
    const auto cascade = static_cast<uint8_t>(slave_.pending() >= 0 ? bit(kCascade) : 0);
    master_.edges = static_cast<uint8_t>((master_.edges & ~bit(kCascade)) | cascade);
    const int request = master_.pending();
    if (request >= 0) lastRequest_ = request;
    rises = !before && request >= 0;
  }
  if (rises) intrChanged_();
}

void Pic::setLine(int number, bool level, bool falls) {
  if (number == kCascade) return;
  Chip& chip = number < 8 ? master_ : slave_;
  update([&] {
    if (falls) chip.setLine(number & 7, false);
    chip.setLine(number & 7, level);
  });
}

bool Pic::asserted() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return master_.pending() >= 0;
}

int Pic::acknowledge() {
  int vector = -1;
  update([&] {
    // A slave that withdraws too late has its master's answer already: the spurious line is then its own.
    if (master_.pending() < 0 && lastRequest_ == kCascade) master_.edges |= bit(kCascade);
    const int line = master_.serve();
    vector = line == kCascade && !master_.single ? slave_.base + slave_.serve() : master_.base + line;
    lastRequest_ = -1;
  });
  return vector;
}

int Pic::Chip::serve() {
  const int number = pending();
  if (number < 0) return kSpurious;
  begin(number);
  return number;
}

void Pic::Chip::setLine(int number, bool level) {
  const uint8_t mask = bit(number);
  const bool was = (levels & mask) != 0;
  levels = static_cast<uint8_t>(level ? levels | mask : levels & ~mask);
  if (level && !was && (elcr & mask) == 0) edges |= mask;
}

void Pic::Chip::setElcr(uint8_t value) {
  edges &= static_cast<uint8_t>(~value);
  elcr = value;
}

int Pic::Chip::pending() const {
  if (initStep != 0) return -1;
  const auto candidates = static_cast<uint8_t>(request() & ~mask);
  const auto blocking = static_cast<uint8_t>(specialMask ? service & ~mask : service);
  for (int i = 1; i <= 8; i++) {
    const int number = (lowest + i) & 7;
    const bool requested = (candidates & bit(number)) != 0;
    if ((blocking & bit(number)) == 0) {
      if (requested) return number;
      continue;
    }
    return requested && cascadeNests && number == kCascade ? number : -1;
  }
  return -1;
}

void Pic::Chip::begin(int number) {
  edges &= static_cast<uint8_t>(~bit(number));
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
    const uint8_t keptElcr = elcr, keptLevels = levels;
    *this = Chip();
    elcr = keptElcr;
    levels = keptLevels;
    initStep = 2;
    single = (value & 0x02) != 0;
    wantsIcw4 = (value & 0x01) != 0;
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
  const uint8_t lastStep = wantsIcw4 ? 4 : 0;
  switch (initStep) {
    case 2:
      base = value & 0xf8;
      initStep = single ? lastStep : 3;
      break;
    case 3:
      initStep = lastStep;
      break;
    case 4:
      cascadeNests = (value & 0x10) != 0;
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
  return readService ? service : request();
}

void Pic::Chip::visit(state::Archive& archive) {
  for (uint8_t* field : {&edges, &service, &mask, &levels, &elcr}) archive.value(*field);
  archive.bits(base, uint8_t{0xf8});
  archive.atMost(lowest, uint8_t{7});
  archive.atMost(initStep, uint8_t{4});
  for (bool* field :
       {&single, &wantsIcw4, &autoEnd, &rotateOnAutoEnd, &specialMask, &poll, &cascadeNests, &readService}) {
    archive.value(*field);
  }
}

void Pic::visit(state::Archive& archive) {
  const std::lock_guard<std::mutex> lock(mutex_);
  archive.section("PIC ", 1);
  master_.visit(archive);
  slave_.visit(archive);
  archive.within(lastRequest_, -1, 7);
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
        chip.setElcr(byte & kSelectable[port]);
      } else {
        chip.write(port, byte);
      }
    });
  }
  return bus::Answer::done;
}

}  // namespace vtkit::devices
