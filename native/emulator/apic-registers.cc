// The registers of the local APIC, memory-mapped and as MSRs (SDM Vol. 3A, 11.4.1 and 11.12.1).
#include "emulator/apic.h"

namespace vtkit::emulator {

using bus::InterruptMessage;

namespace {

constexpr uint32_t kMasked = 1u << 16;
constexpr uint32_t kVersion = 0x00050014;       // six LVT entries, integrated (11.4.8)
constexpr uint32_t kIllegalRegister = 1u << 7;  // error status (11.5.3)

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

void LocalApic::setLvt(unsigned index, uint32_t value) {
  settle();
  const bool wasDeadline = deadlineMode();
  lvt_[index] = (value & kLvtBits[index]) | (softwareEnabled() ? 0 : kMasked);
  if (index == timer && deadlineMode() != wasDeadline) {
    // A change between TSC-deadline and the other modes disarms the timer (11.5.4.1).
    initialCount_ = 0;
    tscDeadline_ = 0;
    setEvent(kNever);
  }
  if (index == timer) host_.look();  // it may have been masked
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
