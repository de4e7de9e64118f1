// The run loop of an emulated processor.
#include "emulator/emulator.h"

#include <algorithm>

#include "emulator/breakpoints.h"
#include "emulator/mmu.h"
#include "emulator/system.h"

namespace vtkit::emulator {

Emulator::Emulator(memory::GuestMemory& memory, Platform& platform) : cpu_(new Cpu()), cpuid_(defaultCpuid()) {
  cpu_->memory = &memory;
  cpu_->platform = &platform;
  cpu_->blocks = &blocks_;
  cpu_->cpuid = &cpuid_;
  reset();
}

void Emulator::reset() {
  Cpu& cpu = *cpu_;
  cpu.rflags = 2;
  cpu.rip() = 0xfff0;
  cpu.gpr[RDX] = 0x306c3;
  for (unsigned seg = ES; seg <= GS; seg++) {
    cpu.seg[seg] = {};
    cpu.seg[seg].limit = 0xffff;
    cpu.seg[seg].present = cpu.seg[seg].s = 1;
    cpu.seg[seg].type = 3;
  }
  cpu.seg[CS].selector = 0xf000;
  cpu.seg[CS].base = 0xffff0000;
  cpu.seg[CS].type = 0xb;
  for (const unsigned seg : {LDTR, TR}) {
    cpu.seg[seg] = {};
    cpu.seg[seg].limit = 0xffff;
    cpu.seg[seg].present = 1;
    cpu.seg[seg].type = seg == TR ? 0xb : 2;
  }
  cpu.gdt.limit = cpu.idt.limit = 0xffff;
  cpu.cr0 = 0x60000010;
  cpu.dr6 = 0xffff0ff0;
  cpu.dr7 = 0x400;
  cpu.pat = 0x0007040600070406;
  cpu.apicBase = 0xfee00900;
  cpu.fpu.fcw = 0x37f;
  cpu.fpu.mxcsr = 0x1f80;
  cpu.queuedVector = -1;
  flushTlb(cpu);
  updateMode(cpu);
}

bool Emulator::interrupt(uint8_t vector) {
  if (cpu_->queuedVector >= 0) return false;
  cpu_->queuedVector = vector;
  attention(kInterrupt);
  return true;
}

/** Raises #DB for an execution breakpoint at RIP, unless RF says that it has been. */
bool Emulator::stopsBefore() {
  Cpu& cpu = *cpu_;
  const unsigned hits =
      (cpu.rflags & kRf) != 0 ? 0 : codeBreakpoints(cpu, cpu.code64() ? cpu.rip() : cpu.seg[CS].base + cpu.rip());
  if (hits == 0) return false;
  cpu.dr6 |= hits;
  raise(cpu, kDb);
  deliverFault(cpu);
  return true;
}

/** Delivers an interrupt if one waits and the processor takes it. True if it did. */
bool Emulator::takeInterrupt() {
  Cpu& cpu = *cpu_;
  if ((cpu.attention.load() & kNmi) != 0 && !cpu.nmiMasked) {
    cpu.attention.fetch_and(~uint32_t{kNmi});
    cpu.nmiMasked = true;
    if (!deliver(cpu, 2, Source::hardware, false, 0)) deliverFault(cpu);
    return true;
  }
  if ((flags(cpu) & kIf) == 0) return false;
  int vector = cpu.queuedVector;
  if (vector >= 0) {
    cpu.queuedVector = -1;
  } else {
    // Cleared before asking: a line that rises meanwhile sets it again.
    cpu.attention.fetch_and(~uint32_t{kInterrupt});
    if (!cpu.platform->interruptAsserted()) return false;
    vector = cpu.platform->acknowledgeInterrupt();
    attention(kInterrupt);  // there may be more
    if (vector < 0) return false;
  }
  if (!deliver(cpu, static_cast<uint8_t>(vector), Source::hardware, false, 0)) deliverFault(cpu);
  return true;
}

bool Emulator::advance(bool single) {
  Cpu& cpu = *cpu_;
  const bool resumes = (cpu.rflags & kRf) != 0;
  const unsigned way = cpu.way;
  Block* const from = cpu.block;
  Block* const block = single ? blocks_.one(cpu) : blocks_.at(cpu);
  if (block == nullptr) return false;
  if (single) {
    cpu.deadline.store(0, std::memory_order_relaxed);  // no block is entered behind it
  } else {
    const Jump found = {jumpKey(cpu), block};
    cpu.jumps[jumpSlot(found.key)] = found;
    // Decoding may have dropped the block that the way leads out of: it is 0 then.
    if (way != 0 && cpu.way == way) from->ways[way - 1] = found;
  }
  execute(cpu, *block);
  const bool stopped = cpu.fault.pending || cpu.unknown || cpu.halted || cpu.closing;
  if (resumes && !stopped) cpu.rflags &= ~kRf;
  return !stopped;
}

Emulator::Stop Emulator::run() {
  Cpu& cpu = *cpu_;
  cpu.halted = cpu.unknown = cpu.shutdown = cpu.closing = false;
  for (;;) {
    // Whatever was delivered last may have ended it all.
    if (cpu.closing) return Stop::closing;
    if (cpu.shutdown) return Stop::shutdown;
    if (cpu.unknown) return Stop::unknownInstruction;
    // Set before looking: who wants attention meanwhile clears it again.
    if (cpu.deadline.load(std::memory_order_relaxed) == 0) cpu.deadline.store(limit_);
    const uint32_t attention = cpu.attention.load();
    if (attention != 0) {
      if ((attention & kStop) != 0) {
        cpu.attention.fetch_and(~uint32_t{kStop});
        return Stop::attention;
      }
      if (!cpu.shadow && takeInterrupt()) continue;
    }
    if (cpu.instructions >= limit_) return Stop::attention;
    const uint64_t changes = cpu.memory->externalChanges();
    if (changes != seenChanges_) {
      seenChanges_ = changes;
      blocks_.clear(cpu);
      flushTlb(cpu);
    }

    const bool traps = (cpu.rflags & kTf) != 0;
    // One instruction, too, where RF covers just the next, and where a block might pass the limit.
    const bool single = traps || cpu.shadow || cpu.singleStep || cpu.watchesCode || cpu.watchesData ||
                        (cpu.rflags & kRf) != 0 || limit_ - cpu.instructions < kMaxOps;
    if (cpu.watchesCode && stopsBefore()) continue;
    cpu.dataHits = 0;
    const bool done = advance(single);
    blocks_.sweep(cpu);
    cpu.shadow = cpu.shadowNext;
    cpu.shadowNext = false;
    if (!done) {
      if (cpu.fault.pending) deliverFault(cpu);
      if (cpu.halted) {
        cpu.shadow = false;
        return Stop::halted;
      }
    } else if ((traps || cpu.dataHits != 0) && !cpu.trapBlocked) {
      cpu.dr6 |= (traps ? kDr6Single : 0) | cpu.dataHits;
      raise(cpu, kDb);
      deliverFault(cpu);
    }
    cpu.trapBlocked = false;
    const bool ended = cpu.closing || cpu.shutdown || cpu.unknown;
    if (cpu.singleStep && !ended) return Stop::stepped;
  }
}

unsigned Emulator::unknownBytes(uint8_t* to, unsigned most, uint64_t& linear) {
  Cpu& cpu = *cpu_;
  linear = cpu.code64() ? cpu.rip() : static_cast<uint32_t>(cpu.seg[CS].base + cpu.rip());
  const Fault kept = cpu.fault;
  const uint64_t cr2 = cpu.cr2;
  unsigned count = 0;
  while (count < most) {
    uint64_t physical;
    if (!translate(cpu, linear + count, Access::read, false, physical)) break;
    const uint8_t* host = cpu.memory->at(physical, 1);
    if (host == nullptr) break;
    to[count++] = *host;
  }
  cpu.fault = kept;
  cpu.cr2 = cr2;
  return count;
}

}  // namespace vtkit::emulator
