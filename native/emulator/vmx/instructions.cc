// VMX instructions (SDM Vol. 3C, chapter 31).
#include "emulator/vmx/instructions.h"

#include "emulator/cpu-model.h"
#include "emulator/execute-system.h"
#include "emulator/families.h"
#include "emulator/msrs.h"
#include "emulator/translation-cache.h"
#include "emulator/vmx/capabilities.h"
#include "emulator/vmx/ept.h"
#include "emulator/vmx/transitions.h"

namespace vtkit::emulator::vmx {

namespace {

// VM-instruction error numbers (31.4)
enum Error : unsigned {
  kVmcallInRoot = 1,
  kClearInvalidAddress = 2,
  kClearVmxonPointer = 3,
  kLoadInvalidAddress = 9,
  kLoadVmxonPointer = 10,
  kLoadWrongRevision = 11,
  kUnsupportedField = 12,
  kVmxonInRoot = 15,
  kInvalidOperand = 28,
};

bool mayEnterOperation(Cpu& cpu) {
  uint64_t control = 0;
  return readMsr(cpu, kFeatureControl, control) && (~control & (kFeatureLocked | kFeatureVmx)) == 0;
}

// INVEPT and INVVPID, by type (29.4.3.1). The TLB has nothing from before the last exit, and forgets that too.
void flushEpt(Cpu& cpu, uint64_t type, uint64_t pointer) {
  constexpr uint64_t kSingleContext = 1;
  flushTlb(cpu);
  if (cpu.kept == nullptr) return;
  std::optional<uint64_t> root;
  if (type == kSingleContext) root = rootOf(pointer);
  cpu.kept->endUnderEpt(root);
}

void flushVpid(Cpu& cpu, uint64_t type, uint16_t vpid, uint64_t linear) {
  enum : uint64_t { kIndividualAddress, kSingleContext, kAllContext };
  constexpr Scope kEveryVpid = {1, 0xffff};  // but 0
  const Scope one = vpidAlone(vpid);
  flushTlb(cpu);
  switch (type) {
    case kIndividualAddress:
      return endTranslations(cpu, one.at(linear));
    case kSingleContext:
      return endTranslations(cpu, one);
    case kAllContext:
      return endTranslations(cpu, kEveryVpid);
    default:
      return endTranslations(cpu, one.butGlobals());
  }
}

void endWith(Cpu& cpu, uint64_t flag) { setFlags(cpu, kArithmetic, flag); }

}  // namespace

bool succeed(Cpu& cpu) {
  endWith(cpu, 0);
  return true;
}

bool failInvalid(Cpu& cpu) {
  endWith(cpu, kCf);
  return true;
}

bool fail(Cpu& cpu, unsigned error) {
  // A guest of somebody outside has a VMCS, too.
  if (!cpu.guest && cpu.vmx.current == kNoVmcs) return failInvalid(cpu);
  endWith(cpu, kZf);
  cpu.vmx.vmcs.set(Field::vmInstructionError, error);
  return true;
}

bool holdsFixedBits(Cpu& cpu, uint64_t cr0, uint64_t cr4) {
  if (!cpu.vmx.on) return true;
  const bool unrestricted = cpu.guest && secondaryBased(cpu, secondary::kUnrestrictedGuest);
  const uint64_t fixed = kCr0Ne | (unrestricted ? 0 : kCr0Pe | kCr0Pg);
  return (cr0 & fixed) == fixed && (cr4 & kCr4Vmxe) != 0;
}

namespace {

bool exists(const Cpu& cpu) {
  return cpu.protectedMode() && !cpu.v86() && (!cpu.longMode() || cpu.code64()) && (cpu.cr4 & kCr4Vmxe) != 0;
}

/** What all instructions but VMXON begin with: #UD, an exit of the guest, #GP. True to go on, in root operation. */
bool mayRun(Cpu& cpu, const MicroOp& op, ExitReason reason) {
  if (!cpu.vmx.on || !exists(cpu)) return raise(cpu, kUd);
  if (!cpu.guest) return privileged(cpu);
  // Without operands, the information is undefined.
  return leaveBy(cpu, reason, op.memory ? displacementOf(cpu, op) : 0,
                 operandInformation(op) | uint32_t{op.regIndex} << 28);
}

bool pointerFits(const Cpu& cpu, uint64_t address) {
  return (address & 0xfff) == 0 && (address & ~physicalMask(cpu)) == 0;
}

bool loadPointer(Cpu& cpu, const MicroOp& op, uint64_t& address) {
  return load<uint64_t>(cpu, op.segment, addressOf(cpu, op), address);
}

uint32_t revisionAt(const Cpu& cpu, uint64_t address) {
  uint32_t revision = ~0u;
  cpu.memory->read(address, &revision, sizeof(revision));
  return revision;
}

bool vmxon(Cpu& cpu, const MicroOp& op) {
  Vmx& vmx = cpu.vmx;
  if (vmx.on) return mayRun(cpu, op, ExitReason::vmxon) && fail(cpu, kVmxonInRoot);
  if (!exists(cpu)) return raise(cpu, kUd);
  constexpr uint64_t kFixed = kCr0Pe | kCr0Ne | kCr0Pg;
  if (cpu.cpl != 0 || (cpu.cr0 & kFixed) != kFixed || !mayEnterOperation(cpu)) return gp(cpu);
  uint64_t address;
  if (!loadPointer(cpu, op, address)) return false;
  if (!pointerFits(cpu, address) || revisionAt(cpu, address) != kRevision) return failInvalid(cpu);
  vmx = Vmx();
  vmx.on = true;
  vmx.vmxonPointer = address;
  return succeed(cpu);
}

/** Writes the current VMCS back to its region. */
void putAway(Cpu& cpu) {
  if (cpu.vmx.current != kNoVmcs) storeRegion(cpu, cpu.vmx.current, cpu.vmx.vmcs);
  cpu.vmx.current = kNoVmcs;
}

bool vmxoff(Cpu& cpu, const MicroOp& op) {
  if (!mayRun(cpu, op, ExitReason::vmxoff)) return false;
  putAway(cpu);
  cpu.vmx.on = false;
  cpu.attention.fetch_or(kInit);
  return succeed(cpu);
}

bool vmclear(Cpu& cpu, const MicroOp& op) {
  uint64_t address;
  if (!mayRun(cpu, op, ExitReason::vmclear) || !loadPointer(cpu, op, address)) return false;
  if (!pointerFits(cpu, address)) return fail(cpu, kClearInvalidAddress);
  if (address == cpu.vmx.vmxonPointer) return fail(cpu, kClearVmxonPointer);
  if (address == cpu.vmx.current) {
    cpu.vmx.vmcs.launched = false;
    putAway(cpu);
  } else {
    Vmcs vmcs;
    loadRegion(cpu, address, vmcs);
    vmcs.launched = false;
    storeRegion(cpu, address, vmcs);
  }
  return succeed(cpu);
}

bool vmptrld(Cpu& cpu, const MicroOp& op) {
  uint64_t address;
  if (!mayRun(cpu, op, ExitReason::vmptrld) || !loadPointer(cpu, op, address)) return false;
  if (!pointerFits(cpu, address)) return fail(cpu, kLoadInvalidAddress);
  if (address == cpu.vmx.vmxonPointer) return fail(cpu, kLoadVmxonPointer);
  const uint32_t revision = revisionAt(cpu, address);
  if ((revision & 0x7fffffff) != kRevision) return fail(cpu, kLoadWrongRevision);
  putAway(cpu);
  loadRegion(cpu, address, cpu.vmx.vmcs);
  cpu.vmx.current = address;
  cpu.vmx.vmcs.shadow = revision >> 31 != 0;
  return succeed(cpu);
}

bool vmptrst(Cpu& cpu, const MicroOp& op) {
  if (!mayRun(cpu, op, ExitReason::vmptrst)) return false;
  return store<uint64_t>(cpu, op.segment, addressOf(cpu, op), cpu.vmx.current) && succeed(cpu);
}

// VMREAD and VMWRITE: ModRM.reg names the field. In non-root operation they reach the shadow VMCS, or exit.

/** An operand has 64 bits in 64-bit mode, and 32 elsewhere. */
uint64_t fit(const Cpu& cpu, uint64_t value) { return cpu.code64() ? value : value & 0xffffffff; }
uint64_t fieldOperand(const Cpu& cpu, const MicroOp& op) { return fit(cpu, cpu.gpr[op.regIndex]); }

/** Whether VMCS shadowing lets the guest have the field (26.1.3). */
bool isShadowed(const Cpu& cpu, uint64_t encoding, Field bitmap) {
  if (!secondaryBased(cpu, secondary::kVmcsShadowing) || encoding >> 15 != 0) return false;
  uint8_t byte = 0xff;
  cpu.memory->read(field(cpu, bitmap) + encoding / 8, &byte, 1);
  return (byte >> (encoding & 7) & 1) == 0;
}

/** The VMCS that is read or written; refused with an exit or fault pending. */
enum class Reach { current, shadow, none, refused };
Reach reach(Cpu& cpu, const MicroOp& op, ExitReason reason, Field bitmap) {
  if (cpu.guest && exists(cpu) && isShadowed(cpu, fieldOperand(cpu, op), bitmap)) {
    if (!privileged(cpu)) return Reach::refused;
    return field(cpu, Field::vmcsLinkPointer) == kNoVmcs ? Reach::none : Reach::shadow;
  }
  if (!mayRun(cpu, op, reason)) return Reach::refused;
  return cpu.vmx.current == kNoVmcs ? Reach::none : Reach::current;
}

bool isHigh(uint64_t encoding) { return (encoding & 1) != 0; }
Field baseOf(uint64_t encoding) { return static_cast<Field>(encoding & ~uint64_t{1}); }

Vmcs linked(const Cpu& cpu) {
  Vmcs vmcs;
  loadRegion(cpu, field(cpu, Field::vmcsLinkPointer), vmcs);
  return vmcs;
}

bool vmread(Cpu& cpu, const MicroOp& op) {
  const Reach reached = reach(cpu, op, ExitReason::vmread, Field::vmreadBitmap);
  if (reached == Reach::refused) return false;
  if (reached == Reach::none) return failInvalid(cpu);
  const uint64_t encoding = fieldOperand(cpu, op);
  if (!isField(encoding)) return fail(cpu, kUnsupportedField);
  const Field name = baseOf(encoding);
  uint64_t value = reached == Reach::shadow ? linked(cpu).get(name) : field(cpu, name);
  if (isHigh(encoding)) value >>= 32;
  if (!op.memory) {
    cpu.gpr[op.rmIndex] = fit(cpu, value);
    return succeed(cpu);
  }
  const uint64_t offset = addressOf(cpu, op);
  const bool stored = cpu.code64() ? store<uint64_t>(cpu, op.segment, offset, value)
                                   : store<uint32_t>(cpu, op.segment, offset, static_cast<uint32_t>(value));
  return stored && succeed(cpu);
}

/** Of a full access, 32 bits leave the upper half 0. */
void setPart(Vmcs& vmcs, uint64_t encoding, uint64_t value) {
  const Field name = baseOf(encoding);
  vmcs.set(name, isHigh(encoding) ? value << 32 | (vmcs.get(name) & 0xffffffff) : value);
}

bool loadSource(Cpu& cpu, const MicroOp& op, uint64_t& value) {
  value = fit(cpu, cpu.gpr[op.rmIndex]);
  if (!op.memory) return true;
  const uint64_t offset = addressOf(cpu, op);
  if (cpu.code64()) return load<uint64_t>(cpu, op.segment, offset, value);
  uint32_t half = 0;
  const bool loaded = load<uint32_t>(cpu, op.segment, offset, half);
  value = half;
  return loaded;
}

bool vmwrite(Cpu& cpu, const MicroOp& op) {
  const Reach reached = reach(cpu, op, ExitReason::vmwrite, Field::vmwriteBitmap);
  if (reached == Reach::refused) return false;
  if (reached == Reach::none) return failInvalid(cpu);
  uint64_t value;
  if (!loadSource(cpu, op, value)) return false;
  const uint64_t encoding = fieldOperand(cpu, op);
  if (!isField(encoding)) return fail(cpu, kUnsupportedField);
  if (reached == Reach::current) {
    setPart(cpu.vmx.vmcs, encoding, value);
  } else {
    Vmcs shadow = linked(cpu);
    setPart(shadow, encoding, value);
    storeRegion(cpu, field(cpu, Field::vmcsLinkPointer), shadow);
  }
  return succeed(cpu);
}

// INVEPT and INVVPID: a type in a register, a descriptor of 16 bytes in memory

bool loadDescriptor(Cpu& cpu, const MicroOp& op, uint64_t& low, uint64_t& high) {
  const uint64_t offset = addressOf(cpu, op);
  return load<uint64_t>(cpu, op.segment, offset, low) &&
         load<uint64_t>(cpu, op.segment, (offset + 8) & op.addressMask, high);
}

bool invept(Cpu& cpu, const MicroOp& op) {
  if (!mayRun(cpu, op, ExitReason::invept)) return false;
  uint64_t eptp, reserved;
  const uint64_t type = fieldOperand(cpu, op);
  if (type != 1 && type != 2) return fail(cpu, kInvalidOperand);
  if (!loadDescriptor(cpu, op, eptp, reserved)) return false;
  if (type == 1 && !isEptPointer(cpu, eptp)) return fail(cpu, kInvalidOperand);
  flushEpt(cpu, type, eptp);
  cpu.leaveBlock = true;
  return succeed(cpu);
}

bool invvpid(Cpu& cpu, const MicroOp& op) {
  if (!mayRun(cpu, op, ExitReason::invvpid)) return false;
  uint64_t vpid, linear;
  const uint64_t type = fieldOperand(cpu, op);
  if (type > 3) return fail(cpu, kInvalidOperand);
  if (!loadDescriptor(cpu, op, vpid, linear)) return false;
  const bool named = type != 2;
  if (vpid >> 16 != 0 || (named && vpid == 0)) return fail(cpu, kInvalidOperand);
  if (type == 0 && !canonical(cpu, linear)) return fail(cpu, kInvalidOperand);
  flushVpid(cpu, type, static_cast<uint16_t>(vpid), linear);
  cpu.leaveBlock = true;
  return succeed(cpu);
}

/** VMCALL, VMLAUNCH, VMRESUME, VMXOFF: 0F 01 C1 to C4. */
bool group(Cpu& cpu, const MicroOp& op) {
  switch (op.rmIndex & 7) {
    case 1:
      if (!cpu.vmx.on) return hypercall(cpu);                  // of the machine that this processor stands in
      if (cpu.guest) return leaveBy(cpu, ExitReason::vmcall);  // in every mode
      return mayRun(cpu, op, ExitReason::vmcall) && fail(cpu, kVmcallInRoot);
    case 2:
      return mayRun(cpu, op, ExitReason::vmlaunch) && enterGuest(cpu, true);
    case 3:
      return mayRun(cpu, op, ExitReason::vmresume) && enterGuest(cpu, false);
    case 4:
      return vmxoff(cpu, op);
    default:
      return raise(cpu, kUd);
  }
}

}  // namespace

bool vmfunc(Cpu& cpu, const MicroOp&) {
  if (!cpu.guest || !secondaryBased(cpu, secondary::kEnableVmFunctions)) return raise(cpu, kUd);
  const uint64_t function = cpu.gpr[RAX] & 0xffffffff;
  if (function >= 64) return raise(cpu, kUd);
  // EPTP switching is the only one that may be enabled.
  const bool enabled = (field(cpu, Field::vmFunctionControls) >> function & 1) != 0;
  return (enabled && switchEptPointer(cpu, cpu.gpr[RCX] & 0xffffffff)) || leaveBy(cpu, ExitReason::vmfunc);
}

}  // namespace vtkit::emulator::vmx

namespace vtkit::emulator {

const Handlers kVmxon = kPlain<vmx::vmxon>, kVmclear = kPlain<vmx::vmclear>, kVmptrld = kPlain<vmx::vmptrld>,
               kVmptrst = kPlain<vmx::vmptrst>, kVmread = kPlain<vmx::vmread>, kVmwrite = kPlain<vmx::vmwrite>,
               kInvept = kPlain<vmx::invept>, kInvvpid = kPlain<vmx::invvpid>, kVmxGroup = kPlainEnding<vmx::group>;

}  // namespace vtkit::emulator
