// State of a KVM vCPU: each structure with the ioctl that moves it.
#include <cstddef>
#include <cstring>

#include "kvm/vcpu.h"
#include "os/ioctl.h"

namespace vtkit::kvm {

static_assert(sizeof(vcpu::Regs) == sizeof(kvm_regs) && offsetof(vcpu::Regs, rflags) == offsetof(kvm_regs, rflags));
static_assert(sizeof(vcpu::Sregs) == sizeof(kvm_sregs) && offsetof(vcpu::Sregs, efer) == offsetof(kvm_sregs, efer));
static_assert(sizeof(vcpu::Segment) == sizeof(kvm_segment));
static_assert(sizeof(vcpu::DebugRegs) == sizeof(kvm_debugregs));
static_assert(sizeof(vcpu::Events) == sizeof(kvm_vcpu_events));
static_assert(sizeof(vcpu::Fpu) == sizeof(kvm_fpu));
static_assert(sizeof(vcpu::Xcrs) == sizeof(kvm_xcrs));
static_assert(sizeof(vcpu::CpuidEntry) == sizeof(kvm_cpuid_entry2));
static_assert(sizeof(vcpu::MsrEntry) == sizeof(kvm_msr_entry));

namespace {

struct Structure {
  uint32_t bytes;
  unsigned long get;
  const char* getName;
  unsigned long set;
  const char* setName;
};

#define STRUCTURE(type, name) \
  { sizeof(type), KVM_GET_##name, "KVM_GET_" #name, KVM_SET_##name, "KVM_SET_" #name }
constexpr Structure kStructures[] = {
    STRUCTURE(kvm_fpu, FPU),
    STRUCTURE(kvm_xsave, XSAVE),
    STRUCTURE(kvm_xcrs, XCRS),
    STRUCTURE(kvm_lapic_state, LAPIC),
    STRUCTURE(kvm_vcpu_events, VCPU_EVENTS),
    STRUCTURE(kvm_mp_state, MP_STATE),
    STRUCTURE(kvm_debugregs, DEBUGREGS),
};
#undef STRUCTURE

const Structure& structureOf(vcpu::StateKind kind) { return kStructures[static_cast<uint32_t>(kind)]; }

constexpr uint32_t kMaxCpuidEntries = 256;

/** A kernel structure that ends in an array: its header, then `count` entries. */
template <typename Header>
Header* withEntries(std::vector<uint64_t>& storage, size_t entryBytes, size_t count) {
  storage.assign((sizeof(Header) + entryBytes * count + 7) / 8, 0);
  return reinterpret_cast<Header*>(storage.data());
}

}  // namespace

void Vcpu::loadRegs() {
  os::ioctl(fd_, KVM_GET_REGS, "KVM_GET_REGS", &run_->s.regs.regs);
  syncRegsToCell();
}

void Vcpu::storeRegs() {
  std::memcpy(&run_->s.regs.regs, &cell_.regs, sizeof(cell_.regs));
  run_->kvm_dirty_regs |= KVM_SYNC_X86_REGS;
}

void Vcpu::loadSregs() { os::ioctl(fd_, KVM_GET_SREGS, "KVM_GET_SREGS", &cell_.sregs); }

void Vcpu::storeSregs() { os::ioctl(fd_, KVM_SET_SREGS, "KVM_SET_SREGS", &cell_.sregs); }

uint32_t Vcpu::stateBytes(vcpu::StateKind kind) { return structureOf(kind).bytes; }

void Vcpu::getState(vcpu::StateKind kind, void* to) {
  const Structure& structure = structureOf(kind);
  os::ioctl(fd_, structure.get, structure.getName, to);
}

void Vcpu::setState(vcpu::StateKind kind, const void* from) {
  const Structure& structure = structureOf(kind);
  os::ioctl(fd_, structure.set, structure.setName, const_cast<void*>(from));
}

uint32_t Vcpu::getMsrs(std::vector<vcpu::MsrEntry>& entries) {
  std::vector<uint64_t> storage;
  auto* msrs = withEntries<kvm_msrs>(storage, sizeof(kvm_msr_entry), entries.size());
  msrs->nmsrs = static_cast<uint32_t>(entries.size());
  std::memcpy(msrs->entries, entries.data(), entries.size() * sizeof(kvm_msr_entry));
  const int taken = os::ioctl(fd_, KVM_GET_MSRS, "KVM_GET_MSRS", msrs);
  std::memcpy(entries.data(), msrs->entries, entries.size() * sizeof(kvm_msr_entry));
  return static_cast<uint32_t>(taken);
}

uint32_t Vcpu::setMsrs(const std::vector<vcpu::MsrEntry>& entries) {
  std::vector<uint64_t> storage;
  auto* msrs = withEntries<kvm_msrs>(storage, sizeof(kvm_msr_entry), entries.size());
  msrs->nmsrs = static_cast<uint32_t>(entries.size());
  std::memcpy(msrs->entries, entries.data(), entries.size() * sizeof(kvm_msr_entry));
  return static_cast<uint32_t>(os::ioctl(fd_, KVM_SET_MSRS, "KVM_SET_MSRS", msrs));
}

std::vector<vcpu::CpuidEntry> Vcpu::getCpuid() {
  std::vector<uint64_t> storage;
  auto* cpuid = withEntries<kvm_cpuid2>(storage, sizeof(kvm_cpuid_entry2), kMaxCpuidEntries);
  cpuid->nent = kMaxCpuidEntries;
  os::ioctl(fd_, KVM_GET_CPUID2, "KVM_GET_CPUID2", cpuid);
  std::vector<vcpu::CpuidEntry> entries(cpuid->nent);
  std::memcpy(entries.data(), cpuid->entries, entries.size() * sizeof(vcpu::CpuidEntry));
  return entries;
}

void Vcpu::setCpuid(const std::vector<vcpu::CpuidEntry>& entries) {
  std::vector<uint64_t> storage;
  auto* cpuid = withEntries<kvm_cpuid2>(storage, sizeof(kvm_cpuid_entry2), entries.size());
  cpuid->nent = static_cast<uint32_t>(entries.size());
  std::memcpy(cpuid->entries, entries.data(), entries.size() * sizeof(kvm_cpuid_entry2));
  os::ioctl(fd_, KVM_SET_CPUID2, "KVM_SET_CPUID2", cpuid);
}

bool Vcpu::interrupt(uint8_t vector) {
  int none = -1;
  return queuedVector_.compare_exchange_strong(none, vector);
}

void Vcpu::nmi() {
  os::ioctl(fd_, KVM_NMI, "KVM_NMI", 0);
  nmiQueued_.store(true);
}

bool Vcpu::interruptWaits() {
  return nmiQueued_.load() || queuedVector_.load() >= 0 ||
         (board_.interrupts() != nullptr && board_.interrupts()->asserted());
}

void Vcpu::setSingleStep(bool on) {
  stepping_ = on;
  setGuestDebug();
}

void Vcpu::setBreakpointExits(bool on) {
  breakpointExits_ = on;
  setGuestDebug();
}

void Vcpu::setGuestDebug() {
  kvm_guest_debug debug = {};
  if (stepping_) debug.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP;
  if (breakpointExits_) debug.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP;
  os::ioctl(fd_, KVM_SET_GUEST_DEBUG, "KVM_SET_GUEST_DEBUG", &debug);
}

void Vcpu::armSingleStep() {
  // KVM steps from the address that was current when it was asked to: registers that KVM_RUN would take come first.
  if ((run_->kvm_dirty_regs & KVM_SYNC_X86_REGS) != 0) {
    os::ioctl(fd_, KVM_SET_REGS, "KVM_SET_REGS", &run_->s.regs.regs);
    run_->kvm_dirty_regs &= ~uint64_t{KVM_SYNC_X86_REGS};
  }
  setGuestDebug();
}

}  // namespace vtkit::kvm
