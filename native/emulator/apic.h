// The local APIC of one processor (SDM Vol. 3A, chapter 11).
#pragma once

#include <atomic>
#include <cstdint>

#include "bus/message.h"
#include "state/archive.h"

namespace vtkit::emulator {

// IA32_APIC_BASE (11.4.4)
inline constexpr uint64_t kApicBsp = 1u << 8, kApicExtended = 1u << 10, kApicEnabled = 1u << 11;

/** What an APIC asks of the processor that it belongs to, and of the machine. */
class ApicHost {
 public:
  virtual ~ApicHost() = default;
  /** Ticks of the time stamp counter, without what software added to it. */
  virtual uint64_t ticks() const = 0;
  virtual uint64_t tscOffset() const = 0;
  /** An interrupt may be deliverable now, or the timer changed. Any thread. */
  virtual void look() = 0;
  virtual void nonMaskable() = 0;
  virtual void init() = 0;
  virtual void startup(uint8_t vector) = 0;
  /** To other processors; the sender is not among them. */
  virtual void send(const bus::InterruptMessage& message, bool others) = 0;
  virtual void endOfInterrupt(uint8_t vector) = 0;
};

/**
 * Accesses come on the processor's thread; accept() may come on any.
 *
 * The timer counts ticks of the time stamp counter, divided as its register says.
 */
class LocalApic {
 public:
  static constexpr uint64_t kNever = ~uint64_t{0};

  LocalApic(ApicHost& host, uint32_t id);

  /** Virtual wire mode, in which firmware leaves the first processor (MultiProcessor Specification 1.4, 3.6.2.2). */
  void powerOn();
  /** After INIT, or when the base register disabled it: all but the identity and the base (11.4.7). */
  void reset();
  uint32_t id() const { return id_; }
  /** The mode in which it is, as IA32_APIC_BASE says. */
  uint64_t base() const { return base_; }
  /** False for what raises #GP: a transition that 11.12.5 does not have, or a reserved bit. */
  bool setBase(uint64_t value, uint64_t physicalMask);
  /** For restoring: any valid combination. */
  void restoreBase(uint64_t value) { base_ = value; }
  bool enabled() const { return (base_ & kApicEnabled) != 0; }
  bool x2apic() const { return (base_ & (kApicEnabled | kApicExtended)) == (kApicEnabled | kApicExtended); }
  /** Page of the memory-mapped registers, or kNever. */
  uint64_t page() const { return enabled() && !x2apic() ? base_ & ~uint64_t{0xfff} : kNever; }

  /** Sends as a write of the interrupt command register does; its upper half is the destination of the mode. */
  void sendCommand(uint64_t command);
  uint32_t read(uint32_t offset);
  void write(uint32_t offset, uint32_t value);
  /** MSRs 0x800 to 0x8ff; false for what raises #GP (11.12.1.2). */
  bool readMsr(uint32_t index, uint64_t& value);
  bool writeMsr(uint32_t index, uint64_t value);

  uint8_t cr8() const { return static_cast<uint8_t>(tpr_ >> 4); }
  void setCr8(uint8_t value) { setTpr(static_cast<uint32_t>(value) << 4); }

  uint64_t tscDeadline();
  void setTscDeadline(uint64_t value);
  /** The tick at which the timer wants expire() to be called, or kNever: one that is masked wants nothing. */
  uint64_t nextEvent() const { return timerMasked() ? kNever : event_; }
  void expire();
  /** Software moved the time stamp counter. */
  void tscMoved();

  bool matches(const bus::InterruptMessage& message) const;
  /** For the lowest-priority rule. */
  uint8_t priority() const { return tpr_; }
  /** False if a disabled APIC drops it. Any thread. */
  bool accept(const bus::InterruptMessage& message);

  /** The vector that may be delivered now, or -1. */
  int pending() const;
  /** Puts it into service. */
  void acknowledge(int vector);
  void visit(state::Archive& archive);
  /** Whether the 8259's INTR gets through: at LINT0, or past a disabled APIC. */
  bool takesExternal() const;

 private:
  enum Lvt : unsigned { timer, thermal, performance, lint0, lint1, error, kLvts };

  bool softwareEnabled() const { return (svr_ & 0x100) != 0; }
  bool deadlineMode() const { return (lvt_[timer] >> 17 & 3) == 2; }
  bool periodic() const { return (lvt_[timer] >> 17 & 3) == 1; }
  bool timerMasked() const { return (lvt_[timer] >> 16 & 1) != 0; }
  unsigned divider() const;
  uint32_t currentCount();
  void settle();
  uint32_t logicalId() const;
  int highest(const std::atomic<uint32_t>* bits) const;
  uint8_t processorPriority() const;
  void setTpr(uint32_t value);
  void setLvt(unsigned index, uint32_t value);
  void setSpurious(uint32_t value);
  void startTimer();
  void setEvent(uint64_t tick);
  void endOfInterrupt();
  void fail(uint32_t bit);
  void fire(Lvt entry);

  ApicHost& host_;
  const uint32_t id_;
  uint64_t base_;
  std::atomic<uint8_t> tpr_{0};
  uint8_t xapicId_;
  uint32_t svr_, ldr_, dfr_, esr_;
  std::atomic<uint32_t> errors_;
  uint64_t icr_;
  uint32_t lvt_[kLvts];
  uint32_t initialCount_, divide_;
  uint64_t start_ = 0, tscDeadline_ = 0, event_ = kNever;
  std::atomic<uint32_t> irr_[8], isr_[8], tmr_[8];
};

}  // namespace vtkit::emulator
