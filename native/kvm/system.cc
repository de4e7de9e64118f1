// The /dev/kvm descriptor.
#include "kvm/system.h"

#include <fcntl.h>

#include <cstring>

#include "kvm/uapi.h"
#include "os/ioctl.h"

namespace vtkit::kvm {

System System::open(const std::string& path) { return System(os::Fd::open(path, O_RDWR)); }

int System::apiVersion() const { return os::ioctl(fd_, KVM_GET_API_VERSION, "KVM_GET_API_VERSION", 0); }

int System::checkExtension(int capability) const {
  return os::ioctl(fd_, KVM_CHECK_EXTENSION, "KVM_CHECK_EXTENSION", capability);
}

os::Fd System::createVm() const { return os::Fd(os::ioctl(fd_, KVM_CREATE_VM, "KVM_CREATE_VM", 0)); }

size_t System::vcpuMmapSize() const {
  return static_cast<size_t>(os::ioctl(fd_, KVM_GET_VCPU_MMAP_SIZE, "KVM_GET_VCPU_MMAP_SIZE", 0));
}

std::vector<vcpu::CpuidEntry> System::supportedCpuid() const {
  constexpr uint32_t kMost = 256;
  std::vector<uint64_t> storage((sizeof(kvm_cpuid2) + kMost * sizeof(kvm_cpuid_entry2)) / 8 + 1);
  auto* cpuid = reinterpret_cast<kvm_cpuid2*>(storage.data());
  cpuid->nent = kMost;
  os::ioctl(fd_, KVM_GET_SUPPORTED_CPUID, "KVM_GET_SUPPORTED_CPUID", cpuid);
  std::vector<vcpu::CpuidEntry> entries(cpuid->nent);
  std::memcpy(entries.data(), cpuid->entries, entries.size() * sizeof(vcpu::CpuidEntry));
  return entries;
}

std::vector<vcpu::MsrEntry> System::featureMsrs() const {
  constexpr uint32_t kMost = 256;
  std::vector<uint64_t> listStorage((sizeof(kvm_msr_list) + kMost * sizeof(uint32_t)) / 8 + 1);
  auto* list = reinterpret_cast<kvm_msr_list*>(listStorage.data());
  list->nmsrs = kMost;
  os::ioctl(fd_, KVM_GET_MSR_FEATURE_INDEX_LIST, "KVM_GET_MSR_FEATURE_INDEX_LIST", list);

  std::vector<uint64_t> storage((sizeof(kvm_msrs) + list->nmsrs * sizeof(kvm_msr_entry)) / 8 + 1);
  auto* msrs = reinterpret_cast<kvm_msrs*>(storage.data());
  msrs->nmsrs = list->nmsrs;
  for (uint32_t i = 0; i < list->nmsrs; i++) msrs->entries[i].index = list->indices[i];
  const int read = os::ioctl(fd_, KVM_GET_MSRS, "KVM_GET_MSRS", msrs);
  std::vector<vcpu::MsrEntry> entries(static_cast<size_t>(read));
  std::memcpy(entries.data(), msrs->entries, entries.size() * sizeof(vcpu::MsrEntry));
  return entries;
}

const std::vector<Capability>& System::capabilities() {
#define CAPABILITY(name) \
  { #name, name }
  static const std::vector<Capability> kCapabilities = {
      CAPABILITY(KVM_CAP_IRQCHIP),
      CAPABILITY(KVM_CAP_HLT),
      CAPABILITY(KVM_CAP_USER_MEMORY),
      CAPABILITY(KVM_CAP_SET_TSS_ADDR),
      CAPABILITY(KVM_CAP_VAPIC),
      CAPABILITY(KVM_CAP_EXT_CPUID),
      CAPABILITY(KVM_CAP_NR_VCPUS),
      CAPABILITY(KVM_CAP_NR_MEMSLOTS),
      CAPABILITY(KVM_CAP_PIT2),
      CAPABILITY(KVM_CAP_MP_STATE),
      CAPABILITY(KVM_CAP_SYNC_MMU),
      CAPABILITY(KVM_CAP_IRQFD),
      CAPABILITY(KVM_CAP_IOEVENTFD),
      CAPABILITY(KVM_CAP_SET_IDENTITY_MAP_ADDR),
      CAPABILITY(KVM_CAP_VCPU_EVENTS),
      CAPABILITY(KVM_CAP_DEBUGREGS),
      CAPABILITY(KVM_CAP_XSAVE),
      CAPABILITY(KVM_CAP_XCRS),
      CAPABILITY(KVM_CAP_TSC_CONTROL),
      CAPABILITY(KVM_CAP_GET_TSC_KHZ),
      CAPABILITY(KVM_CAP_MAX_VCPUS),
      CAPABILITY(KVM_CAP_SIGNAL_MSI),
      CAPABILITY(KVM_CAP_READONLY_MEM),
      CAPABILITY(KVM_CAP_DEVICE_CTRL),
      CAPABILITY(KVM_CAP_SPLIT_IRQCHIP),
      CAPABILITY(KVM_CAP_SYNC_REGS),
      CAPABILITY(KVM_CAP_X2APIC_API),
      CAPABILITY(KVM_CAP_IMMEDIATE_EXIT),
      CAPABILITY(KVM_CAP_NESTED_STATE),
      CAPABILITY(KVM_CAP_COALESCED_PIO),
      CAPABILITY(KVM_CAP_DIRTY_LOG_RING),
      CAPABILITY(KVM_CAP_SREGS2),
      CAPABILITY(KVM_CAP_BINARY_STATS_FD),
      CAPABILITY(KVM_CAP_X86_USER_SPACE_MSR),
      CAPABILITY(KVM_CAP_X86_MSR_FILTER),

  };
#undef CAPABILITY
  return kCapabilities;
}

}  // namespace vtkit::kvm
