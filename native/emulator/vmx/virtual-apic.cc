// APIC virtualization and virtual interrupts.
#include "emulator/vmx/virtual-apic.h"

#include <algorithm>

#include "emulator/apic.h"
#include "emulator/vmx/controls.h"

namespace vtkit::emulator::vmx {

namespace {

/** Registers by their offset in the page. */
enum Register : uint32_t {
  kTpr = 0x80,
  kPpr = 0xa0,
  kEoi = 0xb0,
  kIsr = 0x100,
  kIrr = 0x200,
  kIcr = 0x300,
  kIcrHigh = 0x310,
  kSelfIpi = 0x3f0,
};

/** What APIC-register virtualization has beside TPR: each multiple of 16 in a row is a register (30.4.2, 30.4.3). */
struct Range {
  uint32_t first, last;
  bool writable;
};
constexpr Range kRanges[] = {
    {0x020, 0x020, true},   // ID
    {0x030, 0x030, false},  // version
    {0x0b0, 0x0b0, true},   // EOI
    {0x0d0, 0x0f0, true},   // LDR, DFR, spurious vector
    {0x100, 0x270, false},  // ISR, TMR, IRR
    {0x280, 0x280, true},   // error status
    {0x300, 0x310, true},   // ICR
    {0x320, 0x380, true},   // LVT entries, initial count
    {0x3e0, 0x3e0, true},   // divide configuration
};

bool hasRegister(uint32_t offset, bool write) {
  return (offset & 15) == 0 && std::any_of(std::begin(kRanges), std::end(kRanges), [&](const Range& range) {
           return offset >= range.first && offset <= range.last && (range.writable || !write);
         });
}

uint32_t get(const Cpu& cpu, uint32_t offset) {
  uint32_t value = 0;
  cpu.memory->read(field(cpu, Field::virtualApicAddress) + offset, &value, sizeof(value));
  return value;
}

void set(Cpu& cpu, uint32_t offset, uint32_t value) {
  writePhysical(cpu, field(cpu, Field::virtualApicAddress) + offset, &value, sizeof(value));
}

/** One of the 256 bits of VISR or VIRR. */
void setBit(Cpu& cpu, uint32_t bits, unsigned vector, bool value) {
  const uint32_t offset = bits + (vector >> 5) * 16, bit = 1u << (vector & 31), word = get(cpu, offset);
  set(cpu, offset, value ? word | bit : word & ~bit);
}

/** The highest vector whose bit is set, or 0. */
unsigned highest(const Cpu& cpu, uint32_t bits) {
  for (int word = 7; word >= 0; word--) {
    const uint32_t value = get(cpu, bits + static_cast<uint32_t>(word) * 16);
    if (value != 0) return static_cast<unsigned>(word) * 32 + 31 - static_cast<unsigned>(__builtin_clz(value));
  }
  return 0;
}

// Guest interrupt status: the vectors that are requested (RVI) and in service (SVI) with the highest priority

unsigned rvi(const Cpu& cpu) { return field(cpu, Field::guestInterruptStatus) & 0xff; }
unsigned svi(const Cpu& cpu) { return field(cpu, Field::guestInterruptStatus) >> 8; }
void setStatus(Cpu& cpu, unsigned requested, unsigned inService) {
  cpu.vmx.vmcs.set(Field::guestInterruptStatus, requested | inService << 8);
}

bool deliversInterrupts(const Cpu& cpu) { return secondaryBased(cpu, secondary::kVirtualInterruptDelivery); }

/** 30.1.3 */
void virtualizePpr(Cpu& cpu) {
  const uint32_t tpr = get(cpu, kTpr), inService = svi(cpu);
  set(cpu, kPpr, (tpr & 0xf0) >= (inService & 0xf0) ? tpr & 0xff : inService & 0xf0);
}

/** 30.2.1 */
void evaluate(Cpu& cpu) {
  cpu.vmx.virtualInterrupt =
      !primaryBased(cpu, primary::kInterruptWindowExiting) && (rvi(cpu) & 0xf0) > (get(cpu, kPpr) & 0xf0);
}

void exitBehind(Cpu& cpu, ExitReason reason, uint64_t qualification) {
  cpu.vmx.trapDue = true;
  cpu.vmx.trapReason = reason;
  cpu.vmx.trapQualification = qualification;
}

/** 30.1.2 */
void virtualizeTpr(Cpu& cpu) {
  if (deliversInterrupts(cpu)) {
    virtualizePpr(cpu);
    evaluate(cpu);
  } else if ((get(cpu, kTpr) >> 4 & 15) < (field(cpu, Field::tprThreshold) & 15)) {
    exitBehind(cpu, ExitReason::tprBelowThreshold, 0);
  }
}

/** 30.1.4 */
void virtualizeEoi(Cpu& cpu) {
  const unsigned vector = svi(cpu);
  setBit(cpu, kIsr, vector, false);
  setStatus(cpu, rvi(cpu), highest(cpu, kIsr));
  virtualizePpr(cpu);
  const auto bitmap = static_cast<Field>(static_cast<uint32_t>(Field::eoiExitBitmap0) + 2 * (vector >> 6));
  if ((field(cpu, bitmap) >> (vector & 63) & 1) != 0) return exitBehind(cpu, ExitReason::virtualizedEoi, vector);
  evaluate(cpu);
}

/** 30.1.5 */
void virtualizeSelfIpi(Cpu& cpu, unsigned vector) {
  setBit(cpu, kIrr, vector, true);
  setStatus(cpu, std::max(rvi(cpu), vector), svi(cpu));
  evaluate(cpu);
}

/** A command that is nothing but a self-IPI: fixed, edge-triggered, of a vector that may be (30.1.5). */
bool isSelfIpi(uint32_t command) {
  constexpr uint32_t kReserved = 0xfff32000, kMode = 7u << 8, kPending = 1u << 12, kLevel = 1u << 15,
                     kShorthand = 3u << 18, kSelf = 1u << 18;
  return (command & (kReserved | kMode | kPending | kLevel)) == 0 && (command & kShorthand) == kSelf &&
         (command & 0xf0) != 0;
}

void becomeDue(Cpu& cpu, uint32_t offset) {
  cpu.vmx.apicWrite = static_cast<uint16_t>(offset);
  cpu.leaveBlock = true;
}

/** Whether the page answers for an operand of the guest, and where not: the exit is pending. */
bool answers(Cpu& cpu, uint32_t offset, unsigned bytes, bool write) {
  constexpr uint64_t kOfEvent = 3u << 12;
  const bool event = (cpu.vmx.vectoring.information >> 31 & 1) != 0;
  const bool whole = (offset & 3) + bytes <= 4;
  const uint32_t name = offset & ~3u;
  bool has = name == kTpr;
  if (secondaryBased(cpu, secondary::kApicRegisterVirtualization)) {
    has = has || hasRegister(name, write);
  } else if (deliversInterrupts(cpu) && write) {
    has = has || name == kEoi || name == kIcr;
  }
  if (!event && whole && has && primaryBased(cpu, primary::kUseTprShadow)) return true;
  leave(cpu, ExitReason::apicAccess, offset | (event ? kOfEvent : uint64_t{write} << 12));
  cpu.vmx.exit.byInstruction = !event;
  return false;
}

}  // namespace

void startVirtualApic(Cpu& cpu) {
  stopVirtualApic(cpu);
  if (secondaryBased(cpu, secondary::kVirtualizeApicAccesses)) {
    cpu.vmx.accessPage = field(cpu, Field::apicAccessAddress);
  }
  // 27.3.2.5, 27.7.7. Where neither accesses nor interrupts are virtual, a priority below the threshold has failed the
  // entry.
  if (primaryBased(cpu, primary::kUseTprShadow)) virtualizeTpr(cpu);
}

void stopVirtualApic(Cpu& cpu) {
  Vmx& vmx = cpu.vmx;
  vmx.accessPage = kNever;
  vmx.apicWrite = kNoRegister;
  vmx.trapDue = vmx.virtualInterrupt = false;
}

bool shadowsTpr(const Cpu& cpu) { return cpu.guest && primaryBased(cpu, primary::kUseTprShadow); }

uint64_t readShadow(const Cpu& cpu) { return get(cpu, kTpr) >> 4 & 15; }

void writeShadow(Cpu& cpu, uint64_t cr8) {
  set(cpu, kTpr, static_cast<uint32_t>(cr8 << 4));
  becomeDue(cpu, kTpr);
}

MsrAccess readVirtualMsr(const Cpu& cpu, uint32_t index, uint64_t& value) {
  if (!secondaryBased(cpu, secondary::kVirtualizeX2apicMode)) return MsrAccess::passed;
  const uint32_t offset = (index & 0xff) << 4;
  if (offset != kTpr && !secondaryBased(cpu, secondary::kApicRegisterVirtualization)) return MsrAccess::passed;
  value = get(cpu, offset) | uint64_t{get(cpu, offset + 4)} << 32;
  return MsrAccess::virtualized;
}

MsrAccess writeVirtualMsr(Cpu& cpu, uint32_t index, uint64_t value) {
  if (!secondaryBased(cpu, secondary::kVirtualizeX2apicMode)) return MsrAccess::passed;
  const uint32_t offset = (index & 0xff) << 4;
  const bool ofDelivery = offset == kEoi || offset == kSelfIpi;
  if (offset != kTpr && !(ofDelivery && deliversInterrupts(cpu))) return MsrAccess::passed;
  const uint64_t defined = offset == kEoi ? 0 : 0xff;
  if ((value & ~defined) != 0) return MsrAccess::refused;
  set(cpu, offset, static_cast<uint32_t>(value));
  set(cpu, offset + 4, 0);
  becomeDue(cpu, offset);
  return MsrAccess::virtualized;
}

bool readAccessPage(Cpu& cpu, uint64_t physical, void* to, unsigned bytes) {
  const auto offset = static_cast<uint32_t>(physical & 0xfff);
  if (!answers(cpu, offset, bytes, false)) return false;
  const uint32_t value = get(cpu, offset & ~3u) >> (8 * (offset & 3));
  std::memcpy(to, &value, bytes);
  return true;
}

bool writeAccessPage(Cpu& cpu, uint64_t physical, const void* from, unsigned bytes) {
  const auto offset = static_cast<uint32_t>(physical & 0xfff);
  if (!answers(cpu, offset, bytes, true)) return false;
  writePhysical(cpu, field(cpu, Field::virtualApicAddress) + offset, from, bytes);
  becomeDue(cpu, offset & ~3u);
  return true;
}

bool fetchAccessPage(Cpu& cpu, uint64_t physical) {
  constexpr uint64_t kFetch = 2u << 12;
  return leave(cpu, ExitReason::apicAccess, (physical & 0xfff) | kFetch);
}

void emulateApicWrite(Cpu& cpu) {
  const uint32_t offset = cpu.vmx.apicWrite;
  cpu.vmx.apicWrite = kNoRegister;
  const auto exits = [&] { exitBehind(cpu, ExitReason::apicWrite, offset); };
  const bool delivers = deliversInterrupts(cpu);
  switch (offset) {
    case kTpr:
      set(cpu, kTpr, get(cpu, kTpr) & 0xff);
      return virtualizeTpr(cpu);
    case kEoi:
      if (!delivers) return exits();
      set(cpu, kEoi, 0);
      return virtualizeEoi(cpu);
    case kIcr: {
      const uint32_t command = get(cpu, kIcr);
      return delivers && isSelfIpi(command) ? virtualizeSelfIpi(cpu, command & 0xff) : exits();
    }
    case kIcrHigh:
      return set(cpu, kIcrHigh, get(cpu, kIcrHigh) & 0xff000000);
    case kSelfIpi: {
      const uint32_t vector = get(cpu, kSelfIpi) & 0xff;
      return (vector & 0xf0) != 0 ? virtualizeSelfIpi(cpu, vector) : exits();
    }
    default:
      return exits();
  }
}

uint8_t takeVirtualInterrupt(Cpu& cpu) {
  const unsigned vector = rvi(cpu);
  setBit(cpu, kIsr, vector, true);
  setBit(cpu, kIrr, vector, false);
  set(cpu, kPpr, vector & 0xf0);
  setStatus(cpu, highest(cpu, kIrr), vector);
  cpu.vmx.virtualInterrupt = false;
  return static_cast<uint8_t>(vector);
}

bool takePosted(Cpu& cpu, uint8_t vector) {
  if (!pinBased(cpu, pin::kPostedInterrupts)) return false;
  if (vector != (field(cpu, Field::postedInterruptNotificationVector) & 0xff)) return false;
  const uint64_t descriptor = field(cpu, Field::postedInterruptDescriptorAddress);
  constexpr uint32_t kControl = 32, kOutstanding = 1;
  uint32_t requests[8] = {}, control = 0;
  cpu.memory->read(descriptor + kControl, &control, sizeof(control));
  control &= ~kOutstanding;
  writePhysical(cpu, descriptor + kControl, &control, sizeof(control));
  cpu.apic->write(kEoi, 0);
  cpu.memory->read(descriptor, requests, sizeof(requests));
  constexpr uint64_t kNone[4] = {};
  for (unsigned i = 0; i < 4; i++) writePhysical(cpu, descriptor + 8 * i, &kNone[i], 8);
  for (unsigned i = 0; i < 8; i++) {
    if (requests[i] == 0) continue;
    set(cpu, kIrr + i * 16, get(cpu, kIrr + i * 16) | requests[i]);
    const unsigned top = i * 32 + 31 - static_cast<unsigned>(__builtin_clz(requests[i]));
    setStatus(cpu, std::max(rvi(cpu), top), svi(cpu));
  }
  evaluate(cpu);
  return true;
}

}  // namespace vtkit::emulator::vmx
