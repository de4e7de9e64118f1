// <linux/vfio.h>, and what newer kernels have that this header may lack. Everything in this tree includes it through
// here.
#pragma once

#include <linux/vfio.h>

#include <cstdint>

// vfio character devices, Linux 6.6.
#ifndef VFIO_DEVICE_BIND_IOMMUFD
struct vfio_device_bind_iommufd {
  __u32 argsz;
  __u32 flags;
  __s32 iommufd;
  __u32 out_devid;
};
#define VFIO_DEVICE_BIND_IOMMUFD _IO(VFIO_TYPE, VFIO_BASE + 18)
struct vfio_device_attach_iommufd_pt {
  __u32 argsz;
  __u32 flags;
  __u32 pt_id;
};
#define VFIO_DEVICE_ATTACH_IOMMUFD_PT _IO(VFIO_TYPE, VFIO_BASE + 19)
struct vfio_device_detach_iommufd_pt {
  __u32 argsz;
  __u32 flags;
};
#define VFIO_DEVICE_DETACH_IOMMUFD_PT _IO(VFIO_TYPE, VFIO_BASE + 20)
#endif

// <linux/iommufd.h>: IOMMUFD came with Linux 6.2, IOMMU_GET_HW_INFO with 6.6.
#if __has_include(<linux/iommufd.h>)
#include <linux/iommufd.h>
#else
struct iommu_destroy {
  __u32 size;
  __u32 id;
};
struct iommu_ioas_alloc {
  __u32 size;
  __u32 flags;
  __u32 out_ioas_id;
};
struct iommu_iova_range {
  __u64 start;
  __u64 last;
} __attribute__((aligned(8)));
struct iommu_ioas_iova_ranges {
  __u32 size;
  __u32 ioas_id;
  __u32 num_iovas;
  __u32 __reserved;
  __u64 allowed_iovas;
  __u64 out_iova_alignment;
} __attribute__((aligned(8)));
enum { IOMMU_IOAS_MAP_FIXED_IOVA = 1 << 0, IOMMU_IOAS_MAP_WRITEABLE = 1 << 1, IOMMU_IOAS_MAP_READABLE = 1 << 2 };
struct iommu_ioas_map {
  __u32 size;
  __u32 flags;
  __u32 ioas_id;
  __u32 __reserved;
  __u64 user_va;
  __u64 length;
  __u64 iova;
} __attribute__((aligned(8)));
struct iommu_ioas_unmap {
  __u32 size;
  __u32 ioas_id;
  __u64 iova;
  __u64 length;
} __attribute__((aligned(8)));
#define IOMMU_DESTROY _IO(';', 0x80)
#define IOMMU_IOAS_ALLOC _IO(';', 0x81)
#define IOMMU_IOAS_IOVA_RANGES _IO(';', 0x84)
#define IOMMU_IOAS_MAP _IO(';', 0x85)
#define IOMMU_IOAS_UNMAP _IO(';', 0x86)
#endif

#ifndef IOMMU_GET_HW_INFO
struct iommu_hw_info {
  __u32 size;
  __u32 flags;
  __u32 dev_id;
  __u32 data_len;
  __u64 data_uptr;
  __u32 out_data_type;
  __u32 __reserved;
  __u64 out_capabilities;
} __attribute__((aligned(8)));
struct iommu_hw_info_vtd {
  __u32 flags;
  __u32 __reserved;
  __u64 cap_reg;
  __u64 ecap_reg;
} __attribute__((aligned(8)));
#define IOMMU_GET_HW_INFO _IO(';', 0x8a)
#endif

static_assert(sizeof(iommu_ioas_map) == 40 && sizeof(iommu_ioas_unmap) == 24 && sizeof(iommu_ioas_iova_ranges) == 32 &&
              sizeof(iommu_hw_info_vtd) == 24);
