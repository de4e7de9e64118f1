// Hardware task switches: the old state goes into one TSS, the new one comes out of another.
#include "emulator/task.h"

#include "emulator/breakpoints.h"
#include "emulator/frame.h"

namespace vtkit::emulator {

namespace {

enum TssType : unsigned { kAvailable16 = 1, kBusy16 = 3, kAvailable32 = 9, kBusy32 = 11 };
constexpr unsigned kBusyBit = 2;

/** Where a TSS keeps what (figures 8-2 and 8-10). General registers come in the order of their numbers. */
struct Layout {
  unsigned bytes;    // of an item
  unsigned minimum;  // limit
  unsigned ip, flags, registers, segments, ldt;
  unsigned segmentCount;  // ES, CS, SS, DS and, in 32 bits, FS, GS
  /** Of the state that a task leaves behind. */
  unsigned last() const { return segments + segmentCount * bytes - 1; }
};
constexpr Layout kLayout16 = {2, 0x2b, 0x0e, 0x10, 0x12, 0x22, 0x2a, 4};
constexpr Layout kLayout32 = {4, 0x67, 0x20, 0x24, 0x28, 0x48, 0x60, 6};
constexpr unsigned kCr3Offset = 0x1c, kTrapOffset = 0x64;

bool wideTss(unsigned type) { return (type & 8) != 0; }

bool loadItem(Cpu& cpu, uint64_t address, unsigned bytes, uint32_t& value) {
  if (bytes == 4) return loadSystem<uint32_t>(cpu, address, value);
  uint16_t half;
  if (!loadSystem<uint16_t>(cpu, address, half)) return false;
  value = half;
  return true;
}

bool storeItem(Cpu& cpu, uint64_t address, unsigned bytes, uint64_t value) {
  return bytes == 4 ? storeSystem<uint32_t>(cpu, address, static_cast<uint32_t>(value))
                    : storeSystem<uint16_t>(cpu, address, static_cast<uint16_t>(value));
}

struct Image {
  uint32_t ip = 0, flags = 0, registers[8] = {}, segments[6] = {}, ldt = 0, cr3 = 0;
  uint32_t trap = 0;
};

bool readImage(Cpu& cpu, uint64_t base, const Layout& layout, Image& image) {
  bool ok = loadItem(cpu, base + layout.ip, layout.bytes, image.ip) &&
            loadItem(cpu, base + layout.flags, layout.bytes, image.flags) &&
            loadItem(cpu, base + layout.ldt, layout.bytes, image.ldt);
  for (unsigned i = 0; i < 8 && ok; i++) {
    ok = loadItem(cpu, base + layout.registers + i * layout.bytes, layout.bytes, image.registers[i]);
    if (layout.bytes == 2) image.registers[i] |= 0xffff0000;
  }
  for (unsigned i = 0; i < layout.segmentCount && ok; i++) {
    ok = loadItem(cpu, base + layout.segments + i * layout.bytes, layout.bytes, image.segments[i]);
  }
  if (layout.bytes == 2 || !ok) return ok;
  return loadItem(cpu, base + kCr3Offset, 4, image.cr3) && loadItem(cpu, base + kTrapOffset, 4, image.trap);
}

bool writeImage(Cpu& cpu, uint64_t base, const Layout& layout, uint64_t savedFlags) {
  bool ok = storeItem(cpu, base + layout.ip, layout.bytes, cpu.rip()) &&
            storeItem(cpu, base + layout.flags, layout.bytes, savedFlags);
  for (unsigned i = 0; i < 8 && ok; i++) {
    ok = storeItem(cpu, base + layout.registers + i * layout.bytes, layout.bytes, cpu.gpr[i]);
  }
  for (unsigned i = 0; i < layout.segmentCount && ok; i++) {
    ok = storeItem(cpu, base + layout.segments + i * layout.bytes, layout.bytes, cpu.seg[ES + i].selector);
  }
  return ok;
}

bool setBusy(Cpu& cpu, uint16_t selector, const Descriptor& descriptor, bool busy) {
  auto access = static_cast<uint8_t>(descriptor.raw >> 40);
  access = static_cast<uint8_t>(busy ? access | kBusyBit : access & ~kBusyBit);
  return storeSystem<uint8_t>(cpu, cpu.gdt.base + (selector & ~7u) + 5, access);
}

/** The new task's TSS descriptor, with the checks of step 2 and 4. */
bool openTss(Cpu& cpu, uint16_t selector, bool back, uint32_t ext, Descriptor& tss) {
  const uint8_t vector = back ? kTs : kGp;
  const uint32_t error = (selector & ~3u) | ext;
  if ((selector & ~3) == 0 || (selector & 4) != 0) return raise(cpu, vector, error);
  if (!readDescriptor(cpu, selector, tss, vector)) return false;
  const unsigned type = tss.type();
  const bool right = back ? type == kBusy16 || type == kBusy32 : type == kAvailable16 || type == kAvailable32;
  if (tss.s() || !right) return raise(cpu, vector, error);
  if (!tss.present()) return raise(cpu, kNp, error);
  const Layout& layout = wideTss(type) ? kLayout32 : kLayout16;
  return tss.limit() >= layout.minimum ? true : raise(cpu, kTs, error);
}

bool loadTaskLdt(Cpu& cpu, uint16_t selector) {
  vcpu::Segment& ldt = cpu.seg[LDTR];
  ldt = {};
  ldt.selector = selector;
  ldt.unusable = 1;
  if ((selector & ~3) == 0) return true;
  const uint32_t error = selector & ~3u;
  if ((selector & 4) != 0) return raise(cpu, kTs, error);
  Descriptor descriptor;
  if (!readDescriptor(cpu, selector, descriptor, kTs)) return false;
  if (descriptor.s() || descriptor.type() != 2 || !descriptor.present()) return raise(cpu, kTs, error);
  ldt = segmentOf(selector, descriptor, false);
  return true;
}

/** One segment register of the new task (table 8-1): the faults of a load, but #TS for a wrong kind. */
bool loadTaskSegment(Cpu& cpu, unsigned seg, uint16_t selector) {
  const uint32_t error = selector & ~3u;
  if (error == 0) return seg == CS || seg == SS ? raise(cpu, kTs, 0) : true;
  Descriptor descriptor;
  if (!readDescriptor(cpu, selector, descriptor, kTs)) return false;
  const unsigned rpl = selector & 3, dpl = descriptor.dpl();
  const bool code = descriptor.isCode(), bit1 = (descriptor.type() & 2) != 0;
  bool right = descriptor.s();
  if (seg == CS) {
    right = code && (descriptor.conforming() ? dpl <= rpl : dpl == rpl);
  } else if (seg == SS) {
    right = right && !code && bit1 && dpl == cpu.cpl && rpl == cpu.cpl;
  } else {
    const bool checked = !code || !descriptor.conforming();
    right = right && (!code || bit1) && (!checked || (dpl >= rpl && dpl >= cpu.cpl));
  }
  if (!right) return raise(cpu, kTs, error);
  if (!descriptor.present()) return raise(cpu, seg == SS ? kSsFault : kNp, error);
  if (!setAccessed(cpu, selector, descriptor)) return false;
  cpu.seg[seg] = segmentOf(selector, descriptor, false);
  updateMode(cpu);
  return true;
}

bool loadSegments(Cpu& cpu, const Image& image) {
  if (cpu.v86()) {
    for (unsigned seg = ES; seg <= GS; seg++) {
      loadRealSegment(cpu, seg, static_cast<uint16_t>(image.segments[seg]));
    }
    return true;
  }
  cpu.cpl = image.segments[CS] & 3;
  updateMode(cpu);
  for (const unsigned seg : {CS, SS, ES, DS, FS, GS}) {
    if (!loadTaskSegment(cpu, seg, static_cast<uint16_t>(image.segments[seg]))) return false;
  }
  return cpu.rip() <= cpu.seg[CS].limit ? true : gp(cpu);
}

/** Steps 11 to 14: the new task is the one that runs, whatever is wrong with it. */
bool enter(Cpu& cpu, const Image& image, bool wide) {
  cpu.cr0 |= kCr0Ts;
  cpu.dr7 &= ~uint64_t{0x155};  // local breakpoints end
  updateBreakpoints(cpu);
  cpu.rip() = image.ip;
  cpu.lazy.kind = LazyFlags::none;
  constexpr uint32_t kFlagBits = 0x3f7fd5;
  cpu.rflags = (image.flags & (wide ? kFlagBits : kFlagBits & 0xffff)) | 2;
  for (unsigned i = 0; i < 8; i++) cpu.gpr[i] = image.registers[i];
  for (unsigned seg = ES; seg <= GS; seg++) {
    cpu.seg[seg] = {};
    cpu.seg[seg].selector = static_cast<uint16_t>(image.segments[seg]);
    cpu.seg[seg].unusable = 1;
  }
  // One that is the same is not loaded (SDM Vol. 3A, 4.4.1, 4.10.4.1).
  const bool loadsCr3 = wide && (cpu.cr0 & kCr0Pg) != 0 && image.cr3 != cpu.cr3;
  if (loadsCr3 && !setCr3(cpu, image.cr3)) return false;
  return loadTaskLdt(cpu, static_cast<uint16_t>(image.ldt)) && loadSegments(cpu, image);
}

}  // namespace

bool switchTask(Cpu& cpu, uint16_t selector, TaskSource source, uint32_t ext) {
  const bool back = source == TaskSource::iret, nests = source == TaskSource::call || source == TaskSource::interrupt;
  Descriptor next, last;
  if (!openTss(cpu, selector, back, ext, next)) return false;
  if (cpu.guest) {
    constexpr uint64_t kSources[] = {2, 0, 3, 1};  // as the qualification numbers them (SDM Vol. 3C, table 28-2)
    vmx::leave(cpu, vmx::ExitReason::taskSwitch, selector | kSources[static_cast<unsigned>(source)] << 30);
    cpu.vmx.exit.byInstruction = cpu.vmx.vectoring.information == 0;
    return false;
  }
  const vcpu::Segment old = cpu.seg[TR];
  const Layout& oldLayout = wideTss(old.type) ? kLayout32 : kLayout16;
  const bool wide = wideTss(next.type());
  const Layout& layout = wide ? kLayout32 : kLayout16;
  Image image;
  uint64_t savedFlags = flags(cpu);
  if (back) savedFlags &= ~kNt;
  // The limit of the new TSS has been looked at (8.3, step 4); the old one has to hold what is written to it.
  if (old.limit < oldLayout.last()) return raise(cpu, kTs, (old.selector & ~3u) | ext);
  if (!readImage(cpu, next.base() & 0xffffffff, layout, image) || !writeImage(cpu, old.base, oldLayout, savedFlags)) {
    return false;
  }
  if (!nests && (!readDescriptor(cpu, old.selector, last) || !setBusy(cpu, old.selector, last, false))) return false;
  if (nests) {
    if (!storeSystem<uint16_t>(cpu, next.base() & 0xffffffff, old.selector)) return false;
    image.flags |= kNt;
  }
  if (!back && !setBusy(cpu, selector, next, true)) return false;
  cpu.seg[TR] = segmentOf(selector, next, false);
  cpu.seg[TR].type |= kBusyBit;
  cpu.leaveBlock = true;
  cpu.taskSwitched = !enter(cpu, image, wide);
  if (cpu.taskSwitched) return false;
  // The T flag traps before the first instruction of the new task, with DR6.BT.
  if ((image.trap & 1) != 0) cpu.taskTraps = true;
  return true;
}

bool switchThroughGate(Cpu& cpu, const Descriptor& gate, TaskSource source, uint32_t ext) {
  return switchTask(cpu, static_cast<uint16_t>(gate.raw >> 16), source, ext);
}

bool pushTaskError(Cpu& cpu, uint32_t error) {
  Frame frame(cpu);
  cpu.taskSwitched = !frame.push(error, wideTss(cpu.seg[TR].type) ? 4 : 2);
  if (cpu.taskSwitched) return false;
  cpu.gpr[RSP] = frame.rsp();
  return true;
}

}  // namespace vtkit::emulator
