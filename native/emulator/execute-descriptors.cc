// Instructions on descriptors: the local table, the task register, and what may be known of a selector (SDM Vol. 2).
#include <initializer_list>

#include "emulator/cpu-model.h"
#include "emulator/execute-system.h"
#include "emulator/families.h"
#include "emulator/system.h"

namespace vtkit::emulator {

namespace {

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
  if (descriptor.upperType() != 0) return gp(cpu, error);
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

}  // namespace

const Handlers kGroup6 = kReaching<Group6>, kLar = kReaching<Look<AccessRights>::Form>,
               kLsl = kReaching<Look<Limit>::Form>, kArpl = kReaching<Arpl>;

}  // namespace vtkit::emulator
