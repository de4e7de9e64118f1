// System instructions (SDM Vol. 3A, 2.8; Vol. 2).
#include <initializer_list>

#include "emulator/breakpoints.h"
#include "emulator/cpu-model.h"
#include "emulator/execute-protection.h"
#include "emulator/families.h"
#include "emulator/msrs.h"
#include "emulator/system.h"
#include "emulator/xsave.h"

namespace vtkit::emulator {

namespace {

bool privileged(Cpu& cpu) { return cpu.cpl == 0 ? true : gp(cpu); }

/** What tells of system tables may be kept from user code (Vol. 3A, 2.5: CR4.UMIP). */
bool mayLook(Cpu& cpu) { return cpu.cpl == 0 || (cpu.cr4 & kCr4Umip) == 0 ? true : gp(cpu); }

// LLDT, LTR: system descriptors of the GDT
// -------------------------------------------------------------------------------

bool loadLdt(Cpu& cpu, uint16_t selector) {
  vcpu::Segment segment = {};
  segment.selector = selector;
  segment.unusable = 1;
  if ((selector & ~3) != 0) {
    if ((selector & 4) != 0) return gp(cpu, selector & ~3u);
    Descriptor descriptor;
    if (!readDescriptor(cpu, selector, descriptor)) return false;
    if (descriptor.s() || descriptor.type() != 2) return gp(cpu, selector & ~3u);
    if (!descriptor.present()) return raise(cpu, kNp, selector & ~3u);
    if (!canonicalBase(cpu, descriptor.base())) return gp(cpu, selector & ~3u);
    segment = segmentOf(selector, descriptor, true);
  }
  cpu.seg[LDTR] = segment;
  return true;
}

bool loadTask(Cpu& cpu, uint16_t selector) {
  const uint32_t error = selector & ~3u;
  if (error == 0) return gp(cpu);
  if ((selector & 4) != 0) return gp(cpu, error);
  Descriptor descriptor;
  if (!readDescriptor(cpu, selector, descriptor)) return false;
  const unsigned type = descriptor.type();
  if (descriptor.s() || (type != 9 && (type != 1 || cpu.longMode()))) return gp(cpu, error);
  if (!descriptor.present()) return raise(cpu, kNp, error);
  if (!canonicalBase(cpu, descriptor.base())) return gp(cpu, error);
  const auto busy = static_cast<uint8_t>(descriptor.raw >> 40 | 2);
  if (!storeSystem<uint8_t>(cpu, cpu.gdt.base + (selector & ~7u) + 5, busy)) return false;
  cpu.seg[TR] = segmentOf(selector, descriptor, true);
  cpu.seg[TR].type |= 2;
  return true;
}

/** LAR, LSL, VERR, VERW: a descriptor if the selector may be looked at; false without a fault if not. */
bool inspect(Cpu& cpu, uint16_t selector, Descriptor& descriptor) {
  if ((selector & ~3) == 0) return false;
  if (!readDescriptor(cpu, selector, descriptor)) {
    if (cpu.fault.pending && cpu.fault.vector == kGp) cpu.fault.pending = false;
    return false;
  }
  const bool conforming = descriptor.isCode() && descriptor.conforming();
  return conforming || (descriptor.dpl() >= cpu.cpl && descriptor.dpl() >= (selector & 3u));
}

bool verify(Cpu& cpu, uint16_t selector, bool write) {
  Descriptor descriptor;
  bool allowed = inspect(cpu, selector, descriptor);
  if (cpu.fault.pending) return false;
  if (allowed) {
    const bool bit1 = (descriptor.type() & 2) != 0;
    allowed = descriptor.s() && (write ? !descriptor.isCode() && bit1 : !descriptor.isCode() || bit1);
  }
  setFlags(cpu, kZf, allowed ? kZf : 0);
  return true;
}

template <typename T, bool Mem>
struct Group6 {
  static bool run(Cpu& cpu, const MicroOp& op) {
    if (!cpu.protectedMode() || cpu.v86()) return raise(cpu, kUd);
    const unsigned function = op.regIndex & 7;
    if (function <= 1) {  // SLDT, STR
      if (!mayLook(cpu)) return false;
      const uint16_t selector = cpu.seg[function == 0 ? LDTR : TR].selector;
      if constexpr (Mem) return writeRm<uint16_t, Mem>(cpu, op, selector);
      return writeRm<T, Mem>(cpu, op, static_cast<T>(selector));
    }
    if (function >= 6) return raise(cpu, kUd);
    if (function <= 3 && !privileged(cpu)) return false;
    uint16_t selector;
    if (!readRm<uint16_t, Mem>(cpu, op, selector)) return false;
    if (function == 2) return loadLdt(cpu, selector);
    if (function == 3) return loadTask(cpu, selector);
    return verify(cpu, selector, function == 5);
  }
};

// Group 7: tables, machine status, TLB
// ------------------------------------------------------------------------------------

bool storeTable(Cpu& cpu, const MicroOp& op, const vcpu::DescriptorTable& table) {
  if (!mayLook(cpu)) return false;
  const uint64_t address = addressOf(cpu, op), next = (address + 2) & op.addressMask;
  if (!store<uint16_t>(cpu, op.segment, address, table.limit)) return false;
  if (cpu.code64()) return store<uint64_t>(cpu, op.segment, next, table.base);
  return store<uint32_t>(cpu, op.segment, next, static_cast<uint32_t>(table.base));
}

bool loadTable(Cpu& cpu, const MicroOp& op, vcpu::DescriptorTable& table) {
  if (!privileged(cpu)) return false;
  const uint64_t address = addressOf(cpu, op), next = (address + 2) & op.addressMask;
  uint16_t limit;
  if (!load<uint16_t>(cpu, op.segment, address, limit)) return false;
  uint64_t base;
  if (cpu.code64()) {
    if (!load<uint64_t>(cpu, op.segment, next, base)) return false;
    if (!canonicalBase(cpu, base)) return gp(cpu);
  } else {
    uint32_t value;
    if (!load<uint32_t>(cpu, op.segment, next, value)) return false;
    base = op.operandBytes == 2 ? value & 0xffffff : value;
  }
  table.base = base;
  table.limit = limit;
  return true;
}

bool lmsw(Cpu& cpu, uint16_t value) {
  // PE can be set so, never cleared.
  return setCr0(cpu, (cpu.cr0 & ~uint64_t{0xe}) | (value & 0xf));
}

bool swapgs(Cpu& cpu) {
  if (!privileged(cpu)) return false;
  std::swap(cpu.seg[GS].base, cpu.kernelGsBase);
  updateMode(cpu);
  return true;
}

bool readTsc(Cpu& cpu) {
  if ((cpu.cr4 & kCr4Tsd) != 0 && cpu.cpl != 0) return gp(cpu);
  const uint64_t tsc = ticksOf(cpu) + cpu.tscOffset;
  writeGpr<uint32_t>(cpu, RAX, static_cast<uint32_t>(tsc));
  writeGpr<uint32_t>(cpu, RDX, static_cast<uint32_t>(tsc >> 32));
  return true;
}

bool readTscAndAux(Cpu& cpu) {
  if (!readTsc(cpu)) return false;
  writeGpr<uint32_t>(cpu, RCX, static_cast<uint32_t>(cpu.tscAux));
  return true;
}

template <typename T, bool Mem>
struct Group7 {
  static bool run(Cpu& cpu, const MicroOp& op) {
    const unsigned function = op.regIndex & 7;
    if (function == 4) {  // SMSW
      if (!mayLook(cpu)) return false;
      if constexpr (Mem) return writeRm<uint16_t, Mem>(cpu, op, static_cast<uint16_t>(cpu.cr0));
      return writeRm<T, Mem>(cpu, op, static_cast<T>(cpu.cr0));
    }
    if (function == 6) {
      uint16_t value;
      return privileged(cpu) && readRm<uint16_t, Mem>(cpu, op, value) && lmsw(cpu, value);
    }
    if constexpr (Mem) {
      switch (function) {
        case 0:
          return storeTable(cpu, op, cpu.gdt);
        case 1:
          return storeTable(cpu, op, cpu.idt);
        case 2:
          return loadTable(cpu, op, cpu.gdt);
        case 3:
          return loadTable(cpu, op, cpu.idt);
        case 7: {
          if (!privileged(cpu)) return false;
          const uint64_t offset = addressOf(cpu, op);
          const bool based = !cpu.code64() || op.segment >= FS;
          flushTlbPage(cpu, based ? cpu.seg[op.segment].base + offset : offset);
          cpu.leaveBlock = true;
          return true;
        }
        default:
          return raise(cpu, kUd);
      }
    }
    switch (0xc0 | function << 3 | (op.rmIndex & 7)) {
      case 0xc8:
        return monitor(cpu, op);
      case 0xc9:
        return mwait(cpu);
      case 0xd0:
        return has(cpu.features, Feature::xsave) ? xgetbv(cpu) : raise(cpu, kUd);
      case 0xd1:
        return has(cpu.features, Feature::xsave) ? xsetbv(cpu) : raise(cpu, kUd);
      case 0xca:
        return clac(cpu);
      case 0xcb:
        return stac(cpu);
      case 0xee:
        return rdpkru(cpu);
      case 0xef:
        return wrpkru(cpu);
      case 0xf8:
        return cpu.code64() ? swapgs(cpu) : raise(cpu, kUd);
      case 0xf9:
        return has(cpu, model::kRdtscp) ? readTscAndAux(cpu) : raise(cpu, kUd);
      default:  // CPUID announces nothing else
        return raise(cpu, kUd);
    }
  }
};

/** System descriptor types as a set: those that LSL knows have a limit, LAR knows the gates too. */
constexpr uint32_t types(std::initializer_list<unsigned> list) {
  uint32_t set = 0;
  for (const unsigned type : list) set |= 1u << type;
  return set;
}

struct AccessRights {
  static constexpr uint32_t kLegacy = types({1, 2, 3, 4, 5, 9, 11, 12}), kLong = types({2, 9, 11, 12});
  template <typename T>
  static T of(const Descriptor& descriptor) {
    return static_cast<T>(descriptor.raw >> 32 & 0xffff00 & (sizeof(T) == 2 ? 0xff00 : ~uint64_t{0}));
  }
};
struct Limit {
  static constexpr uint32_t kLegacy = types({1, 2, 3, 9, 11}), kLong = types({2, 9, 11});
  template <typename T>
  static T of(const Descriptor& descriptor) {
    return static_cast<T>(descriptor.limit());
  }
};

/** LAR and LSL: ZF tells whether the selector could be looked at. */
template <class What>
struct Look {
  template <typename T, bool Mem>
  struct Form {
    static bool run(Cpu& cpu, const MicroOp& op) {
      if (!cpu.protectedMode() || cpu.v86()) return raise(cpu, kUd);
      uint16_t selector;
      if (!readRm<uint16_t, Mem>(cpu, op, selector)) return false;
      Descriptor descriptor;
      bool allowed = inspect(cpu, selector, descriptor);
      if (cpu.fault.pending) return false;
      const uint32_t known = cpu.longMode() ? What::kLong : What::kLegacy;
      if (allowed && !descriptor.s()) allowed = (known >> descriptor.type() & 1) != 0;
      if (allowed) writeAt<T>(cpu, op.reg, What::template of<T>(descriptor));
      setFlags(cpu, kZf, allowed ? kZf : 0);
      return true;
    }
  };
};

template <typename T, bool Mem>
struct Arpl {
  static bool run(Cpu& cpu, const MicroOp& op) {
    if (!cpu.protectedMode() || cpu.v86()) return raise(cpu, kUd);
    uint16_t selector;
    if (!readForWrite<uint16_t, Mem>(cpu, op, selector)) return false;
    const auto rpl = static_cast<uint16_t>(readAt<uint16_t>(cpu, op.regIndex * 8u) & 3);
    const bool raised = (selector & 3) < rpl;
    if (raised && !writeRm<uint16_t, Mem>(cpu, op, static_cast<uint16_t>((selector & ~3) | rpl))) return false;
    setFlags(cpu, kZf, raised ? kZf : 0);
    return true;
  }
};

// Fast system calls
// ------------------------------------------------------------------------------------------------------

/** The flat segments that SYSCALL and SYSENTER load without looking at any descriptor. */
vcpu::Segment flatSegment(uint16_t selector, bool code, unsigned dpl, bool wide) {
  vcpu::Segment segment = {};
  segment.limit = 0xffffffff;
  segment.selector = selector;
  segment.type = code ? 0xb : 3;
  segment.present = segment.s = segment.g = 1;
  segment.dpl = static_cast<uint8_t>(dpl);
  segment.l = code && wide;
  segment.db = !(code && wide);
  return segment;
}

void enterFlat(Cpu& cpu, uint16_t cs, uint16_t ss, unsigned cpl, bool wide) {
  cpu.seg[CS] = flatSegment(static_cast<uint16_t>((cs & ~3) | cpl), true, cpl, wide);
  cpu.seg[SS] = flatSegment(static_cast<uint16_t>((ss & ~3) | cpl), false, cpl, wide);
  cpu.cpl = static_cast<uint8_t>(cpl);
  updateMode(cpu);
}

bool syscall(Cpu& cpu, const MicroOp&) {
  if ((cpu.efer & kEferSce) == 0 || !cpu.code64()) return raise(cpu, kUd);  // Intel: 64-bit mode only
  cpu.gpr[RCX] = cpu.rip();
  cpu.gpr[11] = flags(cpu) & ~kRf;
  const auto selector = static_cast<uint16_t>(cpu.star >> 32);
  cpu.rip() = cpu.lstar;
  cpu.rflags &= ~(cpu.sfmask | kRf);
  cpu.rflags |= 2;
  enterFlat(cpu, selector & 0xfffc, static_cast<uint16_t>((selector & 0xfffc) + 8), 0, true);
  cpu.stepTaken = (cpu.rflags & kTf) == 0;  // TF traps behind it only if the mask left it
  return true;
}

bool sysret(Cpu& cpu, const MicroOp& op) {
  if ((cpu.efer & kEferSce) == 0 || !cpu.code64()) return raise(cpu, kUd);
  if (!privileged(cpu)) return false;
  const bool wide = op.operandBytes == 8;
  if (wide && !canonical(cpu, cpu.gpr[RCX])) return gp(cpu);
  const auto selector = static_cast<uint16_t>(cpu.star >> 48);
  cpu.rip() = wide ? cpu.gpr[RCX] : cpu.gpr[RCX] & 0xffffffff;
  flags(cpu);
  cpu.rflags = (cpu.gpr[11] & 0x3c7fd7) | 2;
  enterFlat(cpu, static_cast<uint16_t>(selector + (wide ? 16 : 0)), static_cast<uint16_t>(selector + 8), 3, wide);
  cpu.stepNow = (cpu.rflags & kTf) != 0;  // unlike IRET, it traps at once
  return true;
}

bool sysenter(Cpu& cpu, const MicroOp&) {
  if (!cpu.protectedMode() || (cpu.sysenterCs & 0xfffc) == 0) return gp(cpu);
  const bool wide = cpu.longMode();
  flags(cpu);
  cpu.rflags &= ~(kVm | kIf | kRf);
  const auto selector = static_cast<uint16_t>(cpu.sysenterCs & 0xfffc);
  enterFlat(cpu, selector, static_cast<uint16_t>(selector + 8), 0, wide);
  cpu.gpr[RSP] = wide ? cpu.sysenterEsp : cpu.sysenterEsp & 0xffffffff;
  cpu.rip() = wide ? cpu.sysenterEip : cpu.sysenterEip & 0xffffffff;
  return true;
}

bool sysexit(Cpu& cpu, const MicroOp& op) {
  if (!cpu.protectedMode() || cpu.cpl != 0 || (cpu.sysenterCs & 0xfffc) == 0) return gp(cpu);
  const bool wide = op.operandBytes == 8;
  if (wide && (!canonical(cpu, cpu.gpr[RCX]) || !canonical(cpu, cpu.gpr[RDX]))) return gp(cpu);
  const uint64_t mask = wide ? ~uint64_t{0} : 0xffffffff;
  const auto selector = static_cast<uint16_t>((cpu.sysenterCs & 0xfffc) + (wide ? 32 : 16));
  cpu.gpr[RSP] = cpu.gpr[RCX] & mask;
  cpu.rip() = cpu.gpr[RDX] & mask;
  enterFlat(cpu, selector, static_cast<uint16_t>(selector + 8), 3, wide);
  return true;
}

// Control, debug and model-specific registers
// --------------------------------------------------------------------------------

bool clts(Cpu& cpu, const MicroOp&) {
  if (!privileged(cpu)) return false;
  cpu.cr0 &= ~kCr0Ts;
  updateUsable(cpu);
  return true;
}

bool cacheOperation(Cpu& cpu, const MicroOp&) { return privileged(cpu); }

bool movFromCr(Cpu& cpu, const MicroOp& op) {
  uint64_t value;
  switch (op.regIndex) {
    case 0:
      value = cpu.cr0;
      break;
    case 2:
      value = cpu.cr2;
      break;
    case 3:
      value = cpu.cr3;
      break;
    case 4:
      value = cpu.cr4;
      break;
    case 8:
      value = cpu.apic->cr8();
      break;
    default:
      return raise(cpu, kUd);
  }
  if (!privileged(cpu)) return false;
  cpu.gpr[op.rmIndex] = cpu.code64() ? value : value & 0xffffffff;
  return true;
}

bool movToCr(Cpu& cpu, const MicroOp& op) {
  const uint64_t value = cpu.code64() ? cpu.gpr[op.rmIndex] : cpu.gpr[op.rmIndex] & 0xffffffff;
  if (op.regIndex != 0 && op.regIndex != 2 && op.regIndex != 3 && op.regIndex != 4 && op.regIndex != 8)
    return raise(cpu, kUd);
  if (!privileged(cpu)) return false;
  switch (op.regIndex) {
    case 0:
      return setCr0(cpu, value);
    case 2:
      cpu.cr2 = value;
      return true;
    case 3:
      return setCr3(cpu, value);
    case 4:
      return setCr4(cpu, value);
    default:
      if (value > 15) return gp(cpu);
      cpu.apic->setCr8(static_cast<uint8_t>(value));
      return true;
  }
}

/** DR4 and DR5 are DR6 and DR7 unless CR4.DE forbids it. */
bool debugIndex(Cpu& cpu, const MicroOp& op, unsigned& index) {
  index = op.regIndex;
  if (index > 7 || ((index == 4 || index == 5) && (cpu.cr4 & kCr4De) != 0)) return raise(cpu, kUd);
  if (index == 4 || index == 5) index += 2;
  if (!privileged(cpu)) return false;
  if ((cpu.dr7 & kDr7Detect) == 0) return true;
  cpu.dr7 &= ~kDr7Detect;
  return raiseDebug(cpu, kDr6Access);
}

bool movFromDr(Cpu& cpu, const MicroOp& op) {
  unsigned index;
  if (!debugIndex(cpu, op, index)) return false;
  const uint64_t value = index < 4 ? cpu.dr[index] : index == 6 ? cpu.dr6 : cpu.dr7;
  cpu.gpr[op.rmIndex] = cpu.code64() ? value : value & 0xffffffff;
  return true;
}

bool movToDr(Cpu& cpu, const MicroOp& op) {
  unsigned index;
  if (!debugIndex(cpu, op, index)) return false;
  const uint64_t value = cpu.code64() ? cpu.gpr[op.rmIndex] : cpu.gpr[op.rmIndex] & 0xffffffff;
  if (index < 4) {
    cpu.dr[index] = value;
    return true;
  }
  if (value >> 32 != 0) return gp(cpu);
  if (index == 6) {
    cpu.dr6 = (value & 0xe00f) | 0xffff0ff0;
  } else {
    cpu.dr7 = (value & 0xffff23ff) | 0x400;
    updateBreakpoints(cpu);
  }
  return true;
}

bool rdmsr(Cpu& cpu, const MicroOp&) {
  if (!privileged(cpu)) return false;
  uint64_t value;
  if (!readMsr(cpu, static_cast<uint32_t>(cpu.gpr[RCX]), value)) return gp(cpu);
  writeGpr<uint32_t>(cpu, RAX, static_cast<uint32_t>(value));
  writeGpr<uint32_t>(cpu, RDX, static_cast<uint32_t>(value >> 32));
  return true;
}

bool wrmsr(Cpu& cpu, const MicroOp&) {
  if (!privileged(cpu)) return false;
  const uint64_t value = (cpu.gpr[RDX] & 0xffffffff) << 32 | (cpu.gpr[RAX] & 0xffffffff);
  return writeMsr(cpu, static_cast<uint32_t>(cpu.gpr[RCX]), value) ? true : gp(cpu);
}

bool rdtsc(Cpu& cpu, const MicroOp&) { return readTsc(cpu); }
bool rdpmc(Cpu& cpu, const MicroOp&) { return gp(cpu); }  // no counters are announced

bool cpuid(Cpu& cpu, const MicroOp&) {
  const auto leaf = static_cast<uint32_t>(cpu.gpr[RAX]), subleaf = static_cast<uint32_t>(cpu.gpr[RCX]);
  const CpuidRow row = executeCpuid(cpu, leaf, subleaf);
  writeGpr<uint32_t>(cpu, RAX, row.eax);
  writeGpr<uint32_t>(cpu, RBX, row.ebx);
  writeGpr<uint32_t>(cpu, RCX, row.ecx);
  writeGpr<uint32_t>(cpu, RDX, row.edx);
  return true;
}

}  // namespace

const Handlers kGroup6 = kReaching<Group6>, kGroup7 = kReaching<Group7>, kLar = kReaching<Look<AccessRights>::Form>,
               kLsl = kReaching<Look<Limit>::Form>, kSyscall = kPlainEnding<syscall>, kSysret = kPlainEnding<sysret>,
               kSysenter = kPlainEnding<sysenter>, kSysexit = kPlainEnding<sysexit>, kClts = kPlain<clts>,
               kInvd = kPlain<cacheOperation>, kMovFromCr = kPlain<movFromCr>, kMovToCr = kPlain<movToCr>,
               kMovFromDr = kPlain<movFromDr>, kMovToDr = kPlain<movToDr>, kRdmsr = kPlain<rdmsr>,
               kWrmsr = kPlain<wrmsr>, kRdtsc = kPlain<rdtsc>, kRdpmc = kPlain<rdpmc>, kCpuid = kPlain<cpuid>,
               kArpl = kReaching<Arpl>;

}  // namespace vtkit::emulator
