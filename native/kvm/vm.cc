// One virtual machine descriptor of KVM.
#include "kvm/vm.h"

#include "kvm/uapi.h"

#include <algorithm>
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

void Vm::connectIrqfd(uint32_t gsi, int eventfd, int resample, bool connect) {
  kvm_irqfd irqfd = {};
  irqfd.fd = static_cast<uint32_t>(eventfd);
  irqfd.gsi = gsi;
  irqfd.flags = connect ? 0 : KVM_IRQFD_FLAG_DEASSIGN;
  if (connect && resample >= 0) {
    irqfd.flags |= KVM_IRQFD_FLAG_RESAMPLE;
    irqfd.resamplefd = static_cast<uint32_t>(resample);
  }
  os::ioctl(fd_, KVM_IRQFD, "KVM_IRQFD", &irqfd);
}

/** KVM_SET_GSI_ROUTING replaces everything: the pins of the controllers as KVM had them, then the messages. */
void Vm::route() {
  constexpr uint32_t kPins = 24, kPicPins = 16;
  const size_t count = kPins + kPicPins + msiRoutes_.size();
  std::vector<uint64_t> storage((sizeof(kvm_irq_routing) + count * sizeof(kvm_irq_routing_entry)) / 8 + 1);
  auto* routing = reinterpret_cast<kvm_irq_routing*>(storage.data());
  auto* entries = reinterpret_cast<kvm_irq_routing_entry*>(reinterpret_cast<uint8_t*>(routing) + sizeof(*routing));
  uint32_t used = 0;
  const auto pin = [&](uint32_t gsi, uint32_t chip, uint32_t number) {
    kvm_irq_routing_entry& entry = entries[used++];
    entry.gsi = gsi;
    entry.type = KVM_IRQ_ROUTING_IRQCHIP;
    entry.u.irqchip.irqchip = chip;
    entry.u.irqchip.pin = number;
  };
  for (uint32_t gsi = 0; gsi < kPins; gsi++) {
    if (gsi < kPicPins) pin(gsi, gsi < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE, gsi & 7);
    pin(gsi, KVM_IRQCHIP_IOAPIC, gsi);
  }
  for (const MsiRoute& message : msiRoutes_) {
    kvm_irq_routing_entry& entry = entries[used++];
    entry.gsi = message.gsi;
    entry.type = KVM_IRQ_ROUTING_MSI;
    entry.u.msi.address_lo = static_cast<uint32_t>(message.address);
    entry.u.msi.address_hi = static_cast<uint32_t>(message.address >> 32);
    entry.u.msi.data = message.data;
  }
  routing->nr = used;
  os::ioctl(fd_, KVM_SET_GSI_ROUTING, "KVM_SET_GSI_ROUTING", routing);
}

void Vm::setMsiRoute(uint32_t gsi, uint64_t address, uint32_t data) {
  const auto found =
      std::find_if(msiRoutes_.begin(), msiRoutes_.end(), [&](const MsiRoute& r) { return r.gsi == gsi; });
  if (found == msiRoutes_.end()) {
    msiRoutes_.push_back({gsi, address, data});
  } else {
    *found = {gsi, address, data};
  }
  route();
}

void Vm::signalMsi(uint64_t address, uint32_t data) {
  kvm_msi message = {};
  message.address_lo = static_cast<uint32_t>(address);
  message.address_hi = static_cast<uint32_t>(address >> 32);
  message.data = data;
  os::ioctl(fd_, KVM_SIGNAL_MSI, "KVM_SIGNAL_MSI", &message);
}

void Vm::attachVfio(int fd, bool attach) {
  if (!vfio_.isOpen()) {
    kvm_create_device create = {};
    create.type = KVM_DEV_TYPE_VFIO;
    os::ioctl(fd_, KVM_CREATE_DEVICE, "KVM_CREATE_DEVICE(KVM_DEV_TYPE_VFIO)", &create);
    vfio_ = os::Fd(static_cast<int>(create.fd));
  }
  const int32_t descriptor = fd;
  kvm_device_attr attribute = {};
  attribute.group = KVM_DEV_VFIO_GROUP;
  attribute.attr = attach ? KVM_DEV_VFIO_GROUP_ADD : KVM_DEV_VFIO_GROUP_DEL;
  attribute.addr = reinterpret_cast<uint64_t>(&descriptor);
  os::ioctl(vfio_, KVM_SET_DEVICE_ATTR, "KVM_SET_DEVICE_ATTR(KVM_DEV_VFIO_GROUP)", &attribute);
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
