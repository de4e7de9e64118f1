// A device that VFIO drives: its regions, interrupts and reset.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "os/fd.h"
#include "os/mapping.h"
#include "vfio/iommufd.h"

namespace vtkit::vfio {

struct DeviceInfo {
  bool canReset;
  uint32_t regions;
  uint32_t interrupts;
};

struct RegionInfo {
  uint64_t bytes;
  bool readable;
  bool writable;
  bool mappable;
};

struct InterruptInfo {
  uint32_t count;
  bool maskable;
  bool automasked;
};

/** A device that shares the fate of another at a hot reset (VFIO_DEVICE_GET_PCI_HOT_RESET_INFO). */
struct Dependent {
  /** Its group, or its id on the IOMMUFD that it is bound to. */
  uint32_t group;
  uint16_t segment;
  uint8_t bus;
  uint8_t devfn;
};

/** What a device that can migrate says of itself (VFIO_DEVICE_FEATURE_MIGRATION and _MIG_DEVICE_STATE). */
struct Migration {
  uint64_t flags;
  uint32_t state;
};

class Device {
 public:
  /** A device of a group. */
  explicit Device(os::Fd fd);
  /** /dev/vfio/devices/vfioN, bound to an IOMMUFD and attached to its address space. */
  Device(const std::string& path, const Iommufd& iommufd);

  DeviceInfo info() const;
  RegionInfo region(uint32_t index) const;
  InterruptInfo interrupt(uint32_t index) const;

  /**
   * One access of exactly 1, 2, 4 or 8 bytes at its natural alignment: through a mapping where the region has one, else
   * by the kernel. @throws os::SystemError EIO if the device did not answer (decode off, asleep, gone)
   */
  uint64_t read(uint32_t index, uint64_t offset, unsigned width);
  void write(uint32_t index, uint64_t offset, unsigned width, uint64_t value);
  /**
   * Accesses of 32 bits in order. All offsets are looked at before the first access: gives the number of the first one
   * that no word of the region lies at, and then nothing was accessed; `count` if there is none.
   */
  size_t read32s(uint32_t index, const uint32_t* offsets, uint32_t* values, size_t count);
  /** Offsets and values in turn. */
  size_t write32s(uint32_t index, const uint32_t* pairs, size_t count);

  /** Where a part of a region is mapped in this process, or null where the kernel does not let it be. */
  uint8_t* mapped(uint32_t index, uint64_t offset, uint64_t bytes);

  /** Connects `eventfds` to the first vectors of an index; none disconnects all of them. */
  void setEventfds(uint32_t index, const std::vector<int>& eventfds);
  /** The eventfd that ends an INTx assertion when it is signalled. */
  void setUnmaskEventfd(uint32_t index, int eventfd);
  void mask(uint32_t index, bool masked);
  void reset();
  std::vector<Dependent> dependents() const;
  /** Resets a bus or slot, on the proof of owning the groups of all that depend on it. */
  void hotReset(const std::vector<int>& groups);

  std::optional<Migration> migration() const;
  /** Whether it keeps a log of the pages that it writes (VFIO_DEVICE_FEATURE_DMA_LOGGING_START). */
  bool logsDma() const;
  /** Of a physical function: what whoever opens one of its virtual functions has to know. */
  void setVfToken(const std::array<uint8_t, 16>& token);

  /** Its id on the IOMMUFD; 0 for a device of a group. */
  uint32_t id() const { return id_; }
  const os::Fd& fd() const { return fd_; }

 private:
  struct Region {
    RegionInfo info;
    uint64_t fileOffset;
    os::Mapping mapping;
    bool known = false;
    bool has(uint64_t offset, unsigned width) const {
      return offset < info.bytes && width <= info.bytes - offset && offset % width == 0;
    }
  };
  Region& known(uint32_t index);
  Region& checked(uint32_t index, uint64_t offset, unsigned width);
  size_t takeBatch(const Region& region, const uint32_t* words, size_t count, size_t stride);
  void setIrqs(uint32_t index, uint32_t flags, const std::vector<int>& eventfds, uint32_t count);

  os::Fd fd_;
  /** The offsets of a batch: the caller's array may change, or be the one read into, once they have been looked at. */
  std::vector<uint32_t> batch_;
  uint32_t id_ = 0;
  /** LIFETIME: these map the device's memory, and a live mapping holds the device as an open descriptor does. */
  std::vector<Region> regions_;
};

}  // namespace vtkit::vfio
