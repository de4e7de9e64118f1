// String instructions and port I/O (SDM Vol. 1, 7.3.9, chapter 19).
#include <algorithm>

#include "emulator/families.h"
#include "emulator/system.h"

namespace vtkit::emulator {

namespace {

/** Iterations of one repeated instruction before RIP stays and interrupts get their turn. */
constexpr unsigned kBurst = 4096;

void advance(Cpu& cpu, unsigned index, uint64_t mask, int64_t by) {
  const uint64_t value = (cpu.gpr[index] + static_cast<uint64_t>(by)) & mask;
  cpu.gpr[index] = mask == 0xffff ? (cpu.gpr[index] & ~mask) | value : value;
}

int64_t strideOf(Cpu& cpu, unsigned bytes) { return (cpu.rflags & kDf) != 0 ? -static_cast<int64_t>(bytes) : bytes; }

/**
 * Repeats `once` as the prefix says. An iteration that faults leaves the registers of the iterations before it; RIP
 * goes back to the instruction, so that what is left is done after the handler, or after an interrupt.
 */
template <bool Compares, typename Once>
bool repeated(Cpu& cpu, const MicroOp& op, Once once) {
  if (op.repeat == 0) return once();
  for (unsigned i = 0; i < kBurst; i++) {
    if ((cpu.gpr[RCX] & op.addressMask) == 0) return true;
    if (!once()) return false;
    advance(cpu, RCX, op.addressMask, -1);
    if (Compares && zf(cpu) != (op.repeat == 0xf3)) return true;
    if (cpu.attention.load(std::memory_order_relaxed) != 0 || cpu.dataHits != 0) break;
  }
  if ((cpu.gpr[RCX] & op.addressMask) != 0) cpu.rip() = (cpu.rip() - op.length) & cpu.ipMask;
  return true;
}

template <typename T>
bool movs(Cpu& cpu, const MicroOp& op) {
  return repeated<false>(cpu, op, [&] {
    T value;
    if (!load<T>(cpu, op.segment, cpu.gpr[RSI] & op.addressMask, value) ||
        !store<T>(cpu, ES, cpu.gpr[RDI] & op.addressMask, value)) {
      return false;
    }
    const int64_t stride = strideOf(cpu, sizeof(T));
    advance(cpu, RSI, op.addressMask, stride);
    advance(cpu, RDI, op.addressMask, stride);
    return true;
  });
}
VTKIT_SIZED(movs);

template <typename T>
void compare(Cpu& cpu, T a, T b) {
  keepFlags<T>(cpu, LazyFlags::sub, a, b, static_cast<T>(a - b));
}

template <typename T>
bool cmps(Cpu& cpu, const MicroOp& op) {
  return repeated<true>(cpu, op, [&] {
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
  });
}
VTKIT_SIZED(cmps);

template <typename T>
bool stos(Cpu& cpu, const MicroOp& op) {
  return repeated<false>(cpu, op, [&] {
    if (!store<T>(cpu, ES, cpu.gpr[RDI] & op.addressMask, readGpr<T>(cpu, RAX))) return false;
    advance(cpu, RDI, op.addressMask, strideOf(cpu, sizeof(T)));
    return true;
  });
}
VTKIT_SIZED(stos);

template <typename T>
bool lods(Cpu& cpu, const MicroOp& op) {
  return repeated<false>(cpu, op, [&] {
    T value;
    if (!load<T>(cpu, op.segment, cpu.gpr[RSI] & op.addressMask, value)) return false;
    writeGpr<T>(cpu, RAX, value);
    advance(cpu, RSI, op.addressMask, strideOf(cpu, sizeof(T)));
    return true;
  });
}
VTKIT_SIZED(lods);

template <typename T>
bool scas(Cpu& cpu, const MicroOp& op) {
  return repeated<true>(cpu, op, [&] {
    T value;
    if (!load<T>(cpu, ES, cpu.gpr[RDI] & op.addressMask, value)) return false;
    compare<T>(cpu, readGpr<T>(cpu, RAX), value);
    advance(cpu, RDI, op.addressMask, strideOf(cpu, sizeof(T)));
    return true;
  });
}
VTKIT_SIZED(scas);

// Ports
// ------------------------------------------------------------------------------------------------------------------

bool portFailed(Cpu& cpu) {
  cpu.closing = true;
  return false;
}

template <typename T>
bool portIn(Cpu& cpu, uint16_t port, T& value) {
  if (!mayUsePort(cpu, port, sizeof(T))) return false;
  return cpu.platform->portRead(port, sizeof(T), 1, &value) || portFailed(cpu);
}

template <typename T>
bool portOut(Cpu& cpu, uint16_t port, T value) {
  if (!mayUsePort(cpu, port, sizeof(T))) return false;
  return cpu.platform->portWrite(port, sizeof(T), 1, &value) || portFailed(cpu);
}

/** Ports have no 64-bit accesses: that size is the 32-bit one. */
template <typename T>
using PortType = std::conditional_t<sizeof(T) == 8, uint32_t, T>;

template <typename T>
bool ins(Cpu& cpu, const MicroOp& op) {
  using P = PortType<T>;
  return repeated<false>(cpu, op, [&] {
    P value;
    const uint64_t offset = cpu.gpr[RDI] & op.addressMask;
    // The memory must take the data before the port gives it up.
    if (!mayUsePort(cpu, readGpr<uint16_t>(cpu, RDX), sizeof(P)) || !probeWrite(cpu, ES, offset, sizeof(P)) ||
        !portIn<P>(cpu, readGpr<uint16_t>(cpu, RDX), value) || !store<P>(cpu, ES, offset, value)) {
      return false;
    }
    advance(cpu, RDI, op.addressMask, strideOf(cpu, sizeof(P)));
    return true;
  });
}
VTKIT_SIZED(ins);

template <typename T>
bool outs(Cpu& cpu, const MicroOp& op) {
  using P = PortType<T>;
  return repeated<false>(cpu, op, [&] {
    P value;
    if (!mayUsePort(cpu, readGpr<uint16_t>(cpu, RDX), sizeof(P)) ||
        !load<P>(cpu, op.segment, cpu.gpr[RSI] & op.addressMask, value) ||
        !portOut<P>(cpu, readGpr<uint16_t>(cpu, RDX), value)) {
      return false;
    }
    advance(cpu, RSI, op.addressMask, strideOf(cpu, sizeof(P)));
    return true;
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
