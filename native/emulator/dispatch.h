// Dispatch: how one micro-op follows another. What they mean stands in the execute-*.cc files.
#pragma once

#include "emulator/blocks.h"
#include "emulator/micro-op.h"

namespace vtkit::emulator {

inline Flow next(Cpu& cpu, const MicroOp* op) {
#ifdef VTKIT_PLAIN_DISPATCH
  (void)cpu;
  return op;
#else
  return op->run(cpu, op);
#endif
}

inline Flow leave() {
#ifdef VTKIT_PLAIN_DISPATCH
  return nullptr;
#endif
}

VTKIT_HOT inline void synchronise(Cpu& cpu, const MicroOp* op) {
  cpu.rip() = (cpu.rip() + op->end) & cpu.ipMask;
  cpu.current = nullptr;
}

// Leaving with RIP at an instruction that was not done, or behind one that was: seldom, so out of the handlers' way.

__attribute__((noinline, cold)) inline Flow refuse(Cpu& cpu, const MicroOp* op) {
  cpu.rip() = (cpu.rip() + op->end - op->length) & cpu.ipMask;
  cpu.vmx.instructionBytes = op->length;
  cpu.instructions -= op->rest + 1u;
  return leave();
}

__attribute__((noinline, cold)) inline Flow refuseEnding(Cpu& cpu, const MicroOp* op) {
  if (cpu.halted || cpu.taskSwitched) return leave();  // HLT or a task switch is done: RIP stands where it goes on
  cpu.rip() = (cpu.rip() - op->length) & cpu.ipMask;
  cpu.vmx.instructionBytes = op->length;
  cpu.instructions--;
  return leave();
}

__attribute__((noinline, cold)) inline Flow leaveBehind(Cpu& cpu, const MicroOp* op) {
  synchronise(cpu, op);
  cpu.instructions -= op->rest;
  return leave();
}

/** The linear address of RIP. */
inline uint64_t codeAddress(const Cpu& cpu) {
  const uint64_t linear = cpu.codeBase + cpu.rip();
  return cpu.codeBase != 0 ? static_cast<uint32_t>(linear) : linear;
}
inline bool leadsTo(const Jump& jump, const Cpu& cpu, uint64_t linear) {
  return jump.linear == linear && jump.state == cpu.codeState;
}

VTKIT_HOT inline Flow enter(Cpu& cpu, Block* block) {
  const uint64_t instructions = cpu.instructions + block->count;
  if (instructions > cpu.deadline.load(std::memory_order_relaxed)) return leave();
  cpu.instructions = instructions;
  cpu.block = block;
  return next(cpu, block->ops.data());
}

/** Goes on at RIP by one of the running block's two ways out. */
VTKIT_HOT inline Flow follow(Cpu& cpu, unsigned way) {
  const Jump& jump = cpu.block->ways[way];
  if (!leadsTo(jump, cpu, codeAddress(cpu))) {
    cpu.way = static_cast<uint8_t>(1 + way);
    return leave();
  }
  return enter(cpu, jump.block);
}

/** Goes on at RIP, wherever that may be. */
VTKIT_HOT inline Flow wander(Cpu& cpu) {
  const uint64_t linear = codeAddress(cpu);
  const Jump& jump = cpu.jumps[jumpSlot(linear)];
  return leadsTo(jump, cpu, linear) ? enter(cpu, jump.block) : leave();
}

// The handlers. RIP stands at the start of the block until something needs it.

/** Touches nothing but general registers and flags. */
template <Semantics Run>
Flow simple(Cpu& cpu, const MicroOp* op) {
  if (!Run(cpu, *op)) return refuse(cpu, op);
  return next(cpu, op + 1);
}

/** May touch memory or modes, and so the code itself. */
template <Semantics Run>
Flow reaching(Cpu& cpu, const MicroOp* op) {
  cpu.current = op;
  if (!Run(cpu, *op)) return refuse(cpu, op);
  if (__builtin_expect(cpu.leaveBlock, false)) return leaveBehind(cpu, op);
  return next(cpu, op + 1);
}

/** Reads or writes RIP; the run loop looks around afterwards. Ends its block. */
template <Semantics Run>
Flow ending(Cpu& cpu, const MicroOp* op) {
  synchronise(cpu, op);
  if (!Run(cpu, *op)) return refuseEnding(cpu, op);
  return leave();
}

/** A jump with at most one target beside the next instruction. Ends its block. */
template <Semantics Run>
Flow branching(Cpu& cpu, const MicroOp* op) {
  synchronise(cpu, op);
  const uint64_t behind = cpu.rip();
  if (!Run(cpu, *op)) return refuseEnding(cpu, op);
  return follow(cpu, cpu.rip() != behind);
}

/** A jump to anywhere. Ends its block. */
template <Semantics Run>
Flow wandering(Cpu& cpu, const MicroOp* op) {
  synchronise(cpu, op);
  if (!Run(cpu, *op)) return refuseEnding(cpu, op);
  return wander(cpu);
}

/** What stands behind the last instruction of a block that none of the above ends. */
inline Flow fallThrough(Cpu& cpu, const MicroOp* op) {
  synchronise(cpu, op);
  return follow(cpu, 0);
}

inline Flow stopBehind(Cpu& cpu, const MicroOp* op) {
  synchronise(cpu, op);
  return leave();
}

#ifdef VTKIT_COUNT_OPCODES
/** An instruction came to its end: four times its row's number, and 1 or 2 with VEX of 128 or 256 bits. */
void countOpcode(unsigned counted);
#endif

/** Runs a block and what follows it, until something other than code comes next. */
inline void execute(Cpu& cpu, Block& block) {
  cpu.leaveBlock = false;
  cpu.instructions += block.count;
  cpu.block = &block;
  cpu.way = 0;
  const MicroOp* op = block.ops.data();
#if defined(VTKIT_COUNT_OPCODES)
  while (op != nullptr) {
    const unsigned counted = op->counted;
    op = op->run(cpu, op);
    if (!cpu.fault.pending && !cpu.unknown) countOpcode(counted);
  }
#elif defined(VTKIT_PLAIN_DISPATCH)
  while (op != nullptr) op = op->run(cpu, op);
#else
  op->run(cpu, op);
#endif
  cpu.current = nullptr;
}

/** Ticks of the time stamp counter, without what software added to it. */
inline uint64_t ticksOf(const Cpu& cpu) {
  // Instructions are counted when their block is entered.
  return cpu.timeBase + cpu.instructions - (cpu.current == nullptr ? 0 : cpu.current->rest);
}

/** Time that an instruction takes beside its own tick; the run loop looks at the timers behind it. */
inline void spend(Cpu& cpu, uint64_t ticks) {
  cpu.timeBase += ticks;
  cpu.deadline.store(0);
  cpu.leaveBlock = true;
}
/** Of the order of a PC's: an access to a device, about a microsecond; what waits for all instructions before it. */
inline constexpr uint64_t kDeviceTicks = 1000, kSerialTicks = 100;

/** The address behind the instruction that is executed, or RIP between two. */
inline uint64_t nextRip(const Cpu& cpu) {
  return cpu.current == nullptr ? cpu.gpr[kRip] : (cpu.gpr[kRip] + cpu.current->end) & cpu.ipMask;
}

}  // namespace vtkit::emulator
