// String instructions and port I/O (SDM Vol. 1, 7.3.9, chapter 19).
#include <algorithm>

#include "emulator/breakpoints.h"
#include "emulator/families.h"
#include "emulator/system.h"

namespace vtkit::emulator {

namespace {

void advance(Cpu& cpu, unsigned index, uint64_t mask, int64_t by) {
  const uint64_t value = (cpu.gpr[index] + static_cast<uint64_t>(by)) & mask;
  cpu.gpr[index] = mask == 0xffff ? (cpu.gpr[index] & ~mask) | value : value;
}

int64_t strideOf(Cpu& cpu, unsigned bytes) { return (cpu.rflags & kDf) != 0 ? -static_cast<int64_t>(bytes) : bytes; }

/**
 * Repeats `once` as the prefix says. An iteration that faults leaves the registers of the iterations before it; RIP
 * goes back to the instruction, so that what is left is done after the handler, or after an interrupt. `many`, where
 * there is one, does a number of iterations at once, or none where it cannot tell that all of them succeed.
 */
template <bool Compares, typename Once, typename Many>
bool repeated(Cpu& cpu, const MicroOp& op, Once once, Many many) {
  if (op.repeat == 0) return once();
  for (;;) {
    const uint64_t left = cpu.gpr[RCX] & op.addressMask;
    if (left == 0) return true;
    // Somebody waits, or steps: one iteration, then a look around.
    const bool pressing = cpu.deadline.load(std::memory_order_relaxed) == 0;
    uint64_t done = pressing ? 0 : many(left);
    if (done == 0) {
      if (cpu.closing || !once()) return false;
      done = 1;
    }
    advance(cpu, RCX, op.addressMask, -static_cast<int64_t>(done));
    if (Compares && zf(cpu) != (op.repeat == 0xf3)) return true;
    if (pressing || cpu.leaveBlock) break;  // or it wrote over itself
  }
  if ((cpu.gpr[RCX] & op.addressMask) != 0) {
    cpu.rip() = (cpu.rip() - op.length) & cpu.ipMask;
    cpu.instructions--;  // it counts once, at its end
  }
  return true;
}

uint64_t none(uint64_t) { return 0; }

/** The host bytes of up to `items` items at an offset, within one page and for sure without fault; else null. */
template <typename T>
uint8_t* plain(Cpu& cpu, unsigned seg, uint64_t offset, uint64_t mask, bool write, uint64_t& items) {
  uint64_t linear;
  if ((cpu.rflags & kDf) != 0) return nullptr;
  const Fault before = cpu.fault;
  if (!linearOf(cpu, seg, offset, sizeof(T), write, linear)) return cpu.fault = before, nullptr;
  items = std::min(items, (0x1000 - (linear & 0xfff)) / sizeof(T));
  if (items == 0 || mask - offset < items * sizeof(T) - 1) return nullptr;
  if (!linearOf(cpu, seg, offset, static_cast<unsigned>(items * sizeof(T)), write, linear)) {
    return cpu.fault = before, nullptr;
  }
  const TlbEntry& entry = entryOf(cpu, linear);
  const uint64_t tag = (linear & ~uint64_t{0xfff}) | cpu.userTag;
  return (write ? entry.writeTag : entry.readTag) == tag ? entry.host(linear) : nullptr;
}

template <typename T>
uint64_t movsMany(Cpu& cpu, const MicroOp& op, uint64_t items) {
  const uint64_t from = cpu.gpr[RSI] & op.addressMask, to = cpu.gpr[RDI] & op.addressMask;
  const uint8_t* source = plain<T>(cpu, op.segment, from, op.addressMask, false, items);
  if (source == nullptr) return 0;
  uint8_t* target = plain<T>(cpu, ES, to, op.addressMask, true, items);
  if (target == nullptr) return 0;
  const size_t bytes = items * sizeof(T);
  if (target <= source || target >= source + bytes) {
    std::memmove(target, source, bytes);
  } else {
    // Overlapping upwards: an item may be one that an iteration before has written.
    for (size_t i = 0; i < bytes; i += sizeof(T)) std::memmove(target + i, source + i, sizeof(T));
  }
  advance(cpu, RSI, op.addressMask, static_cast<int64_t>(bytes));
  advance(cpu, RDI, op.addressMask, static_cast<int64_t>(bytes));
  return items;
}

template <typename T>
uint64_t stosMany(Cpu& cpu, const MicroOp& op, uint64_t items) {
  uint8_t* target = plain<T>(cpu, ES, cpu.gpr[RDI] & op.addressMask, op.addressMask, true, items);
  if (target == nullptr) return 0;
  const T value = readGpr<T>(cpu, RAX);
  for (uint64_t i = 0; i < items; i++) std::memcpy(target + i * sizeof(T), &value, sizeof(T));
  advance(cpu, RDI, op.addressMask, static_cast<int64_t>(items * sizeof(T)));
  return items;
}

template <typename T>
bool movs(Cpu& cpu, const MicroOp& op) {
  const auto once = [&] {
    T value;
    if (!load<T>(cpu, op.segment, cpu.gpr[RSI] & op.addressMask, value) ||
        !store<T>(cpu, ES, cpu.gpr[RDI] & op.addressMask, value)) {
      return false;
    }
    const int64_t stride = strideOf(cpu, sizeof(T));
    advance(cpu, RSI, op.addressMask, stride);
    advance(cpu, RDI, op.addressMask, stride);
    return true;
  };
  return repeated<false>(cpu, op, once, [&](uint64_t items) { return movsMany<T>(cpu, op, items); });
}
VTKIT_SIZED(movs);

template <typename T>
void compare(Cpu& cpu, T a, T b) {
  keepFlags<T>(cpu, LazyFlags::sub, a, b, static_cast<T>(a - b));
}

template <typename T>
bool cmps(Cpu& cpu, const MicroOp& op) {
  return repeated<true>(
      cpu, op,
      [&] {
        T a, b;
        if (!load<T>(cpu, op.segment, cpu.gpr[RSI] & op.addressMask, a) ||
            !load<T>(cpu, ES, cpu.gpr[RDI] & op.addressMask, b)) {
          return false;
        }
        compare<T>(cpu, a, b);
        const int64_t stride = strideOf(cpu, sizeof(T));
        advance(cpu, RSI, op.addressMask, stride);
        advance(cpu, RDI, op.addressMask, stride);
        return true;
      },
      none);
}
VTKIT_SIZED(cmps);

template <typename T>
bool stos(Cpu& cpu, const MicroOp& op) {
  const auto once = [&] {
    if (!store<T>(cpu, ES, cpu.gpr[RDI] & op.addressMask, readGpr<T>(cpu, RAX))) return false;
    advance(cpu, RDI, op.addressMask, strideOf(cpu, sizeof(T)));
    return true;
  };
  return repeated<false>(cpu, op, once, [&](uint64_t items) { return stosMany<T>(cpu, op, items); });
}
VTKIT_SIZED(stos);

template <typename T>
bool lods(Cpu& cpu, const MicroOp& op) {
  return repeated<false>(
      cpu, op,
      [&] {
        T value;
        if (!load<T>(cpu, op.segment, cpu.gpr[RSI] & op.addressMask, value)) return false;
        writeGpr<T>(cpu, RAX, value);
        advance(cpu, RSI, op.addressMask, strideOf(cpu, sizeof(T)));
        return true;
      },
      none);
}
VTKIT_SIZED(lods);

template <typename T>
bool scas(Cpu& cpu, const MicroOp& op) {
  return repeated<true>(
      cpu, op,
      [&] {
        T value;
        if (!load<T>(cpu, ES, cpu.gpr[RDI] & op.addressMask, value)) return false;
        compare<T>(cpu, readGpr<T>(cpu, RAX), value);
        advance(cpu, RDI, op.addressMask, strideOf(cpu, sizeof(T)));
        return true;
      },
      none);
}
VTKIT_SIZED(scas);

// Ports
// ------------------------------------------------------------------------------------------------------------------

bool portFailed(Cpu& cpu) {
  cpu.closing = true;
  return false;
}

/** Whether no bitmap has a say (as mayUsePort asks first). */
bool freePort(const Cpu& cpu) { return !cpu.protectedMode() || (cpu.cpl <= cpu.iopl() && !cpu.v86()); }

template <typename T>
bool portIn(Cpu& cpu, uint16_t port, T& value) {
  if (!mayUsePort(cpu, port, sizeof(T))) return false;
  if (cpu.watchesData) watchPort(cpu, port, sizeof(T));
  spend(cpu, kDeviceTicks);
  return cpu.platform->portRead(port, sizeof(T), 1, &value) || portFailed(cpu);
}

template <typename T>
bool portOut(Cpu& cpu, uint16_t port, T value) {
  if (!mayUsePort(cpu, port, sizeof(T))) return false;
  if (cpu.watchesData) watchPort(cpu, port, sizeof(T));
  spend(cpu, kDeviceTicks);
  return cpu.platform->portWrite(port, sizeof(T), 1, &value) || portFailed(cpu);
}

/** Ports have no 64-bit accesses: that size is the 32-bit one. */
template <typename T>
using PortType = std::conditional_t<sizeof(T) == 8, uint32_t, T>;

template <typename T>
bool ins(Cpu& cpu, const MicroOp& op) {
  using P = PortType<T>;
  const auto port = readGpr<uint16_t>(cpu, RDX);
  const auto once = [&] {
    P value;
    const uint64_t offset = cpu.gpr[RDI] & op.addressMask;
    // The memory must take the data before the port gives it up.
    if (!mayUsePort(cpu, port, sizeof(P)) || !probeWrite(cpu, ES, offset, sizeof(P)) || !portIn<P>(cpu, port, value) ||
        !store<P>(cpu, ES, offset, value)) {
      return false;
    }
    advance(cpu, RDI, op.addressMask, strideOf(cpu, sizeof(P)));
    return true;
  };
  return repeated<false>(cpu, op, once, [&](uint64_t items) -> uint64_t {
    uint8_t* target = plain<P>(cpu, ES, cpu.gpr[RDI] & op.addressMask, op.addressMask, true, items);
    if (target == nullptr || !freePort(cpu)) return 0;
    spend(cpu, items * kDeviceTicks);
    if (!cpu.platform->portRead(port, sizeof(P), static_cast<unsigned>(items), target)) return portFailed(cpu);
    advance(cpu, RDI, op.addressMask, static_cast<int64_t>(items * sizeof(P)));
    return items;
  });
}
VTKIT_SIZED(ins);

template <typename T>
bool outs(Cpu& cpu, const MicroOp& op) {
  using P = PortType<T>;
  const auto port = readGpr<uint16_t>(cpu, RDX);
  const auto once = [&] {
    P value;
    if (!mayUsePort(cpu, port, sizeof(P)) || !load<P>(cpu, op.segment, cpu.gpr[RSI] & op.addressMask, value) ||
        !portOut<P>(cpu, port, value)) {
      return false;
    }
    advance(cpu, RSI, op.addressMask, strideOf(cpu, sizeof(P)));
    return true;
  };
  return repeated<false>(cpu, op, once, [&](uint64_t items) -> uint64_t {
    const uint8_t* source = plain<P>(cpu, op.segment, cpu.gpr[RSI] & op.addressMask, op.addressMask, false, items);
    if (source == nullptr || !freePort(cpu)) return 0;
    spend(cpu, items * kDeviceTicks);
    if (!cpu.platform->portWrite(port, sizeof(P), static_cast<unsigned>(items), source)) return portFailed(cpu);
    advance(cpu, RSI, op.addressMask, static_cast<int64_t>(items * sizeof(P)));
    return items;
  });
}
VTKIT_SIZED(outs);

template <typename T>
bool in(Cpu& cpu, uint16_t port) {
  using P = PortType<T>;
  P value;
  if (!portIn<P>(cpu, port, value)) return false;
  writeGpr<P>(cpu, RAX, value);
  return true;
}
template <typename T>
bool inImm(Cpu& cpu, const MicroOp& op) {
  return in<T>(cpu, static_cast<uint8_t>(op.immediate));
}
VTKIT_SIZED(inImm);
template <typename T>
bool inDx(Cpu& cpu, const MicroOp&) {
  return in<T>(cpu, readGpr<uint16_t>(cpu, RDX));
}
VTKIT_SIZED(inDx);
template <typename T>
bool outImm(Cpu& cpu, const MicroOp& op) {
  using P = PortType<T>;
  return portOut<P>(cpu, static_cast<uint8_t>(op.immediate), readGpr<P>(cpu, RAX));
}
VTKIT_SIZED(outImm);
template <typename T>
bool outDx(Cpu& cpu, const MicroOp&) {
  using P = PortType<T>;
  return portOut<P>(cpu, readGpr<uint16_t>(cpu, RDX), readGpr<P>(cpu, RAX));
}
VTKIT_SIZED(outDx);

}  // namespace

const Handlers kMovs = kString<movsFamily>, kCmps = kString<cmpsFamily>, kStos = kString<stosFamily>,
               kLods = kString<lodsFamily>, kScas = kString<scasFamily>, kIns = kString<insFamily>,
               kOuts = kString<outsFamily>, kInImm = kReaching<inImmFamily>, kInDx = kReaching<inDxFamily>,
               kOutImm = kReaching<outImmFamily>, kOutDx = kReaching<outDxFamily>;

}  // namespace vtkit::emulator
