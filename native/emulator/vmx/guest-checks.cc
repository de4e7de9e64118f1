// Checks on the guest-state area (SDM Vol. 3C, 27.3.1).
#include "emulator/cpu-model.h"
#include "emulator/system.h"
#include "emulator/vmx/capabilities.h"
#include "emulator/vmx/controls.h"
#include "emulator/vmx/entry-checks.h"
#include "emulator/vmx/transitions.h"

namespace vtkit::emulator::vmx {

namespace {

constexpr uint64_t kUnusable = 1u << 16;

/** A segment register as the VMCS has it. */
struct Segment {
  uint64_t selector, base, limit, rights;

  Segment(const Vmcs& vmcs, unsigned seg) {
    const auto at = [&](Field first) { return vmcs.get(static_cast<Field>(static_cast<uint32_t>(first) + 2 * seg)); };
    selector = at(Field::guestEsSelector);
    base = at(Field::guestEsBase);
    limit = at(Field::guestEsLimit);
    rights = at(Field::guestEsAccessRights);
  }
  bool usable() const { return (rights & kUnusable) == 0; }
  unsigned type() const { return rights & 15; }
  bool s() const { return (rights >> 4 & 1) != 0; }
  unsigned dpl() const { return rights >> 5 & 3; }
  bool present() const { return (rights >> 7 & 1) != 0; }
  bool isLong() const { return (rights >> 13 & 1) != 0; }
  bool db() const { return (rights >> 14 & 1) != 0; }
  bool g() const { return (rights >> 15 & 1) != 0; }
  unsigned rpl() const { return selector & 3; }
  bool local() const { return (selector & 4) != 0; }
  /** Reserved bits are 0, and the granularity fits the limit. */
  bool wellFormed() const {
    constexpr uint64_t kReserved = 0xfffe0f00;
    if ((rights & kReserved) != 0) return false;
    return ((limit & 0xfff) == 0xfff || !g()) && (limit >> 20 == 0 || g());
  }
};

class Check {
 public:
  Check(const Cpu& cpu, const Vmcs& vmcs)
      : cpu_(cpu),
        vmcs_(vmcs),
        controls_(vmcs),
        cr0_(get(Field::guestCr0)),
        cr4_(get(Field::guestCr4)),
        rflags_(get(Field::guestRflags)),
        information_(get(Field::entryInterruptionInformation)),
        longMode_((controls_.entry & onEntry::kIa32eModeGuest) != 0),
        unrestricted_((controls_.secondary & secondary::kUnrestrictedGuest) != 0),
        v86_((rflags_ & kVm) != 0),
        wide_(has(cpu, model::kLa57)) {}

  /** 27.3.1.1 */
  bool registers() const {
    const uint64_t fixed = kCr0Fixed0 & ~(unrestricted_ ? kCr0Pe | kCr0Pg : 0);
    if ((cr0_ & fixed) != fixed || (cr0_ & ~kCr0Fixed1) != 0 || ((cr0_ & kCr0Pg) != 0 && (cr0_ & kCr0Pe) == 0))
      return false;
    if ((cr4_ & kCr4Fixed0) != kCr4Fixed0 || !hasCr4(cpu_, cr4_)) return false;
    if (longMode_ ? (cr0_ & kCr0Pg) == 0 || (cr4_ & kCr4Pae) == 0 : (cr4_ & kCr4Pcide) != 0) return false;
    if ((get(Field::guestCr3) & ~physicalMask(cpu_)) != 0) return false;
    if ((controls_.entry & onEntry::kLoadDebugControls) != 0) {
      constexpr uint64_t kDebugControls = 3;  // LBR, BTF
      if ((get(Field::guestDebugctl) & ~kDebugControls) != 0 || get(Field::guestDr7) >> 32 != 0) return false;
    }
    if (!isBase(Field::guestSysenterEsp) || !isBase(Field::guestSysenterEip)) return false;
    if ((controls_.entry & onEntry::kLoadPat) != 0 && !isPat(get(Field::guestPat))) return false;
    if ((controls_.entry & onEntry::kLoadEfer) == 0) return true;
    const uint64_t efer = get(Field::guestEfer);
    const bool lma = (efer & kEferLma) != 0, lme = (efer & kEferLme) != 0;
    return isEfer(cpu_, efer) && lma == longMode_ && ((cr0_ & kCr0Pg) == 0 || lma == lme);
  }

  /** 27.3.1.2 */
  bool segments() const {
    const Segment cs(vmcs_, CS), ss(vmcs_, SS), tr(vmcs_, TR), ldtr(vmcs_, LDTR);
    if (tr.local() || (ldtr.usable() && ldtr.local())) return false;
    if (!canonical(tr.base) || (ldtr.usable() && !canonical(ldtr.base))) return false;
    if (!isBase(Field::guestFsBase) || !isBase(Field::guestGsBase) || cs.base >> 32 != 0) return false;
    for (const unsigned seg : {SS, DS, ES}) {
      const Segment segment(vmcs_, seg);
      if (segment.usable() && segment.base >> 32 != 0) return false;
    }
    if (!(v86_ ? v86Segments() : codeSegment(cs, ss) && stackSegment(cs, ss) && dataSegments())) return false;
    const bool busy = tr.type() == 11 || (tr.type() == 3 && !longMode_);
    if (!tr.usable() || !busy || tr.s() || !tr.present() || !tr.wellFormed()) return false;
    return !ldtr.usable() || (ldtr.type() == 2 && !ldtr.s() && ldtr.present() && ldtr.wellFormed());
  }

  /** 27.3.1.3 and 27.3.1.4 */
  bool tablesAndFlags() const {
    if (!isBase(Field::guestGdtrBase) || !isBase(Field::guestIdtrBase)) return false;
    if (get(Field::guestGdtrLimit) >> 16 != 0 || get(Field::guestIdtrLimit) >> 16 != 0) return false;
    const uint64_t rip = get(Field::guestRip);
    if (longMode_ && Segment(vmcs_, CS).isLong() ? !canonical(rip) : rip >> 32 != 0) return false;
    constexpr uint64_t kReserved = ~uint64_t{0x3f7fd7}, kOne = 2;
    if ((rflags_ & (kReserved | kOne)) != kOne) return false;
    if (v86_ && (longMode_ || (cr0_ & kCr0Pe) == 0)) return false;
    return !injects(kExternalEvent) || (rflags_ & kIf) != 0;
  }

  /** 27.3.1.5: activity, interruptibility, pending debug exceptions; NMIs and the link pointer apart. */
  bool state() const {
    const uint64_t activity = get(Field::guestActivityState), blocking = get(Field::guestInterruptibilityState);
    constexpr uint64_t kActive = 0, kHlt = 1, kShutdown = 2, kWaitForSipi = 3;
    if (activity > kWaitForSipi) return false;
    if (activity == kHlt && Segment(vmcs_, SS).dpl() != 0) return false;
    const uint64_t shadow = blocking & (kBlockingBySti | kBlockingByMovSs);
    if (shadow != 0 && activity != kActive) return false;
    if (valid() && !wakesFrom(activity, kHlt, kShutdown, kWaitForSipi)) return false;

    constexpr uint64_t kKnown = kBlockingBySti | kBlockingByMovSs | kBlockingByNmi;  // no SMM, no enclaves
    if ((blocking & ~kKnown) != 0 || shadow == (kBlockingBySti | kBlockingByMovSs)) return false;
    if ((blocking & kBlockingBySti) != 0 && (rflags_ & kIf) == 0) return false;
    if (injects(kExternalEvent) && shadow != 0) return false;
    const bool virtualNmis = (controls_.pinBased & pin::kVirtualNmis) != 0;
    if (injects(kNmiEvent) && virtualNmis && (blocking & kBlockingByNmi) != 0) return false;

    const uint64_t pending = get(Field::guestPendingDebugExceptions);
    constexpr uint64_t kPending = 15 | kPendingEnabled | kPendingSingleStep;
    if ((pending & ~kPending) != 0) return false;
    if (shadow == 0 && activity != kHlt) return true;
    constexpr uint64_t kBtf = 2;
    const bool steps = (rflags_ & kTf) != 0 && (get(Field::guestDebugctl) & kBtf) == 0;
    return ((pending & kPendingSingleStep) != 0) == steps;
  }

  bool nmi() const { return !injects(kNmiEvent) || (get(Field::guestInterruptibilityState) & kBlockingByMovSs) == 0; }

  bool link() const {
    const uint64_t pointer = get(Field::vmcsLinkPointer);
    if (pointer == ~uint64_t{0}) return true;
    uint32_t revision = 0;
    if ((pointer & 0xfff) != 0 || (pointer & ~physicalMask(cpu_)) != 0 || pointer == cpu_.vmx.current) return false;
    if (!cpu_.memory->read(pointer, &revision, sizeof(revision))) return false;
    constexpr uint32_t kShadow = 1u << 31;
    const bool shadows = (controls_.secondary & secondary::kVmcsShadowing) != 0;
    return (revision & ~kShadow) == kRevision && ((revision & kShadow) != 0) == shadows;
  }

  /** 27.3.1.6: the four entries that PAE paging keeps. */
  bool pointers() const {
    if (longMode_ || (cr0_ & kCr0Pg) == 0 || (cr4_ & kCr4Pae) == 0) return true;
    const bool ept = (controls_.secondary & secondary::kEnableEpt) != 0;
    for (unsigned i = 0; i < 4; i++) {
      const uint64_t entry = ept ? get(pointerField(i)) : pointerAt(cpu_, pointerAddress(get(Field::guestCr3), i));
      if (!isPointer(cpu_, entry)) return false;
    }
    return true;
  }

 private:
  uint64_t get(Field field) const { return vmcs_.get(field); }
  bool canonical(uint64_t address) const { return wide_ ? canonical57(address) : canonical48(address); }
  bool isBase(Field field) const { return canonical(get(field)); }
  bool valid() const { return (information_ & kEventValid) != 0; }
  bool injects(EventType type) const { return valid() && (information_ >> 8 & 7) == type; }

  /** Events that may be injected into an activity state. */
  bool wakesFrom(uint64_t activity, uint64_t hlt, uint64_t shutdown, uint64_t waitForSipi) const {
    const uint64_t vector = information_ & 0xff;
    constexpr uint64_t kDebug = 1, kMachineCheck = 18;
    const bool machineCheck = injects(kHardwareException) && vector == kMachineCheck;
    if (activity == waitForSipi) return false;
    if (activity == shutdown) return injects(kNmiEvent) || machineCheck;
    if (activity != hlt) return true;
    const bool debug = injects(kHardwareException) && vector == kDebug;
    return injects(kExternalEvent) || injects(kNmiEvent) || machineCheck || debug || injects(kOtherEvent);
  }

  bool v86Segments() const {
    constexpr uint64_t kRights = 0xf3;
    for (unsigned seg = ES; seg <= GS; seg++) {
      const Segment segment(vmcs_, seg);
      if (segment.base != segment.selector << 4 || segment.limit != 0xffff || segment.rights != kRights) return false;
    }
    return true;
  }

  bool codeSegment(const Segment& cs, const Segment& ss) const {
    // An unusable CS is held to the same, and taken (27.3.1.2).
    if (!cs.s() || !cs.present() || !cs.wellFormed()) return false;
    if (longMode_ && cs.isLong() && cs.db()) return false;
    switch (cs.type()) {
      case 3:
        return unrestricted_ && cs.dpl() == 0;
      case 9:
      case 11:
        return cs.dpl() == ss.dpl();
      case 13:
      case 15:
        return cs.dpl() <= ss.dpl();
      default:
        return false;
    }
  }

  bool stackSegment(const Segment& cs, const Segment& ss) const {
    if (!unrestricted_ && (ss.rpl() != cs.rpl() || ss.dpl() != ss.rpl())) return false;
    if ((cs.type() == 3 || (cr0_ & kCr0Pe) == 0) && ss.dpl() != 0) return false;
    if (!ss.usable()) return true;
    return (ss.type() == 3 || ss.type() == 7) && ss.s() && ss.present() && ss.wellFormed();
  }

  bool dataSegments() const {
    for (const unsigned seg : {DS, ES, FS, GS}) {
      const Segment segment(vmcs_, seg);
      if (!segment.usable()) continue;
      const bool accessed = (segment.type() & 1) != 0, code = (segment.type() & 8) != 0;
      if (!accessed || (code && (segment.type() & 2) == 0)) return false;
      if (!segment.s() || !segment.present() || !segment.wellFormed()) return false;
      if (!unrestricted_ && segment.type() <= 11 && segment.dpl() < segment.rpl()) return false;
    }
    return true;
  }

  const Cpu& cpu_;
  const Vmcs& vmcs_;
  const Controls controls_;
  const uint64_t cr0_, cr4_, rflags_, information_;
  const bool longMode_, unrestricted_, v86_, wide_;
};

}  // namespace

GuestFailure checkGuest(const Cpu& cpu, const Vmcs& vmcs) {
  const Check check(cpu, vmcs);
  if (!check.registers() || !check.segments() || !check.tablesAndFlags() || !check.state()) return {true, kBadState};
  if (!check.nmi()) return {true, kNmiBlocked};
  if (!check.link()) return {true, kBadLink};
  if (!check.pointers()) return {true, kBadPointers};
  return {};
}

}  // namespace vtkit::emulator::vmx
