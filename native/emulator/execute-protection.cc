// Instructions that came with protection features: SMAP, protection keys, PCID, FSGSBASE, MONITOR (SDM Vol. 2).
#include "emulator/execute-protection.h"

#include "emulator/cpu-model.h"
#include "emulator/families.h"
#include "emulator/translation-cache.h"

namespace vtkit::emulator {

namespace {

bool setAc(Cpu& cpu, uint64_t value) {
  if (!has(cpu, model::kSmap) || cpu.cpl != 0) return raise(cpu, kUd);
  setFlags(cpu, kAc, value);
  return true;
}

/** What the kinds of INVPCID end, by their number. */
Scope scopeOf(const Cpu& cpu, uint64_t kind, uint16_t pcid, uint64_t address) {
  const Scope all = currentVpid(cpu);
  switch (kind) {
    case 0:
      return all.ofPcid(pcid).butGlobals().at(address);
    case 1:
      return all.ofPcid(pcid).butGlobals();
    case 2:
      return all;
    default:
      return all.butGlobals();
  }
}

/** INVPCID (Vol. 2A): of the TLB, every kind flushes all, which is never too little. */
template <typename T, bool Mem>
struct Invpcid {
  static bool run(Cpu& cpu, const MicroOp& op) {
    if (!has(cpu, model::kInvpcid) || !op.memory) return raise(cpu, kUd);
    if (cpu.v86() || (cpu.protectedMode() && cpu.cpl != 0)) return gp(cpu);
    uint64_t pcid, address;
    const uint64_t offset = addressOf(cpu, op);
    if (!load<uint64_t>(cpu, op.segment, offset, pcid) ||
        !load<uint64_t>(cpu, op.segment, (offset + 8) & op.addressMask, address)) {
      return false;
    }
    const uint64_t kind = cpu.code64() ? cpu.gpr[op.regIndex] : cpu.gpr[op.regIndex] & 0xffffffff;
    const bool named = kind <= 1;
    if (kind > 3 || pcid >> 12 != 0) return gp(cpu);
    if (named && pcid != 0 && (cpu.cr4 & kCr4Pcide) == 0) return gp(cpu);
    if (kind == 0 && !canonicalBase(cpu, address)) return gp(cpu);
    endTranslations(cpu, scopeOf(cpu, kind, static_cast<uint16_t>(pcid), address));
    flushTlb(cpu);
    cpu.leaveBlock = true;
    return true;
  }
};

}  // namespace

bool clac(Cpu& cpu) { return setAc(cpu, 0); }
bool stac(Cpu& cpu) { return setAc(cpu, kAc); }

bool rdpkru(Cpu& cpu) {
  if ((cpu.cr4 & kCr4Pke) == 0) return raise(cpu, kUd);
  if (readGpr<uint32_t>(cpu, RCX) != 0) return gp(cpu);
  writeGpr<uint32_t>(cpu, RAX, cpu.pkru);
  writeGpr<uint32_t>(cpu, RDX, 0);
  return true;
}

bool wrpkru(Cpu& cpu) {
  if ((cpu.cr4 & kCr4Pke) == 0) return raise(cpu, kUd);
  if (readGpr<uint32_t>(cpu, RCX) != 0 || readGpr<uint32_t>(cpu, RDX) != 0) return gp(cpu);
  if (cpu.pkru == readGpr<uint32_t>(cpu, RAX)) return true;
  cpu.pkru = readGpr<uint32_t>(cpu, RAX);
  flushTlb(cpu);
  cpu.leaveBlock = true;
  return true;
}

bool monitor(Cpu& cpu, const MicroOp& op) {
  if (!has(cpu, model::kMonitor) || cpu.cpl != 0) return raise(cpu, kUd);
  if (readGpr<uint32_t>(cpu, RCX) != 0) return gp(cpu);
  uint8_t watched;
  return load<uint8_t>(cpu, op.segment, cpu.gpr[RAX] & op.addressMask, watched);
}

/** The wait may end at any time (Vol. 2B, MWAIT): it gives up the turn. */
bool mwait(Cpu& cpu) {
  if (!has(cpu, model::kMonitor) || cpu.cpl != 0) return raise(cpu, kUd);
  if (readGpr<uint32_t>(cpu, RCX) > 1) return gp(cpu);
  pause(cpu);
  return true;
}

void pause(Cpu& cpu) {
  // Who waits for another processor pauses again and again; who only delays itself would spend a turn each time.
  constexpr uint8_t kPatience = 8;
  if (cpu.all->size() < 2 || ++cpu.pauseCount < kPatience) return;
  cpu.pauses = true;
  cpu.deadline.store(0);
  cpu.leaveBlock = true;
}

bool segmentBase(Cpu& cpu, const MicroOp& op) {
  const unsigned function = op.regIndex & 7;
  if (!cpu.code64() || (cpu.cr4 & kCr4FsGsBase) == 0) return raise(cpu, kUd);
  vcpu::Segment& segment = cpu.seg[(function & 1) == 0 ? FS : GS];
  const bool wide = op.operandBytes == 8;
  if (function < 2) {
    cpu.gpr[op.rmIndex] = wide ? segment.base : segment.base & 0xffffffff;
    return true;
  }
  const uint64_t base = wide ? cpu.gpr[op.rmIndex] : cpu.gpr[op.rmIndex] & 0xffffffff;
  if (!canonicalBase(cpu, base)) return gp(cpu);
  segment.base = base;
  updateMode(cpu);
  return true;
}

const Handlers kInvpcid = kReaching<Invpcid>, kSegmentBase = kPlain<segmentBase>;

}  // namespace vtkit::emulator
