// Descriptors and segment registers (SDM Vol. 3A, 3.4 and 5.4 to 5.6).
#include "emulator/blocks.h"
#include "emulator/system.h"

namespace vtkit::emulator {

namespace {

constexpr uint64_t kAccessedBit = uint64_t{1} << 40;

/** The linear address of a selector's descriptor of so many bytes, or false with the fault pending. */
bool descriptorAddress(Cpu& cpu, uint16_t selector, unsigned bytes, uint8_t vector, uint64_t& address) {
  const bool local = (selector & 4) != 0;
  const vcpu::Segment& ldt = cpu.seg[LDTR];
  const uint64_t base = local ? ldt.base : cpu.gdt.base;
  const uint64_t limit = local ? ldt.limit : cpu.gdt.limit;
  const uint64_t offset = selector & ~7u;
  if ((local && ldt.unusable != 0) || offset + bytes - 1 > limit) return raise(cpu, vector, selector & ~3u);
  address = base + offset;
  return true;
}

}  // namespace

bool readDescriptor(Cpu& cpu, uint16_t selector, Descriptor& descriptor, uint8_t vector) {
  uint64_t address;
  if (!descriptorAddress(cpu, selector, 8, vector, address)) return false;
  if (!loadSystem<uint64_t>(cpu, address, descriptor.raw)) return false;
  descriptor.high = 0;
  if (descriptor.s() || !cpu.longMode()) return true;
  const unsigned type = descriptor.type();
  if (type != 2 && type != 9 && type != 11 && type != 12) return true;
  if (!descriptorAddress(cpu, selector, 16, vector, address)) return false;
  return loadSystem<uint64_t>(cpu, address + 8, descriptor.high);
}

bool setAccessed(Cpu& cpu, uint16_t selector, Descriptor& descriptor) {
  if ((descriptor.raw & kAccessedBit) != 0) return true;
  uint64_t address;
  if (!descriptorAddress(cpu, selector, 8, kGp, address)) return false;
  descriptor.raw |= kAccessedBit;
  return storeSystem<uint8_t>(cpu, address + 5, static_cast<uint8_t>(descriptor.raw >> 40));
}

vcpu::Segment segmentOf(uint16_t selector, const Descriptor& descriptor, bool wideBase) {
  vcpu::Segment segment = {};
  segment.base = wideBase ? descriptor.base() : descriptor.base() & 0xffffffff;
  segment.limit = descriptor.limit();
  segment.selector = selector;
  segment.type = static_cast<uint8_t>(descriptor.type());
  segment.present = descriptor.present();
  segment.dpl = static_cast<uint8_t>(descriptor.dpl());
  segment.db = descriptor.db();
  segment.s = descriptor.s();
  segment.l = descriptor.l();
  segment.g = descriptor.raw >> 55 & 1;
  segment.avl = descriptor.raw >> 52 & 1;
  return segment;
}

void loadRealSegment(Cpu& cpu, unsigned seg, uint16_t selector) {
  vcpu::Segment& segment = cpu.seg[seg];
  segment.selector = selector;
  segment.base = uint64_t{selector} << 4;
  segment.present = 1;
  segment.unusable = 0;
  segment.s = 1;
  segment.type = 3;
  segment.dpl = cpu.v86() ? 3 : 0;
  if (cpu.v86()) {  // real mode keeps the limit that protected mode left behind
    segment.limit = 0xffff;
    segment.db = segment.g = 0;
  }
  if (seg == CS) segment.l = 0;
  updateMode(cpu);
}

bool loadSegment(Cpu& cpu, unsigned seg, uint16_t selector) {
  if (!cpu.protectedMode() || cpu.v86()) {
    loadRealSegment(cpu, seg, selector);
    return true;
  }
  const unsigned rpl = selector & 3;
  if ((selector & ~3) == 0) {
    if (seg == SS && !(cpu.code64() && cpu.cpl < 3 && rpl == cpu.cpl)) return gp(cpu);
    vcpu::Segment null = {};
    null.selector = selector;
    null.unusable = 1;
    null.dpl = seg == SS ? cpu.cpl : 0;
    // The hidden base survives a null selector on the processors that this one takes after only for SS: clear it.
    cpu.seg[seg] = null;
    updateMode(cpu);
    return true;
  }
  Descriptor descriptor;
  if (!readDescriptor(cpu, selector, descriptor)) return false;
  const uint32_t error = selector & ~3u;
  const bool writable = !descriptor.isCode() && (descriptor.type() & 2) != 0;
  if (seg == SS) {
    if (!descriptor.s() || !writable || rpl != cpu.cpl || descriptor.dpl() != cpu.cpl) return gp(cpu, error);
    if (!descriptor.present()) return raise(cpu, kSsFault, error);
  } else {
    const bool readable = !descriptor.isCode() || (descriptor.type() & 2) != 0;
    if (!descriptor.s() || !readable) return gp(cpu, error);
    const bool checked = !descriptor.isCode() || !descriptor.conforming();
    if (checked && (rpl > descriptor.dpl() || cpu.cpl > descriptor.dpl())) return gp(cpu, error);
    if (!descriptor.present()) return raise(cpu, kNp, error);
  }
  if (!setAccessed(cpu, selector, descriptor)) return false;
  cpu.seg[seg] = segmentOf(selector, descriptor, false);
  updateMode(cpu);
  return true;
}

void loadCode(Cpu& cpu, uint16_t selector, const Descriptor& descriptor, unsigned cpl) {
  cpu.seg[CS] = segmentOf(static_cast<uint16_t>((selector & ~3) | cpl), descriptor, false);
  cpu.cpl = static_cast<uint8_t>(cpl);
  updateMode(cpu);
}

void updateMode(Cpu& cpu) {
  const vcpu::Segment& cs = cpu.seg[CS];
  const bool paged = cpu.longMode();
  cpu.codeBits = paged && cs.l != 0 ? 64 : cs.db != 0 ? 32 : 16;
  if (!cpu.protectedMode()) cpu.cpl = 0;
  if (cpu.v86()) cpu.cpl = 3;
  cpu.userTag = cpu.cpl == 3 ? 1 : 0;
  cpu.ipMask = cpu.codeBits == 64 ? ~uint64_t{0} : 0xffffffff;
  cpu.stackMask = cpu.codeBits == 64 ? ~uint64_t{0} : cpu.seg[SS].db != 0 ? 0xffffffff : 0xffff;
  cpu.flat = 0;
  constexpr uint64_t kNowhere = uint64_t{1} << 62;  // not canonical
  for (unsigned seg = ES; seg <= GS; seg++) {
    const vcpu::Segment& s = cpu.seg[seg];
    const bool plain = s.unusable == 0 && s.present != 0 && s.base == 0 && s.limit == 0xffffffff;
    const bool data =
        !cpu.protectedMode() || cpu.v86() || ((s.type & 8) == 0 && (s.type & 2) != 0 && (s.type & 4) == 0);
    const bool flat = plain && data;
    if (flat) cpu.flat = static_cast<uint8_t>(cpu.flat | 1u << seg);
    const uint64_t base = seg >= FS ? s.base : 0;
    cpu.linearBase[seg] = cpu.codeBits == 64 ? base : flat ? 0 : kNowhere;
  }
  updateUsable(cpu);
  cpu.leaveBlock = true;
  const uint64_t base = cpu.codeBits == 64 ? 0 : cs.base, limit = cpu.codeBits == 64 ? ~uint64_t{0} : cs.limit;
  if (base != cpu.codeBase || limit != cpu.codeLimit) {
    cpu.codeBase = base;
    cpu.codeLimit = limit;
    newEpoch(cpu);
  }
  const uint64_t mode = cpu.codeBits / 32u | (cpu.cpl == 3 ? 4u : 0u);
  cpu.codeState = (cpu.codeState & ~kJumpMode) | mode;
}

bool stackOfLevel(Cpu& cpu, unsigned level, uint16_t& ss, uint64_t& rsp) {
  const vcpu::Segment& tr = cpu.seg[TR];
  const uint32_t error = tr.selector & ~3u;
  if (cpu.longMode()) {
    const uint64_t offset = 4 + 8 * level;
    if (offset + 7 > tr.limit) return raise(cpu, kTs, error);
    ss = static_cast<uint16_t>(level);
    return loadSystem<uint64_t>(cpu, tr.base + offset, rsp);
  }
  const bool wide = (tr.type & 8) != 0;
  const uint64_t offset = wide ? 4 + 8 * level : 2 + 4 * level;
  if (offset + (wide ? 5 : 3) > tr.limit) return raise(cpu, kTs, error);
  if (wide) {
    uint32_t value;
    if (!loadSystem<uint32_t>(cpu, tr.base + offset, value)) return false;
    rsp = value;
    return loadSystem<uint16_t>(cpu, tr.base + offset + 4, ss);
  }
  uint16_t value;
  if (!loadSystem<uint16_t>(cpu, tr.base + offset, value)) return false;
  rsp = value;
  return loadSystem<uint16_t>(cpu, tr.base + offset + 2, ss);
}

bool mayUsePort(Cpu& cpu, uint16_t port, unsigned bytes) {
  if (!cpu.protectedMode() || (cpu.cpl <= cpu.iopl() && !cpu.v86())) return true;
  const vcpu::Segment& tr = cpu.seg[TR];
  uint16_t map, bits;
  if (tr.unusable != 0 || (tr.type & 8) == 0 || tr.limit < 103) return gp(cpu);
  if (!loadSystem<uint16_t>(cpu, tr.base + 102, map)) return false;
  const uint32_t at = map + port / 8u;
  if (at + 1 > tr.limit) return gp(cpu);
  if (!loadSystem<uint16_t>(cpu, tr.base + at, bits)) return false;
  return (bits >> (port & 7) & ((1u << bytes) - 1)) == 0 ? true : gp(cpu);
}

}  // namespace vtkit::emulator
