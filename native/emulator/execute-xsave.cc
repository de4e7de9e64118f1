// MXCSR, and saving and restoring of x87, SSE and AVX state (SDM Vol. 1, 10.5 and chapter 13).
#include "emulator/families.h"
#include "emulator/host-float.h"
#include "emulator/mmu.h"
#include "emulator/save-area.h"
#include "emulator/vector-families.h"
#include "emulator/vector.h"
#include "emulator/xsave.h"

namespace vtkit::emulator {

namespace {

constexpr uint64_t kCompacted = uint64_t{1} << 63;
constexpr unsigned kHeader = 512, kMxcsrAt = 24, kXmmAt = 160, kX87At = 32;

unsigned registers(const Cpu& cpu) { return cpu.code64() ? 16 : 8; }

bool alignedTo(Cpu& cpu, const MicroOp& op, unsigned bytes) {
  const bool based = !cpu.code64() || op.segment >= FS;
  return ((based ? cpu.seg[op.segment].base : 0) + addressOf(cpu, op)) % bytes == 0 ? true : gp(cpu);
}

// MXCSR ---------------------------------------------------------------------------------------------------------------

/** LDMXCSR and STMXCSR need SSE; with VEX, AVX. */
template <Encoding E>
bool mayUse(Cpu& cpu) {
  return (cpu.usable & (E == kSse128 ? kUsableSse : kUsableAvx)) != 0 || notUsable(cpu, E);
}

template <Encoding E, bool Mem>
struct Ldmxcsr {
  static bool run(Cpu& cpu, const MicroOp& op) {
    uint32_t value;
    if (!mayUse<E>(cpu) || !load(cpu, op.segment, addressOf(cpu, op), value)) return false;
    if ((value & ~kMxcsrKnown) != 0) return gp(cpu);
    setMxcsr(cpu, value);
    return true;
  }
};
template <Encoding E, bool Mem>
struct Stmxcsr {
  static bool run(Cpu& cpu, const MicroOp& op) {
    if (!mayUse<E>(cpu)) return false;
    collectFlags(cpu);
    return store(cpu, op.segment, addressOf(cpu, op), cpu.mxcsr);
  }
};

// FXSAVE --------------------------------------------------------------------------------------------------------------

bool mayFxsave(Cpu& cpu, const MicroOp& op) {
  if ((cpu.cr0 & (kCr0Em | kCr0Ts)) != 0) return raise(cpu, kNm);
  return alignedTo(cpu, op, 16);
}

/** Without REX.W the pointers have 32 bits, and selectors that this model does not keep. */
void narrowPointers(const MicroOp& op, LegacyArea& area) {
  if (op.operandBytes == 8) return;
  area.ip = static_cast<uint32_t>(area.ip);
  area.dp = static_cast<uint32_t>(area.dp);
}

bool fxsave(Cpu& cpu, const MicroOp& op) {
  if (!mayFxsave(cpu, op)) return false;
  collectFlags(cpu);
  LegacyArea area;
  getX87(cpu.x87, area);
  narrowPointers(op, area);
  area.mxcsr = cpu.mxcsr;
  area.mxcsrMask = kMxcsrKnown;
  for (unsigned i = 0; i < registers(cpu); i++) std::memcpy(area.xmm[i], cpu.vectors[i].u8, 16);
  return writeBytes(cpu, op, addressOf(cpu, op), &area, kXmmAt + 16 * registers(cpu));
}

bool fxrstor(Cpu& cpu, const MicroOp& op) {
  if (!mayFxsave(cpu, op)) return false;
  LegacyArea area;
  if (!readBytes(cpu, op, addressOf(cpu, op), &area, sizeof(area))) return false;
  if ((area.mxcsr & ~kMxcsrKnown) != 0) return gp(cpu);
  narrowPointers(op, area);
  setX87(cpu.x87, area);
  setMxcsr(cpu, area.mxcsr);
  for (unsigned i = 0; i < registers(cpu); i++) std::memcpy(cpu.vectors[i].u8, area.xmm[i], 16);
  return true;
}

// XSAVE ---------------------------------------------------------------------------------------------------------------

bool mayXsave(Cpu& cpu, const MicroOp& op, bool supervisor) {
  if ((cpu.cr4 & kCr4Osxsave) == 0) return raise(cpu, kUd);
  if ((cpu.cr0 & kCr0Ts) != 0) return raise(cpu, kNm);
  if (supervisor && cpu.cpl != 0) return gp(cpu);
  return alignedTo(cpu, op, 64);
}

uint64_t requested(const Cpu& cpu) {
  return ((cpu.gpr[RDX] & 0xffffffff) << 32 | (cpu.gpr[RAX] & 0xffffffff)) & cpu.xcr0;
}

enum class Save { plain, optimized, compacted };

template <Save Kind, bool Supervisor>
bool xsave(Cpu& cpu, const MicroOp& op) {
  if (!mayXsave(cpu, op, Supervisor)) return false;
  collectFlags(cpu);
  const uint64_t offset = addressOf(cpu, op), wanted = requested(cpu);
  uint64_t used = inUse(cpu);
  if (Kind == Save::compacted && cpu.mxcsr != kMxcsrReset) used |= kXcr0Sse;
  const uint64_t saved = Kind == Save::plain ? wanted : wanted & used;
  // The whole of it may be written, so that it is or that nothing is.
  if (!probeWrite(cpu, op.segment, offset, (wanted & kXcr0Avx) != 0 ? kXsaveBytes : kAvxAt)) return false;
  LegacyArea area;
  getX87(cpu.x87, area);
  narrowPointers(op, area);
  area.mxcsr = cpu.mxcsr;
  area.mxcsrMask = kMxcsrKnown;
  const auto put = [&](unsigned at, const void* from, unsigned bytes) {
    return writeBytes(cpu, op, offset + at, from, bytes);
  };
  if ((saved & kXcr0X87) != 0 && (!put(0, &area, kMxcsrAt) || !put(kX87At, area.st, sizeof(area.st)))) return false;
  const bool mxcsr = Kind == Save::compacted ? (saved & kXcr0Sse) != 0 : (wanted & (kXcr0Sse | kXcr0Avx)) != 0;
  if (mxcsr && !put(kMxcsrAt, &area.mxcsr, 8)) return false;
  for (unsigned i = 0; i < registers(cpu); i++) {
    if ((saved & kXcr0Sse) != 0 && !put(kXmmAt + 16 * i, cpu.vectors[i].u8, 16)) return false;
    if ((saved & kXcr0Avx) != 0 && !put(kAvxAt + 16 * i, cpu.vectors[i].u8 + 16, 16)) return false;
  }
  uint64_t header[2] = {wanted & used, wanted | kCompacted};
  if (Kind == Save::compacted) return put(kHeader, header, 16);
  uint64_t before;
  if (!readBytes(cpu, op, offset + kHeader, &before, 8)) return false;
  header[0] |= before & ~wanted;
  return put(kHeader, header, 8);
}

/** What XRSTOR finds wrong with a header (SDM Vol. 1, 13.8.1, 13.8.2 and 13.12). */
bool wrongHeader(const Cpu& cpu, const uint64_t (&header)[8], bool supervisor) {
  const bool compacted = (header[1] & kCompacted) != 0;
  uint64_t reserved = header[2];
  if (compacted || supervisor) {
    for (unsigned i = 3; i < 8; i++) reserved |= header[i];
  }
  if (compacted) {
    const uint64_t layout = header[1] & ~kCompacted;
    return (layout & ~cpu.xcr0) != 0 || (header[0] & ~layout) != 0 || reserved != 0 ||
           !has(cpu.features, Feature::xsavec);
  }
  return supervisor || (header[0] & ~cpu.xcr0) != 0 || header[1] != 0 || reserved != 0;
}

template <bool Supervisor>
bool xrstor(Cpu& cpu, const MicroOp& op) {
  if (!mayXsave(cpu, op, Supervisor)) return false;
  const uint64_t offset = addressOf(cpu, op), wanted = requested(cpu);
  uint64_t header[8];
  LegacyArea area;
  uint8_t upper[16][16] = {};
  if (!readBytes(cpu, op, offset + kHeader, header, sizeof(header))) return false;
  if (wrongHeader(cpu, header, Supervisor)) return gp(cpu);
  const uint64_t loaded = wanted & header[0];
  const bool compacted = (header[1] & kCompacted) != 0;
  if (!readBytes(cpu, op, offset, &area, sizeof(area))) return false;
  if ((loaded & kXcr0Avx) != 0 && !readBytes(cpu, op, offset + kAvxAt, upper, 16 * registers(cpu))) return false;
  const bool mxcsr = compacted ? (loaded & kXcr0Sse) != 0 : (wanted & (kXcr0Sse | kXcr0Avx)) != 0;
  if (mxcsr && (area.mxcsr & ~kMxcsrKnown) != 0) return gp(cpu);
  if ((loaded & kXcr0X87) != 0) {
    narrowPointers(op, area);
    setX87(cpu.x87, area);
  } else if ((wanted & kXcr0X87) != 0) {
    cpu.x87 = {};
    resetX87(cpu.x87);
  }
  if (mxcsr) {
    setMxcsr(cpu, area.mxcsr);
  } else if (compacted && (wanted & kXcr0Sse) != 0) {
    setMxcsr(cpu, kMxcsrReset);
  }
  if ((loaded & kXcr0Sse) == 0) std::memset(area.xmm, 0, sizeof(area.xmm));
  for (unsigned i = 0; i < registers(cpu); i++) {
    if ((wanted & kXcr0Sse) != 0) std::memcpy(cpu.vectors[i].u8, area.xmm[i], 16);
    if ((wanted & kXcr0Avx) != 0) std::memcpy(cpu.vectors[i].u8 + 16, upper[i], 16);
  }
  return true;
}

}  // namespace

uint64_t inUse(const Cpu& cpu) {
  static constexpr uint8_t kZeros[128] = {};
  const X87& x87 = cpu.x87;
  const bool idle = x87.control == 0x37f && x87.status == 0 && x87.used == 0 && x87.ip == 0 && x87.dp == 0 &&
                    x87.opcode == 0 && std::memcmp(x87.st, kZeros, sizeof(x87.st)) == 0;
  uint64_t used = idle ? 0 : kXcr0X87;
  for (unsigned i = 0; i < registers(cpu); i++) {
    if ((cpu.vectors[i].u64[0] | cpu.vectors[i].u64[1]) != 0) used |= kXcr0Sse;
    if ((cpu.vectors[i].u64[2] | cpu.vectors[i].u64[3]) != 0) used |= kXcr0Avx;
  }
  return used;
}

bool xgetbv(Cpu& cpu) {
  if ((cpu.cr4 & kCr4Osxsave) == 0) return raise(cpu, kUd);
  const auto index = static_cast<uint32_t>(cpu.gpr[RCX]);
  if (index > 1 || (index == 1 && !has(cpu.features, Feature::xgetbv1))) return gp(cpu);
  const uint64_t value = index == 0 ? cpu.xcr0 : cpu.xcr0 & inUse(cpu);
  writeGpr<uint32_t>(cpu, RAX, static_cast<uint32_t>(value));
  writeGpr<uint32_t>(cpu, RDX, static_cast<uint32_t>(value >> 32));
  return true;
}

bool mayBeXcr0(const Cpu& cpu, uint64_t value) {
  const uint64_t known = kXcr0X87 | kXcr0Sse | (has(cpu.features, Feature::avx) ? kXcr0Avx : 0);
  return (value & ~known) == 0 && (value & kXcr0X87) != 0 && ((value & kXcr0Avx) == 0 || (value & kXcr0Sse) != 0);
}

bool xsetbv(Cpu& cpu) {
  if ((cpu.cr4 & kCr4Osxsave) == 0) return raise(cpu, kUd);
  const uint64_t value = (cpu.gpr[RDX] & 0xffffffff) << 32 | (cpu.gpr[RAX] & 0xffffffff);
  if (cpu.cpl != 0 || static_cast<uint32_t>(cpu.gpr[RCX]) != 0 || !mayBeXcr0(cpu, value)) return gp(cpu);
  cpu.xcr0 = value;
  updateUsable(cpu);
  return true;
}

void xsaveCpuid(const Cpu& cpu, CpuidRow& row) {
  constexpr uint32_t kOsxsave = 1u << 27;
  if (row.leaf == 1) row.ecx = (row.ecx & ~kOsxsave) | ((cpu.cr4 & kCr4Osxsave) != 0 ? kOsxsave : 0);
  if (row.leaf == 0xd && row.subleaf <= 1) row.ebx = (cpu.xcr0 & kXcr0Avx) != 0 ? kXsaveBytes : kAvxAt;
}

const Handlers kLdmxcsr = kVectorForms<Ldmxcsr>, kStmxcsr = kVectorForms<Stmxcsr>, kFxsave = kPlain<fxsave>,
               kFxrstor = kPlain<fxrstor>, kXsave = kPlain<xsave<Save::plain, false>>,
               kXsaveopt = kPlain<xsave<Save::optimized, false>>, kXsavec = kPlain<xsave<Save::compacted, false>>,
               kXsaves = kPlain<xsave<Save::compacted, true>>, kXrstor = kPlain<xrstor<false>>,
               kXrstors = kPlain<xrstor<true>>;

}  // namespace vtkit::emulator
