// Instructions that exit, and those that a control takes away (SDM Vol. 3C, 26.1 and 26.3).
#include "emulator/vmx/controls.h"

#include "emulator/cpu-model.h"
#include "emulator/dispatch.h"
#include "emulator/families.h"
#include "emulator/system.h"
#include "emulator/vector-families.h"

namespace vtkit::emulator::vmx {

bool leaveBy(Cpu& cpu, ExitReason reason, uint64_t qualification, uint32_t information, uint64_t linear) {
  leave(cpu, reason, qualification);
  cpu.vmx.exit.instruction = information;
  cpu.vmx.exit.guestLinear = linear;
  cpu.vmx.exit.byInstruction = true;
  return false;
}

uint64_t displacementOf(const Cpu& cpu, const MicroOp& op) {
  const auto displacement = static_cast<uint64_t>(op.displacement);
  return op.base == kRip ? cpu.rip() + displacement : displacement & op.addressMask;
}

namespace {
/** Address size as instruction information has it: 16, 32 or 64 bits. */
uint32_t addressSize(const MicroOp& op) { return op.addressMask == 0xffff ? 0 : op.addressMask == 0xffffffff ? 1 : 2; }

/** A linear address that an exit tells though nothing has checked it. */
uint64_t uncheckedLinear(const Cpu& cpu, unsigned segment, uint64_t offset) {
  if (!cpu.code64()) return (cpu.seg[segment].base + offset) & 0xffffffff;
  return segment == FS || segment == GS ? cpu.seg[segment].base + offset : offset;
}
}  // namespace

uint32_t operandInformation(const MicroOp& op) {
  constexpr uint32_t kRegister = 1u << 10;
  if (!op.memory) return static_cast<uint32_t>(op.rmIndex) << 3 | kRegister;
  // The fifth bit of the register that is none is the one that tells so.
  static_assert(kZeroRegister == 16);
  const uint32_t base = op.base == kRip ? uint32_t{kZeroRegister} : op.base, index = op.index;
  return op.scale | addressSize(op) << 7 | static_cast<uint32_t>(op.segment) << 15 | index << 18 | base << 23;
}

uint64_t guestTsc(const Cpu& cpu, uint64_t tsc) {
  if (!primaryBased(cpu, primary::kUseTscOffsetting)) return tsc;
  if (secondaryBased(cpu, secondary::kUseTscScaling)) {
    tsc = static_cast<uint64_t>(static_cast<unsigned __int128>(tsc) * field(cpu, Field::tscMultiplier) >> 48);
  }
  return tsc + field(cpu, Field::tscOffset);
}

uint64_t readMasked(const Cpu& cpu, uint64_t value, Field mask, Field shadow) {
  const uint64_t hidden = field(cpu, mask);
  return (value & ~hidden) | (field(cpu, shadow) & hidden);
}

namespace {

bool undefined(Cpu& cpu) { return raise(cpu, kUd); }

// Invalid opcodes and faults by privilege come before the exit (26.1.1): what raises one itself is let through.

/** Exits always. */
template <ExitReason Reason>
bool always(Cpu& cpu, const MicroOp&) {
  return leaveBy(cpu, Reason);
}

/** Exits in ring 0 under a primary control. */
template <ExitReason Reason, uint32_t Control>
bool underPrimary(Cpu& cpu, const MicroOp&) {
  return cpu.cpl != 0 || !primaryBased(cpu, Control) || leaveBy(cpu, Reason);
}

bool invalidate(Cpu& cpu, const MicroOp& op) {
  if (cpu.cpl != 0) return true;
  if (op.opcode == 0x08) return leaveBy(cpu, ExitReason::invd);
  return !secondaryBased(cpu, secondary::kWbinvdExiting) || leaveBy(cpu, ExitReason::wbinvd);
}

template <ExitReason Reason>
bool readTsc(Cpu& cpu, const MicroOp&) {
  if (cpu.cpl != 0 && (cpu.cr4 & kCr4Tsd) != 0) return true;
  return !primaryBased(cpu, primary::kRdtscExiting) || leaveBy(cpu, Reason);
}

bool rdtscp(Cpu& cpu, const MicroOp& op) {
  return secondaryBased(cpu, secondary::kEnableRdtscp) ? readTsc<ExitReason::rdtscp>(cpu, op) : undefined(cpu);
}

/** What does not exist without a secondary control, and never exits itself. */
template <uint32_t Control>
bool enabled(Cpu& cpu, const MicroOp&) {
  return secondaryBased(cpu, Control) || undefined(cpu);
}

bool rdpmc(Cpu& cpu, const MicroOp&) {
  if (cpu.cpl != 0 && (cpu.cr4 & kCr4Pce) == 0) return true;
  return !primaryBased(cpu, primary::kRdpmcExiting) || leaveBy(cpu, ExitReason::rdpmc);
}

// Control and debug registers (table 28-3, table 28-4)

enum CrAccess : uint64_t { kMovTo = 0, kMovFrom = 1, kClearTs = 2, kLoadStatus = 3 };
bool leaveCr(Cpu& cpu, uint64_t number, CrAccess access, uint64_t more, uint64_t linear = 0) {
  return leaveBy(cpu, ExitReason::controlRegisterAccess, number | access << 4 | more, 0, linear);
}

bool isCr3Target(const Cpu& cpu, uint64_t value) {
  const uint64_t count = field(cpu, Field::cr3TargetCount);
  for (unsigned i = 0; i < count && i < 4; i++) {
    if (field(cpu, static_cast<Field>(static_cast<uint32_t>(Field::cr3TargetValue0) + 2 * i)) == value) return true;
  }
  return false;
}

bool loadExits(const Cpu& cpu, unsigned number, uint64_t value) {
  const auto differs = [&](Field shadow, Field mask) { return (value ^ field(cpu, shadow)) & field(cpu, mask); };
  switch (number) {
    case 0:
      return differs(Field::cr0ReadShadow, Field::cr0GuestHostMask) != 0;
    case 3:
      return primaryBased(cpu, primary::kCr3LoadExiting) && !isCr3Target(cpu, value);
    case 4:
      return differs(Field::cr4ReadShadow, Field::cr4GuestHostMask) != 0;
    case 8:
      return primaryBased(cpu, primary::kCr8LoadExiting);
    default:
      return false;
  }
}

bool movToCr(Cpu& cpu, const MicroOp& op) {
  const uint64_t value = cpu.code64() ? cpu.gpr[op.rmIndex] : cpu.gpr[op.rmIndex] & 0xffffffff;
  return cpu.cpl != 0 || !loadExits(cpu, op.regIndex, value) ||
         leaveCr(cpu, op.regIndex, kMovTo, uint64_t{op.rmIndex} << 8);
}

bool storeExits(const Cpu& cpu, unsigned number) {
  switch (number) {
    case 3:
      return primaryBased(cpu, primary::kCr3StoreExiting);
    case 8:
      return primaryBased(cpu, primary::kCr8StoreExiting);
    default:
      return false;
  }
}

bool movFromCr(Cpu& cpu, const MicroOp& op) {
  return cpu.cpl != 0 || !storeExits(cpu, op.regIndex) ||
         leaveCr(cpu, op.regIndex, kMovFrom, uint64_t{op.rmIndex} << 8);
}

bool clts(Cpu& cpu, const MicroOp&) {
  const uint64_t hidden = field(cpu, Field::cr0GuestHostMask) & field(cpu, Field::cr0ReadShadow);
  return cpu.cpl != 0 || (hidden & kCr0Ts) == 0 || leaveCr(cpu, 0, kClearTs, 0);
}

/** Comes before the fault by privilege, and before the invalid opcode that CR4.DE makes of DR4 and DR5 (26.1.3). */
template <bool From>
bool movDr(Cpu& cpu, const MicroOp& op) {
  return op.regIndex > 7 || !primaryBased(cpu, primary::kMovDrExiting) ||
         leaveBy(cpu, ExitReason::movDr, op.regIndex | uint64_t{From} << 4 | uint64_t{op.rmIndex} << 8);
}

// Model-specific registers (25.6.9): a bitmap for reads and one for writes, each for two ranges

template <bool Write>
bool msr(Cpu& cpu, const MicroOp&) {
  constexpr uint32_t kHigh = 0xc0000000, kRange = 0x2000;
  if (cpu.cpl != 0) return true;
  const ExitReason reason = Write ? ExitReason::wrmsr : ExitReason::rdmsr;
  const auto index = static_cast<uint32_t>(cpu.gpr[RCX]);
  const bool high = index >= kHigh;
  const uint32_t bit = index - (high ? kHigh : 0);
  if (!primaryBased(cpu, primary::kUseMsrBitmaps) || bit >= kRange) return leaveBy(cpu, reason);
  uint8_t byte = 0xff;
  cpu.memory->read(field(cpu, Field::msrBitmap) + (high ? 0x400 : 0) + (Write ? 0x800 : 0) + bit / 8, &byte, 1);
  return (byte >> (bit & 7) & 1) == 0 || leaveBy(cpu, reason);
}

// Ports (table 28-5)

bool portExits(const Cpu& cpu, uint16_t port, unsigned bytes) {
  if (!primaryBased(cpu, primary::kUseIoBitmaps)) return primaryBased(cpu, primary::kUnconditionalIoExiting);
  if (port + bytes > 0x10000) return true;
  for (unsigned at = port; at < port + bytes; at++) {
    uint8_t byte = 0xff;
    const uint64_t bitmap = field(cpu, at < 0x8000 ? Field::ioBitmapA : Field::ioBitmapB);
    cpu.memory->read(bitmap + (at & 0x7fff) / 8, &byte, 1);
    if ((byte >> (at & 7) & 1) != 0) return true;
  }
  return false;
}

constexpr uint64_t kIn = 1u << 3, kString = 1u << 4, kRep = 1u << 5, kImmediate = 1u << 6;

bool port(Cpu& cpu, const MicroOp& op, uint16_t number, uint64_t more, uint32_t information = 0, uint64_t linear = 0) {
  const unsigned bytes = op.operandBytes == 8 ? 4 : op.operandBytes;
  if (!mayUsePort(cpu, number, bytes)) return false;
  const uint64_t qualification = (bytes - 1) | more | uint64_t{number} << 16;
  return !portExits(cpu, number, bytes) || leaveBy(cpu, ExitReason::ioInstruction, qualification, information, linear);
}

template <uint64_t More>
bool portImm(Cpu& cpu, const MicroOp& op) {
  return port(cpu, op, static_cast<uint8_t>(op.immediate), More | kImmediate);
}
template <uint64_t More>
bool portDx(Cpu& cpu, const MicroOp& op) {
  return port(cpu, op, readGpr<uint16_t>(cpu, RDX), More);
}
template <uint64_t More>
bool portString(Cpu& cpu, const MicroOp& op) {
  const bool repeats = op.repeat != 0, in = (More & kIn) != 0;
  if (repeats && (cpu.gpr[RCX] & op.addressMask) == 0) return true;
  const unsigned segment = in ? unsigned{ES} : op.segment;
  return port(cpu, op, readGpr<uint16_t>(cpu, RDX), More | kString | (repeats ? kRep : 0),
              addressSize(op) << 7 | segment << 15,
              uncheckedLinear(cpu, segment, cpu.gpr[in ? RDI : RSI] & op.addressMask));
}

// Groups 6 and 7

/** The functions of LGDT and its kin: 0 and 1 store, 2 and 3 load. */
bool tableAccess(Cpu& cpu, const MicroOp& op, ExitReason reason) {
  const uint32_t function = op.regIndex & 7;
  if (cpu.cpl != 0 && (function >= 2 || (cpu.cr4 & kCr4Umip) != 0)) return true;
  if (!secondaryBased(cpu, secondary::kDescriptorTableExiting)) return true;
  const uint32_t operand = reason == ExitReason::gdtrOrIdtrAccess ? uint32_t{op.operandBytes != 2} << 11 : 0;
  return leaveBy(cpu, reason, op.memory ? displacementOf(cpu, op) : 0,
                 operandInformation(op) | operand | function << 28);
}

bool group6(Cpu& cpu, const MicroOp& op) {
  if ((op.regIndex & 7) > 3 || !cpu.protectedMode() || cpu.v86()) return true;
  return tableAccess(cpu, op, ExitReason::ldtrOrTrAccess);
}

bool lmsw(Cpu& cpu, const MicroOp& op) {
  if (cpu.cpl != 0) return true;
  uint16_t value = readAt<uint16_t>(cpu, op.rm);
  uint64_t linear = 0;
  if (op.memory) {
    if (!linearOf(cpu, op.segment, addressOf(cpu, op), 2, false, linear)) return false;
    if (!readLinear<uint16_t>(cpu, linear, value, false)) return false;
  }
  // PE can only be set so.
  const uint64_t looked = (value & kCr0Pe) | (kCr0Mp | kCr0Em | kCr0Ts);
  const uint64_t differs = (value ^ field(cpu, Field::cr0ReadShadow)) & field(cpu, Field::cr0GuestHostMask) & looked;
  return differs == 0 || leaveCr(cpu, 0, kLoadStatus, uint64_t{op.memory} << 6 | uint64_t{value} << 16, linear);
}

bool invlpg(Cpu& cpu, const MicroOp& op) {
  return cpu.cpl != 0 || !primaryBased(cpu, primary::kInvlpgExiting) ||
         leaveBy(cpu, ExitReason::invlpg, uncheckedLinear(cpu, op.segment, addressOf(cpu, op)));
}

/** MONITOR and MWAIT. */
bool wait(Cpu& cpu, ExitReason reason, uint32_t control) {
  return !has(cpu, model::kMonitor) || cpu.cpl != 0 || !primaryBased(cpu, control) || leaveBy(cpu, reason);
}

bool group7(Cpu& cpu, const MicroOp& op) {
  const unsigned function = op.regIndex & 7;
  if (function == 6) return lmsw(cpu, op);
  if (op.memory) {
    if (function == 7) return invlpg(cpu, op);
    return function > 3 || tableAccess(cpu, op, ExitReason::gdtrOrIdtrAccess);
  }
  switch (0xc0 | function << 3 | (op.rmIndex & 7)) {
    case 0xc8:
      return wait(cpu, ExitReason::monitor, primary::kMonitorExiting);
    case 0xc9:
      return wait(cpu, ExitReason::mwait, primary::kMwaitExiting);
    case 0xd1:
      return (cpu.cr4 & kCr4Osxsave) == 0 || cpu.cpl != 0 || leaveBy(cpu, ExitReason::xsetbv);
    case 0xf9:
      return rdtscp(cpu, op);
    default:
      return true;
  }
}

// The rest

bool pauseLoop(Cpu& cpu, const MicroOp&) {
  if (primaryBased(cpu, primary::kPauseExiting)) return leaveBy(cpu, ExitReason::pause);
  if (cpu.cpl != 0 || !secondaryBased(cpu, secondary::kPauseLoopExiting)) return true;
  // 26.1.3: a pause within the gap of the one before belongs to its loop, which may last for the window.
  const uint64_t now = ticksOf(cpu);
  Vmx& vmx = cpu.vmx;
  if (vmx.firstPause == kNever || now - vmx.lastPause > field(cpu, Field::pleGap)) vmx.firstPause = now;
  vmx.lastPause = now;
  return now - vmx.firstPause <= field(cpu, Field::pleWindow) || leaveBy(cpu, ExitReason::pause);
}

bool random(Cpu& cpu, const MicroOp& op) {
  const bool seed = (op.regIndex & 7) == 7;
  if (!secondaryBased(cpu, seed ? secondary::kRdseedExiting : secondary::kRdrandExiting)) return true;
  const uint32_t size = op.operandBytes == 2 ? 0 : op.operandBytes == 4 ? 1 : 2;
  return leaveBy(cpu, seed ? ExitReason::rdseed : ExitReason::rdrand, 0, uint32_t{op.rmIndex} << 3 | size << 11);
}

bool invpcid(Cpu& cpu, const MicroOp& op) {
  if (!secondaryBased(cpu, secondary::kEnableInvpcid)) return undefined(cpu);
  return cpu.cpl != 0 || !primaryBased(cpu, primary::kInvlpgExiting) ||
         leaveBy(cpu, ExitReason::invpcid, displacementOf(cpu, op),
                 operandInformation(op) | uint32_t{op.regIndex} << 28);
}

/** What may exit on its way: a task switch, an exception of its own. */
bool remembered(Cpu&, const MicroOp&) { return true; }

template <Semantics Check>
bool noted(Cpu& cpu, const MicroOp& op) {
  cpu.vmx.instructionBytes = op.length;
  return Check(cpu, op);
}

struct Intercept {
  const Handlers* instruction;
  Handler check;
};
#define ROW(HANDLERS, CHECK) \
  { &HANDLERS, reaching<noted<CHECK>> }
const Intercept kIntercepts[] = {
    ROW(kCpuid, always<ExitReason::cpuid>),
    ROW(kInvd, invalidate),
    ROW(kHlt, (underPrimary<ExitReason::hlt, primary::kHltExiting>)),
    ROW(kRdtsc, readTsc<ExitReason::rdtsc>),
    ROW(kRdpmc, rdpmc),
    ROW(kMovToCr, movToCr),
    ROW(kMovFromCr, movFromCr),
    ROW(kClts, clts),
    ROW(kMovToDr, movDr<false>),
    ROW(kMovFromDr, movDr<true>),
    ROW(kRdmsr, msr<false>),
    ROW(kWrmsr, msr<true>),
    ROW(kInImm, portImm<kIn>),
    ROW(kInDx, portDx<kIn>),
    ROW(kOutImm, portImm<0>),
    ROW(kOutDx, portDx<0>),
    ROW(kIns, portString<kIn>),
    ROW(kOuts, portString<0>),
    ROW(kGroup6, group6),
    ROW(kGroup7, group7),
    ROW(kXchgAcc, pauseLoop),
    ROW(kRandom, random),
    ROW(kRdpid, enabled<secondary::kEnableRdtscp>),
    ROW(kInvpcid, invpcid),
    ROW(kXsaves, enabled<secondary::kEnableXsaves>),
    ROW(kXrstors, enabled<secondary::kEnableXsaves>),
    ROW(kInt, remembered),
    ROW(kInt3, remembered),
    ROW(kInt1, remembered),
    ROW(kInto, remembered),
    ROW(kIret, remembered),
    ROW(kJmpFar, remembered),
    ROW(kJmpFarRm, remembered),
    ROW(kCallFar, remembered),
    ROW(kCallFarRm, remembered),
};
#undef ROW

}  // namespace

Handler interceptOf(const Opcode& row, const MicroOp& op) {
  const bool isXchg = row.handlers == &kXchgAcc;
  if (isXchg && (op.repeat != 0xf3 || op.regIndex != RAX)) return nullptr;
  for (const Intercept& intercept : kIntercepts) {
    if (intercept.instruction == row.handlers) return intercept.check;
  }
  return nullptr;
}

}  // namespace vtkit::emulator::vmx
