// A device that VFIO drives.
#include "vfio/device.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstring>

#include "os/ioctl.h"
#include "vfio/guarded-access.h"
#include "vfio/uapi.h"

namespace vtkit::vfio {

Device::Device(os::Fd fd) : fd_(std::move(fd)) { regions_.resize(info().regions); }

Device::Device(const std::string& path, const Iommufd& iommufd) : fd_(os::Fd::open(path, O_RDWR)) {
  vfio_device_bind_iommufd bind = {.argsz = sizeof(bind), .flags = 0, .iommufd = iommufd.fd().get(), .out_devid = 0};
  os::ioctl(fd_, VFIO_DEVICE_BIND_IOMMUFD, "VFIO_DEVICE_BIND_IOMMUFD", &bind);
  id_ = bind.out_devid;
  vfio_device_attach_iommufd_pt attach = {.argsz = sizeof(attach), .flags = 0, .pt_id = iommufd.ioas()};
  os::ioctl(fd_, VFIO_DEVICE_ATTACH_IOMMUFD_PT, "VFIO_DEVICE_ATTACH_IOMMUFD_PT", &attach);
  regions_.resize(info().regions);
}

DeviceInfo Device::info() const {
  vfio_device_info info = {.argsz = sizeof(info)};
  os::ioctl(fd_, VFIO_DEVICE_GET_INFO, "VFIO_DEVICE_GET_INFO", &info);
  return {(info.flags & VFIO_DEVICE_FLAGS_RESET) != 0, info.num_regions, info.num_irqs};
}

RegionInfo Device::region(uint32_t index) const {
  vfio_region_info info = {.argsz = sizeof(info)};
  info.index = index;
  os::ioctl(fd_, VFIO_DEVICE_GET_REGION_INFO, "VFIO_DEVICE_GET_REGION_INFO", &info);
  return {info.size, (info.flags & VFIO_REGION_INFO_FLAG_READ) != 0, (info.flags & VFIO_REGION_INFO_FLAG_WRITE) != 0,
          (info.flags & VFIO_REGION_INFO_FLAG_MMAP) != 0};
}

InterruptInfo Device::interrupt(uint32_t index) const {
  vfio_irq_info info = {.argsz = sizeof(info)};
  info.index = index;
  try {
    os::ioctl(fd_, VFIO_DEVICE_GET_IRQ_INFO, "VFIO_DEVICE_GET_IRQ_INFO", &info);
  } catch (const os::SystemError& error) {
    // The kernel's answer for the error interrupt of a device that is not of PCI Express.
    if (error.error == EINVAL) return {0, false, false};
    throw;
  }
  return {info.count, (info.flags & VFIO_IRQ_INFO_MASKABLE) != 0, (info.flags & VFIO_IRQ_INFO_AUTOMASKED) != 0};
}

namespace {

/** Whether all of a region may be mapped: where it has the MSI-X table, only if the kernel says so. */
bool mapsWhole(const os::Fd& fd, const vfio_region_info& info) {
  if ((info.flags & VFIO_REGION_INFO_FLAG_MMAP) == 0) return false;
  if ((info.flags & VFIO_REGION_INFO_FLAG_CAPS) == 0) return true;
  std::vector<uint64_t> storage(info.argsz / 8 + 1);
  auto* full = reinterpret_cast<vfio_region_info*>(storage.data());
  full->argsz = info.argsz;
  full->index = info.index;
  os::ioctl(fd, VFIO_DEVICE_GET_REGION_INFO, "VFIO_DEVICE_GET_REGION_INFO", full);
  const auto* bytes = reinterpret_cast<const uint8_t*>(full);
  uint32_t steps = 0;
  for (uint32_t at = full->cap_offset; at != 0 && at + sizeof(vfio_info_cap_header) <= info.argsz && steps < 64;
       steps++) {
    vfio_info_cap_header header;
    std::memcpy(&header, bytes + at, sizeof(header));
    if (header.id == VFIO_REGION_INFO_CAP_MSIX_MAPPABLE) return true;
    at = header.next;
  }
  return false;
}

}  // namespace

Device::Region& Device::known(uint32_t index) {
  if (index >= regions_.size()) throw os::SystemError(EINVAL, "region index");
  Region& region = regions_[index];
  if (region.known) return region;
  vfio_region_info info = {.argsz = sizeof(info)};
  info.index = index;
  os::ioctl(fd_, VFIO_DEVICE_GET_REGION_INFO, "VFIO_DEVICE_GET_REGION_INFO", &info);
  region.info = this->region(index);
  region.fileOffset = info.offset;
  if (mapsWhole(fd_, info)) region.mapping = os::Mapping::device(fd_, info.offset, info.size);
  region.known = true;
  return region;
}

Device::Region& Device::checked(uint32_t index, uint64_t offset, unsigned width) {
  Region& region = known(index);
  if (!region.has(offset, width)) throw os::SystemError(EINVAL, "region access");
  return region;
}

uint8_t* Device::mapped(uint32_t index, uint64_t offset, uint64_t bytes) {
  const Region& region = known(index);
  if (offset > region.info.bytes || bytes > region.info.bytes - offset) throw os::SystemError(EINVAL, "region part");
  return region.mapping.data() == nullptr ? nullptr : region.mapping.data() + offset;
}

uint64_t Device::read(uint32_t index, uint64_t offset, unsigned width) {
  Region& region = checked(index, offset, width);
  uint64_t value = 0;
  if (region.mapping.data() != nullptr) {
    if (!guardedRead(region.mapping.data() + offset, width, &value)) throw os::SystemError(EIO, "region read");
    return value;
  }
  const ssize_t read = ::pread(fd_.get(), &value, width, static_cast<off_t>(region.fileOffset + offset));
  if (read < 0) throw os::SystemError(errno, "region read");
  if (read != static_cast<ssize_t>(width)) throw os::SystemError(EIO, "region read");
  return value;
}

void Device::write(uint32_t index, uint64_t offset, unsigned width, uint64_t value) {
  Region& region = checked(index, offset, width);
  if (region.mapping.data() != nullptr) {
    if (!guardedWrite(region.mapping.data() + offset, width, value)) throw os::SystemError(EIO, "region write");
    return;
  }
  const ssize_t written = ::pwrite(fd_.get(), &value, width, static_cast<off_t>(region.fileOffset + offset));
  if (written < 0) throw os::SystemError(errno, "region write");
  if (written != static_cast<ssize_t>(width)) throw os::SystemError(EIO, "region write");
}

namespace {

// Beside the access to a register each further load counts: words are taken four at a time.
typedef uint32_t Words __attribute__((vector_size(16), aligned(4), may_alias));

/** Copies words, each read once. @returns all that stand `stride` apart, ORed; 1 or 2 */
uint32_t take(const uint32_t* words, size_t count, size_t stride, std::vector<uint32_t>& batch) {
  batch.resize(count);
  Words joined = {};
  size_t at = 0;
  for (; at + 4 <= count; at += 4) {
    const Words four = *reinterpret_cast<const volatile Words*>(words + at);
    *reinterpret_cast<Words*>(&batch[at]) = four;
    joined |= four;
  }
  uint32_t all = joined[0] | joined[2] | (stride == 1 ? joined[1] | joined[3] : 0);
  for (; at < count; at++) {
    batch[at] = *static_cast<const volatile uint32_t*>(words + at);
    if (at % stride == 0) all |= batch[at];
  }
  return all;
}

}  // namespace

/** How many of the batch's offsets, `stride` words apart, words of the region lie at, up to the first that is none. */
size_t Device::takeBatch(const Region& region, const uint32_t* words, size_t count, size_t stride) {
  // No offset is larger than all of them ORed, and none has a bit that this has not.
  if (region.has(take(words, count * stride, stride, batch_), sizeof(uint32_t))) return count;
  size_t i = 0;
  while (i < count && region.has(batch_[stride * i], sizeof(uint32_t))) i++;
  return i;
}

size_t Device::read32s(uint32_t index, const uint32_t* offsets, uint32_t* values, size_t count) {
  const Region& region = known(index);
  if (const size_t inside = takeBatch(region, offsets, count, 1); inside < count) return inside;
  const uint8_t* mapping = region.mapping.data();
  if (mapping == nullptr) {
    for (size_t i = 0; i < count; i++) values[i] = static_cast<uint32_t>(read(index, batch_[i], 4));
  } else if (!guardedReads(mapping, batch_.data(), values, count)) {
    throw os::SystemError(EIO, "region read");
  }
  return count;
}

size_t Device::write32s(uint32_t index, const uint32_t* pairs, size_t count) {
  const Region& region = known(index);
  if (const size_t inside = takeBatch(region, pairs, count, 2); inside < count) return inside;
  uint8_t* mapping = region.mapping.data();
  if (mapping == nullptr) {
    for (size_t i = 0; i < count; i++) write(index, batch_[2 * i], 4, batch_[2 * i + 1]);
  } else if (!guardedWrites(mapping, batch_.data(), count)) {
    throw os::SystemError(EIO, "region write");
  }
  return count;
}

void Device::setIrqs(uint32_t index, uint32_t flags, const std::vector<int>& eventfds, uint32_t count) {
  const size_t bytes = sizeof(vfio_irq_set) + eventfds.size() * sizeof(int);
  std::vector<uint64_t> storage(bytes / 8 + 1);
  auto* request = reinterpret_cast<vfio_irq_set*>(storage.data());
  *request = {.argsz = static_cast<uint32_t>(bytes), .flags = flags, .index = index, .start = 0, .count = count};
  if (!eventfds.empty()) std::memcpy(request->data, eventfds.data(), eventfds.size() * sizeof(int));
  os::ioctl(fd_, VFIO_DEVICE_SET_IRQS, "VFIO_DEVICE_SET_IRQS", request);
}

void Device::setEventfds(uint32_t index, const std::vector<int>& eventfds) {
  if (eventfds.empty()) {
    setIrqs(index, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, {}, 0);
  } else {
    setIrqs(index, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, eventfds,
            static_cast<uint32_t>(eventfds.size()));
  }
}

void Device::setUnmaskEventfd(uint32_t index, int eventfd) {
  setIrqs(index, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_UNMASK, {eventfd}, 1);
}

void Device::mask(uint32_t index, bool masked) {
  setIrqs(index, VFIO_IRQ_SET_DATA_NONE | (masked ? VFIO_IRQ_SET_ACTION_MASK : VFIO_IRQ_SET_ACTION_UNMASK), {}, 1);
}

void Device::reset() { os::ioctl(fd_, VFIO_DEVICE_RESET, "VFIO_DEVICE_RESET", 0); }

}  // namespace vtkit::vfio
