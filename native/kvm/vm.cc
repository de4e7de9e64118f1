// One virtual machine descriptor of KVM.
#include "kvm/vm.h"

#include "kvm/uapi.h"

#include <utility>

#include "kvm/vcpu.h"
#include "os/ioctl.h"

namespace vtkit::kvm {

namespace {
// Four pages that Intel processors without unrestricted guest need for real mode, below the 4 GiB firmware area.
constexpr unsigned long kTssAddress = 0xfffbd000;
constexpr uint64_t kIdentityMapAddress = 0xfffbc000;
}  // namespace

Vm::Vm(os::Fd fd, size_t runBytes, machine::Board& board, Options options)
    : fd_(std::move(fd)), runBytes_(runBytes), board_(board), options_(options) {
  uint64_t identityMap = kIdentityMapAddress;
  os::ioctl(fd_, KVM_SET_IDENTITY_MAP_ADDR, "KVM_SET_IDENTITY_MAP_ADDR", &identityMap);
  os::ioctl(fd_, KVM_SET_TSS_ADDR, "KVM_SET_TSS_ADDR", kTssAddress);
  if (options_.kernelIrqchip) {
    os::ioctl(fd_, KVM_CREATE_IRQCHIP, "KVM_CREATE_IRQCHIP", 0);
    kvm_pit_config pit = {};
    os::ioctl(fd_, KVM_CREATE_PIT2, "KVM_CREATE_PIT2", &pit);
  }
}

void Vm::addMemory(const memory::Slot& slot) {
  kvm_userspace_memory_region region = {};
  region.slot = slot.number;
  region.flags = (slot.readOnly ? KVM_MEM_READONLY : 0u) | (slot.logDirty ? KVM_MEM_LOG_DIRTY_PAGES : 0u);
  region.guest_phys_addr = slot.guestPhysical;
  region.memory_size = slot.bytes;
  region.userspace_addr = reinterpret_cast<uint64_t>(slot.host);
  os::ioctl(fd_, KVM_SET_USER_MEMORY_REGION, "KVM_SET_USER_MEMORY_REGION", &region);
}

void Vm::removeMemory(const memory::Slot& slot) {
  kvm_userspace_memory_region region = {};
  region.slot = slot.number;
  os::ioctl(fd_, KVM_SET_USER_MEMORY_REGION, "KVM_SET_USER_MEMORY_REGION", &region);
}

void Vm::takeDirtyLog(const memory::Slot& slot, uint64_t* bitmap) {
  kvm_dirty_log log = {};
  log.slot = slot.number;
  log.dirty_bitmap = bitmap;
  os::ioctl(fd_, KVM_GET_DIRTY_LOG, "KVM_GET_DIRTY_LOG", &log);
}

std::unique_ptr<vcpu::Processor> Vm::createProcessor(uint32_t index, vcpu::Cell& cell) {
  os::Fd fd(os::ioctl(fd_, KVM_CREATE_VCPU, "KVM_CREATE_VCPU", index));
  return std::make_unique<Vcpu>(std::move(fd), runBytes_, cell, board_, options_.kernelIrqchip);
}

void Vm::setIrqLine(uint32_t gsi, bool level) {
  kvm_irq_level line = {};
  line.irq = gsi;
  line.level = level ? 1 : 0;
  os::ioctl(fd_, KVM_IRQ_LINE, "KVM_IRQ_LINE", &line);
}

void Vm::connectIrqfd(uint32_t gsi, int eventfd, bool connect) {
  kvm_irqfd irqfd = {};
  irqfd.fd = static_cast<uint32_t>(eventfd);
  irqfd.gsi = gsi;
  irqfd.flags = connect ? 0 : KVM_IRQFD_FLAG_DEASSIGN;
  os::ioctl(fd_, KVM_IRQFD, "KVM_IRQFD", &irqfd);
}

void Vm::connectIoeventfd(const Ioeventfd& connection, bool connect) {
  kvm_ioeventfd request = {};
  request.datamatch = connection.value;
  request.addr = connection.address;
  request.len = connection.bytes;
  request.fd = connection.eventfd;
  request.flags = (connection.port ? 1u << kvm_ioeventfd_flag_nr_pio : 0u) |
                  (connection.matches ? 1u << kvm_ioeventfd_flag_nr_datamatch : 0u) |
                  (connect ? 0u : 1u << kvm_ioeventfd_flag_nr_deassign);
  os::ioctl(fd_, KVM_IOEVENTFD, "KVM_IOEVENTFD", &request);
}

}  // namespace vtkit::kvm
