// Control transfer, interrupts from software, HLT and the interrupt flag (SDM Vol. 1, 7.3.8, 6.4, 6.5).
#include "emulator/families.h"
#include "emulator/jump.h"
#include "emulator/system.h"
#include "emulator/virtual-flag.h"
#include "emulator/vmx/transitions.h"

namespace vtkit::emulator {

namespace {

template <typename T>
bool jmpRel(Cpu& cpu, const MicroOp& op) {
  return jumpTo<T>(cpu, cpu.rip() + op.immediate);
}
VTKIT_SIZED(jmpRel);
template <typename T, bool Mem>
struct JmpRm {
  static bool run(Cpu& cpu, const MicroOp& op) {
    T target;
    return readRm<T, Mem>(cpu, op, target) && jumpTo<T>(cpu, target);
  }
};

/** Pushes the return address, then jumps: the target is checked first, so that a fault leaves the stack as it was. */
template <typename T>
bool callTo(Cpu& cpu, uint64_t target) {
  const uint64_t back = cpu.rip();
  if (!jumpTo<T>(cpu, target)) return false;
  const uint64_t reached = cpu.rip();
  cpu.rip() = back;
  if (!push<T>(cpu, static_cast<T>(back))) return false;
  cpu.rip() = reached;
  return true;
}
template <typename T>
bool callRel(Cpu& cpu, const MicroOp& op) {
  return callTo<T>(cpu, cpu.rip() + op.immediate);
}
VTKIT_SIZED(callRel);
template <typename T, bool Mem>
struct CallRm {
  static bool run(Cpu& cpu, const MicroOp& op) {
    T target;
    return readRm<T, Mem>(cpu, op, target) && callTo<T>(cpu, target);
  }
};
template <typename T>
bool ret(Cpu& cpu, const MicroOp& op) {
  const uint64_t rsp = cpu.gpr[RSP];
  T target;
  if (!pop<T>(cpu, target)) return false;
  if (!jumpTo<T>(cpu, target)) {
    cpu.gpr[RSP] = rsp;
    return false;
  }
  cpu.gpr[RSP] = (cpu.gpr[RSP] & ~cpu.stackMask) | ((cpu.gpr[RSP] + op.immediate) & cpu.stackMask);
  return true;
}
VTKIT_SIZED(ret);

/** LOOP counts with the address size. */
template <typename T, int Condition>
bool loop(Cpu& cpu, const MicroOp& op) {
  const uint64_t mask = op.addressMask;
  const uint64_t count = (cpu.gpr[RCX] - 1) & mask;
  const bool taken = count != 0 && (Condition < 0 || zf(cpu) == (Condition == 1));
  if (taken && !jumpTo<T>(cpu, cpu.rip() + op.immediate)) return false;
  cpu.gpr[RCX] = mask == 0xffff ? (cpu.gpr[RCX] & ~mask) | count : count;
  return true;
}
template <int Condition>
struct Loops {
  template <typename T, bool Mem>
  struct Form {
    static bool run(Cpu& cpu, const MicroOp& op) { return loop<T, Condition>(cpu, op); }
  };
};
template <typename T>
bool jcxz(Cpu& cpu, const MicroOp& op) {
  return (cpu.gpr[RCX] & op.addressMask) != 0 || jumpTo<T>(cpu, cpu.rip() + op.immediate);
}
VTKIT_SIZED(jcxz);

bool jmpFar(Cpu& cpu, const MicroOp& op) {
  return farJump(cpu, static_cast<uint16_t>(op.immediate), static_cast<uint64_t>(op.displacement), op.operandBytes);
}
bool callFar(Cpu& cpu, const MicroOp& op) {
  return farCall(cpu, static_cast<uint16_t>(op.immediate), static_cast<uint64_t>(op.displacement), op.operandBytes);
}

template <typename T>
bool readFar(Cpu& cpu, const MicroOp& op, uint16_t& selector, uint64_t& offset) {
  T value;
  const uint64_t address = addressOf(cpu, op);
  if (!load<T>(cpu, op.segment, address, value) ||
      !load<uint16_t>(cpu, op.segment, (address + sizeof(T)) & op.addressMask, selector)) {
    return false;
  }
  offset = value;
  return true;
}
template <typename T>
bool jmpFarRm(Cpu& cpu, const MicroOp& op) {
  uint16_t selector;
  uint64_t offset;
  return readFar<T>(cpu, op, selector, offset) && farJump(cpu, selector, offset, op.operandBytes);
}
VTKIT_SIZED(jmpFarRm);
template <typename T>
bool callFarRm(Cpu& cpu, const MicroOp& op) {
  uint16_t selector;
  uint64_t offset;
  return readFar<T>(cpu, op, selector, offset) && farCall(cpu, selector, offset, op.operandBytes);
}
VTKIT_SIZED(callFarRm);

bool retFar(Cpu& cpu, const MicroOp& op) {
  return farReturn(cpu, op.operandBytes, static_cast<unsigned>(op.immediate));
}
bool iret(Cpu& cpu, const MicroOp& op) { return interruptReturn(cpu, op.operandBytes); }

/** A trap of an instruction: the handler returns behind it. A fault on the way is the instruction's. */
bool trap(Cpu& cpu, uint8_t vector, vmx::EventType type) {
  const uint64_t rsp = cpu.gpr[RSP];
  if (cpu.guest) {
    if (type != vmx::kSoftwareInterrupt && vmx::exceptionLeaves(cpu, vector, type, false, 0)) return false;
    cpu.vmx.vectoring = {vmx::eventInformation(vector, type, false), 0, cpu.vmx.instructionBytes};
  }
  const Source source = type == vmx::kPrivilegedSoftwareException ? Source::exception : Source::software;
  if (deliver(cpu, vector, source, false, 0)) return cpu.stepTaken = true;
  if (!cpu.taskSwitched) cpu.gpr[RSP] = rsp;
  return false;
}

bool intN(Cpu& cpu, const MicroOp& op) {
  const auto vector = static_cast<uint8_t>(op.immediate);
  if (cpu.v86()) {
    const Redirection redirection = redirectionOf(cpu, vector);
    if (redirection == Redirection::refused) return false;
    if (redirection == Redirection::table) return deliverThroughTable(cpu, vector) && (cpu.stepTaken = true);
    if (cpu.iopl() < 3) return gp(cpu);
  }
  return trap(cpu, vector, vmx::kSoftwareInterrupt);
}
bool int3(Cpu& cpu, const MicroOp&) { return trap(cpu, kBp, vmx::kSoftwareException); }
bool int1(Cpu& cpu, const MicroOp&) {
  // It takes along what MOV SS held back.
  cpu.vmx.debugConditions = cpu.dataHits;
  cpu.vmx.dr6Before = cpu.dr6;
  cpu.dr6 = (cpu.dr6 & ~uint64_t{15}) | cpu.dataHits;
  cpu.dataHits = 0;
  return trap(cpu, kDb, vmx::kPrivilegedSoftwareException);
}
bool into(Cpu& cpu, const MicroOp&) { return !of(cpu) || trap(cpu, kOfTrap, vmx::kSoftwareException); }

template <typename T>
bool bound(Cpu& cpu, const MicroOp& op) {
  if constexpr (sizeof(T) == 2 || sizeof(T) == 4) {
    using Signed = std::make_signed_t<T>;
    T low, high;
    const uint64_t address = addressOf(cpu, op);
    if (!load<T>(cpu, op.segment, address, low) ||
        !load<T>(cpu, op.segment, (address + sizeof(T)) & op.addressMask, high)) {
      return false;
    }
    const auto index = static_cast<Signed>(readAt<T>(cpu, op.reg));
    return index >= static_cast<Signed>(low) && index <= static_cast<Signed>(high) ? true : raise(cpu, kBr);
  }
  return raise(cpu, kUd);
}
VTKIT_SIZED(bound);

bool hlt(Cpu& cpu, const MicroOp&) {
  if (cpu.cpl != 0) return gp(cpu);
  cpu.halted = true;
  return false;
}

bool cli(Cpu& cpu, const MicroOp&) {
  if (movesVirtualFlag(cpu)) return setVirtualFlag(cpu, false);
  if (cpu.protectedMode() && cpu.cpl > cpu.iopl()) return gp(cpu);
  setFlags(cpu, kIf, 0);
  return true;
}
bool sti(Cpu& cpu, const MicroOp&) {
  if (movesVirtualFlag(cpu)) return setVirtualFlag(cpu, true);
  if (cpu.protectedMode() && cpu.cpl > cpu.iopl()) return gp(cpu);
  if ((cpu.rflags & kIf) == 0) cpu.shadowNext = true;
  setFlags(cpu, kIf, kIf);
  return true;
}

bool ud2(Cpu& cpu, const MicroOp&) { return raise(cpu, kUd); }

}  // namespace

const Handlers kJmpRel = kBranching<jmpRelFamily>, kJmpRm = kWandering<JmpRm>, kCallRel = kBranching<callRelFamily>,
               kCallRm = kWandering<CallRm>, kRet = kWandering<retFamily>, kLoop = kBranching<Loops<-1>::Form>,
               kLoope = kBranching<Loops<1>::Form>, kLoopne = kBranching<Loops<0>::Form>,
               kJcxz = kBranching<jcxzFamily>, kJmpFar = kPlainEnding<jmpFar>, kCallFar = kPlainEnding<callFar>,
               kJmpFarRm = kEnding<jmpFarRmFamily>, kCallFarRm = kEnding<callFarRmFamily>,
               kRetFar = kPlainEnding<retFar>, kIret = kPlainEnding<iret>, kInt = kPlainEnding<intN>,
               kInt3 = kPlainEnding<int3>, kInt1 = kPlainEnding<int1>, kInto = kPlainEnding<into>,
               kBound = kReaching<boundFamily>, kHlt = kPlainEnding<hlt>, kCli = kPlain<cli>, kSti = kPlain<sti>,
               kUd2 = kPlain<ud2>;

}  // namespace vtkit::emulator
