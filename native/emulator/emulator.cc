// The run loop of an emulated processor.
#include "emulator/emulator.h"

#include <algorithm>

#include "emulator/breakpoints.h"
#include "emulator/host-float.h"
#include "emulator/mmu.h"
#include "emulator/system.h"
#include "emulator/vmx/outside.h"
#include "emulator/vmx/virtual-apic.h"

namespace vtkit::emulator {

uint64_t Emulator::ticks() const { return ticksOf(*cpu_); }

void Emulator::advanceTo(uint64_t tick) {
  const uint64_t now = ticks();
  if (tick > now) cpu_->timeBase += tick - now;
}

void Emulator::send(const bus::InterruptMessage& message, bool others) {
  if (cpu_->platform->send(message, others)) return;
  if (!others && apic_.matches(message)) apic_.accept(message);
}

uint64_t Emulator::nextEvent() const {
  return cpu_->guest ? std::min(apic_.nextEvent(), cpu_->vmx.preemptionTick) : apic_.nextEvent();
}

bool Emulator::interruptible() const { return (cpu_->guest || (cpu_->rflags & kIf) != 0) && !cpu_->waits; }

bool Emulator::wakes() {
  Cpu& cpu = *cpu_;
  if (cpu.guest) return guestWakes();
  if (signalWakes()) return true;
  if (cpu.waits) return false;
  if (cpu.nmis.load() != 0 && !cpu.nmiMasked) return true;
  if ((flags(cpu) & kIf) == 0) return false;
  return interruptWaits();
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
  raiseDebug(cpu, hits);
  deliverFault(cpu);
  return true;
}

/** The vector of the next interrupt, taken from where it waits, or -1. */
int Emulator::nextVector() {
  Cpu& cpu = *cpu_;
  if (cpu.queuedVector >= 0) {
    const int queued = cpu.queuedVector;
    cpu.queuedVector = -1;
    return queued;
  }
  // Cleared before asking: a line that rises meanwhile sets it again.
  cpu.attention.fetch_and(~uint32_t{kInterrupt});
  if (apic_.takesExternal() && cpu.platform->interruptAsserted()) {
    const int vector = cpu.platform->acknowledgeInterrupt();
    attention(kInterrupt);  // there may be more
    if (vector >= 0) return vector;
  }
  const int vector = apic_.pending();
  if (vector >= 0) {
    apic_.acknowledge(vector);
    attention(kInterrupt);
  }
  return vector;
}

/** Asks for no look at NMIs where none waits. Most often nobody did. */
void Emulator::forgetNmi() {
  Cpu& cpu = *cpu_;
  if ((cpu.attention.load(std::memory_order_relaxed) & kNmi) == 0 || cpu.nmis.load() != 0) return;
  cpu.attention.fetch_and(~uint32_t{kNmi});
  if (cpu.nmis.load() != 0) cpu.attention.fetch_or(kNmi);  // one came meanwhile
}

/** Delivers an interrupt if one waits and the processor takes it. True if it did. */
bool Emulator::takeInterrupt() {
  Cpu& cpu = *cpu_;
  int vector;
  if (cpu.nmis.load() != 0 && !cpu.nmiMasked) {
    cpu.nmis--;
    cpu.nmiMasked = true;
    vector = 2;
  } else {
    forgetNmi();
    if ((flags(cpu) & kIf) == 0) return false;
    vector = nextVector();
    if (vector < 0) return false;
  }
  if (!deliver(cpu, static_cast<uint8_t>(vector), Source::hardware, false, 0)) deliverFault(cpu);
  return true;
}

/** The bytes are taken before: the instruction may change them. Of a string instruction, the last iteration counts. */
void Emulator::executeTraced(Block& block) {
  Cpu& cpu = *cpu_;
  const uint64_t before = cpu.instructions;
  Executed instruction;
  instruction.rip = cpu.rip();
  instruction.bits = cpu.codeBits;
  instruction.length = static_cast<uint8_t>(block.bytes);
  const uint64_t here = std::min<uint64_t>(block.bytes, 0x1000 - (block.physical & 0xfff));
  cpu.memory->read(block.physical, instruction.bytes, here);
  if (here < block.bytes) cpu.memory->read(block.nextPage, instruction.bytes + here, block.bytes - here);
  execute(cpu, block);
  if (cpu.instructions != before) cpu.platform->executed(instruction);
}

bool Emulator::advance(bool single, uint64_t room) {
  Cpu& cpu = *cpu_;
  // RF covers one instruction. Where no breakpoint could ask, it is over before: a fault sets it again.
  if (!cpu.watchesCode) cpu.rflags &= ~kRf;
  const bool resumes = (cpu.rflags & kRf) != 0;
  const unsigned way = cpu.way;
  Block* const from = cpu.block;
  Block* block = single ? blocks_.one(cpu) : blocks_.at(cpu);
  // Where runs end and timers ring is exact to the instruction: it does not depend on how code fell into blocks.
  if (!single && block != nullptr && block->count > room) {
    single = true;
    block = blocks_.one(cpu);
  }
  if (block == nullptr) return false;
  if (single) {
    cpu.deadline.store(0, std::memory_order_relaxed);  // no block is entered behind it
  } else {
    const Jump found = {codeAddress(cpu), cpu.codeState, block};
    cpu.jumps[jumpSlot(found.linear)] = found;
    // Decoding may have dropped the block that the way leads out of: it is 0 then.
    if (way != 0 && cpu.way == way) from->ways[way - 1] = found;
  }
  if (traces_.load(std::memory_order_relaxed)) {
    executeTraced(*block);
  } else {
    execute(cpu, *block);
  }
  const bool stopped = cpu.fault.pending || cpu.unknown || cpu.halted || cpu.closing;
  if (resumes && !stopped) cpu.rflags &= ~kRf;
  return !stopped;
}

/** The instruction at which run() has to look around: the limit, the APIC's timer or the end of the turn. */
uint64_t Emulator::horizon(uint64_t turnEnd) const {
  const uint64_t tick = std::min(turnEnd, nextEvent());
  return tick == kNever ? limit_ : std::min(limit_, std::max<uint64_t>(tick, cpu_->timeBase + 1) - cpu_->timeBase);
}

/** Traps behind an instruction: TF, and breakpoints on what it touched. MOV SS holds them back. */
void Emulator::trapBehind(bool steps) {
  Cpu& cpu = *cpu_;
  if (cpu.trapBlocked) return;
  const uint64_t conditions = cpu.dataHits | (steps ? kDr6Single : 0) | (cpu.taskTraps ? kDr6Task : 0);
  cpu.dataHits = 0;
  cpu.stepNow = cpu.taskTraps = false;
  if (conditions == 0) return;
  if (cpu.vmx.monitorTrapDue || cpu.vmx.trapDue) {  // which come before them
    cpu.vmx.pendingDebug = conditions;
    return;
  }
  raiseDebug(cpu, conditions);
  deliverFault(cpu);
}

/** What an instruction, or a VM entry, asked for the boundary behind it. */
void Emulator::passBoundary() {
  Cpu& cpu = *cpu_;
  cpu.shadow = cpu.shadowNext;
  cpu.shadowNext = false;
  cpu.vmx.blockedByMovSs = cpu.trapBlocked;
}

Emulator::Stop Emulator::run(const uint64_t& turnEnd) {
  setHostMxcsr(kMxcsrReset);
  const Stop stop = goOn(turnEnd);
  collectFlags(*cpu_);
  return stop;
}

bool Emulator::enter() {
  if (!cpu_->vmx.entryAsked) return true;
  entryError_ = vmx::enterFromOutside(*cpu_);
  if (entryError_ != 0 || vmx::leftForOutside(*cpu_)) return false;
  passBoundary();
  return true;
}

Emulator::Stop Emulator::goOn(const uint64_t& turnEnd) {
  Cpu& cpu = *cpu_;
  cpu.halted = cpu.unknown = cpu.shutdown = cpu.closing = false;
  cpu.deadline.store(0);
  if (!enter()) return Stop::left;
  for (;;) {
    // Whatever was delivered last may have ended it all.
    if (cpu.closing) return Stop::closing;
    if (cpu.shutdown) return Stop::shutdown;
    if (vmx::leftForOutside(cpu)) return Stop::left;
    if (cpu.unknown) return Stop::unknownInstruction;
    // Set before looking: who wants attention meanwhile clears it again.
    if (cpu.deadline.load(std::memory_order_relaxed) == 0) cpu.deadline.store(horizon(turnEnd));
    const uint32_t attention = cpu.attention.load();
    if (attention != 0) {
      if ((attention & kStop) != 0) {
        cpu.attention.fetch_and(~uint32_t{kStop});
        return Stop::attention;
      }
      if ((attention & kInit) != 0) takeInit();
      if (!cpu.guest && !cpu.waits && !cpu.shadow && takeInterrupt()) continue;
    }
    if (cpu.guest) {
      if (takeGuestEvent()) continue;
      if (cpu.vmx.activity != vmx::Activity::active) return Stop::halted;
    }
    if (cpu.waits) return Stop::waiting;
    if (cpu.taskTraps) {
      trapBehind(false);
      continue;
    }
    const uint64_t now = ticks();
    if (now >= apic_.nextEvent()) {
      apic_.expire();
      continue;
    }
    if (cpu.instructions >= limit_) return Stop::attention;
    if (now >= turnEnd || cpu.pauses) {
      cpu.pauses = false;
      cpu.pauseCount = 0;
      if (turnEnd != kNever) return Stop::turn;
    }
    const uint64_t changes = cpu.memory->externalChanges();
    if (changes != seenChanges_) {
      seenChanges_ = changes;
      blocks_.clear(cpu);
      flushTlb(cpu);
    }

    const bool aligns = cpu.cpl == 3 && (cpu.rflags & kAc) != 0 && (cpu.cr0 & kCr0Am) != 0;
    if (aligns != cpu.checksAlignment) {
      cpu.checksAlignment = aligns;
      flushTlb(cpu);
    }

    const bool traps = (cpu.rflags & kTf) != 0;
    const bool single = traps || cpu.shadow || cpu.singleStep || breakpointExits_ || cpu.watchesCode ||
                        cpu.watchesData || cpu.vmx.monitorTrap || traces_.load(std::memory_order_relaxed);
    const uint64_t room = std::min({limit_ - cpu.instructions, nextEvent() - now, turnEnd - now});
    if (cpu.watchesCode && !cpu.trapBlocked && stopsBefore()) continue;
    if (breakpointExits_ && standsAtInt3()) return Stop::stepped;
    cpu.trapBlocked = cpu.stepTaken = cpu.vmx.unblockedNmi = false;
    const uint64_t start = cpu.rip();
    const bool guest = cpu.guest;
    bool done = advance(single, room);
    if (guest && cpu.guest) {
      cpu.vmx.monitorTrapDue = cpu.vmx.monitorTrap;
      if (cpu.vmx.apicWrite != vmx::kNoRegister) vmx::emulateApicWrite(cpu);
    }
    blocks_.sweep(cpu);
    if (cpu.halted && (cpu.dataHits != 0 || (traps && !stepsOnBranches(cpu)))) {
      cpu.halted = false;  // a debug exception that waits ends HLT at once
      done = true;
    }
    if (!done) {
      if (!cpu.fault.leaves) cpu.dataHits = 0;  // an exit saves what MOV SS held back, and the blocking
      cpu.taskSwitched = cpu.stepNow = false;
      if (cpu.fault.pending) deliverFault(cpu);
    }
    passBoundary();
    if (!done && cpu.halted) {
      cpu.shadow = false;
      if (!guest) return Stop::halted;
      cpu.halted = false;
      cpu.vmx.activity = vmx::Activity::hlt;
      continue;  // something may be due at once
    }
    if (done && (traps || cpu.dataHits != 0 || cpu.stepNow)) {
      // Under BTF only a branch that was taken traps; RIP tells, as the block was one instruction.
      const bool branched = cpu.rip() != start && cpu.rip() != start + cpu.block->bytes;
      trapBehind(cpu.stepNow || (traps && !cpu.stepTaken && (!stepsOnBranches(cpu) || branched)));
    }
    const bool ended = cpu.closing || cpu.shutdown || cpu.unknown;
    if (cpu.singleStep && !ended) return Stop::stepped;
  }
}

bool Emulator::standsAtInt3() {
  uint8_t byte = 0;
  uint64_t linear;
  return unknownBytes(&byte, 1, linear) == 1 && byte == 0xcc;
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
