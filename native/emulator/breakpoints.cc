// Breakpoints in debug registers.
#include "emulator/breakpoints.h"

#include "emulator/mmu.h"

namespace vtkit::emulator {

namespace {

enum Condition : unsigned { kExecute = 0, kWrite = 1, kPort = 2, kAccess = 3 };

bool enabled(uint64_t dr7, unsigned index) { return (dr7 >> (2 * index) & 3) != 0; }
unsigned conditionOf(uint64_t dr7, unsigned index) { return dr7 >> (16 + 4 * index) & 3; }
unsigned bytesOf(uint64_t dr7, unsigned index) {
  constexpr unsigned kBytes[] = {1, 2, 8, 4};
  return kBytes[dr7 >> (18 + 4 * index) & 3];
}

}  // namespace

void updateBreakpoints(Cpu& cpu) {
  cpu.watchesCode = cpu.watchesData = false;
  for (unsigned i = 0; i < 4; i++) {
    if (!enabled(cpu.dr7, i)) continue;
    const unsigned condition = conditionOf(cpu.dr7, i);
    cpu.watchesCode = cpu.watchesCode || condition == kExecute;
    cpu.watchesData = cpu.watchesData || condition == kWrite || condition == kAccess ||
                      (condition == kPort && (cpu.cr4 & kCr4De) != 0);
  }
  flushTlb(cpu);  // watched accesses go the slow way
  cpu.leaveBlock = true;
}

unsigned codeBreakpoints(const Cpu& cpu, uint64_t linear) {
  unsigned hits = 0;
  for (unsigned i = 0; i < 4; i++) {
    if (enabled(cpu.dr7, i) && conditionOf(cpu.dr7, i) == kExecute && cpu.dr[i] == linear) hits |= 1u << i;
  }
  return hits;
}

bool raiseDebug(Cpu& cpu, uint64_t conditions) {
  cpu.vmx.debugConditions = conditions;
  cpu.vmx.dr6Before = cpu.dr6;
  cpu.dr6 = (cpu.dr6 & ~uint64_t{15}) | conditions;
  return raise(cpu, kDb);
}

void watchData(Cpu& cpu, uint64_t linear, unsigned bytes, bool write) {
  for (unsigned i = 0; i < 4; i++) {
    const unsigned condition = conditionOf(cpu.dr7, i);
    if (!enabled(cpu.dr7, i) || (condition != kAccess && !(condition == kWrite && write))) continue;
    const unsigned length = bytesOf(cpu.dr7, i);
    const uint64_t start = cpu.dr[i] & ~uint64_t{length - 1};  // the processor aligns what it compares
    if (linear < start + length && start < linear + bytes) cpu.dataHits = static_cast<uint8_t>(cpu.dataHits | 1u << i);
  }
}

void watchPort(Cpu& cpu, uint16_t port, unsigned bytes) {
  for (unsigned i = 0; i < 4; i++) {
    if (!enabled(cpu.dr7, i) || conditionOf(cpu.dr7, i) != kPort || (cpu.cr4 & kCr4De) == 0) continue;
    const unsigned length = bytesOf(cpu.dr7, i);
    const uint64_t start = cpu.dr[i] & ~uint64_t{length - 1};
    if (port < start + length && start < port + bytes) cpu.dataHits = static_cast<uint8_t>(cpu.dataHits | 1u << i);
  }
}

}  // namespace vtkit::emulator
