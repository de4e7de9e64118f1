// Group 7: descriptor tables, machine status, TLB, and what stands in its register forms (SDM Vol. 2, table A-6).
#include "emulator/execute-system.h"

#include "emulator/cpu-model.h"
#include "emulator/execute-protection.h"
#include "emulator/families.h"
#include "emulator/system.h"
#include "emulator/translation-cache.h"
#include "emulator/vmx/controls.h"
#include "emulator/vmx/instructions.h"
#include "emulator/xsave.h"

namespace vtkit::emulator {

namespace {

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
  const uint64_t loaded = (cpu.cr0 & ~uint64_t{0xe}) | (value & 0xf);
  return setCr0(cpu, cpu.guest ? vmx::keepMasked(cpu, loaded, cpu.cr0, vmx::Field::cr0GuestHostMask) : loaded);
}

bool swapgs(Cpu& cpu) {
  if (!privileged(cpu)) return false;
  std::swap(cpu.seg[GS].base, cpu.kernelGsBase);
  updateMode(cpu);
  return true;
}

template <typename T, bool Mem>
struct Group7 {
  static bool run(Cpu& cpu, const MicroOp& op) {
    const unsigned function = op.regIndex & 7;
    if (function == 4) {  // SMSW
      if (!mayLook(cpu)) return false;
      const uint64_t cr0 = cpu.guest ? vmx::guestCr0(cpu) : cpu.cr0;
      if constexpr (Mem) return writeRm<uint16_t, Mem>(cpu, op, static_cast<uint16_t>(cr0));
      return writeRm<T, Mem>(cpu, op, static_cast<T>(cr0));
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
          spend(cpu, kSerialTicks);
          const uint64_t offset = addressOf(cpu, op);
          const bool based = !cpu.code64() || op.segment >= FS;
          uint64_t linear = based ? cpu.seg[op.segment].base + offset : offset;
          if (!cpu.code64()) linear = static_cast<uint32_t>(linear);
          endTranslations(cpu, currentPcid(cpu).at(linear).withStructures());
          flushTlbPage(cpu, linear);
          cpu.leaveBlock = true;
          return true;
        }
        default:
          return raise(cpu, kUd);
      }
    }
    switch (0xc0 | function << 3 | (op.rmIndex & 7)) {
      case 0xc1:
        return hypercall(cpu);
      case 0xc8:
        return monitor(cpu, op);
      case 0xc9:
        return mwait(cpu);
      case 0xd9:  // VMMCALL, AMD's word for it: KVM answers to either on any processor
        return cpu.guest ? raise(cpu, kUd) : hypercall(cpu);
      case 0xd0:
        return has(cpu.features, Feature::xsave) ? xgetbv(cpu) : raise(cpu, kUd);
      case 0xd1:
        return has(cpu.features, Feature::xsave) ? xsetbv(cpu) : raise(cpu, kUd);
      case 0xd4:
        return has(cpu.features, Feature::vmx) ? vmx::vmfunc(cpu, op) : raise(cpu, kUd);
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

}  // namespace

const Handlers kGroup7 = kReaching<Group7>;

}  // namespace vtkit::emulator
