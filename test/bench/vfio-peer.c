// What scripts/bench-vfio measures, in C: accesses to a mapped BAR, and DMA mappings, through the same device and
// group. Usage: vfio-peer GROUP ADDRESS; prints nanoseconds an operation as JSON. Medians of short samples: what
// interrupts a few of them does not count.
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

enum { kSamples = 200, kAccesses = 1000, kVersion = 0x08, kInterruptMaskSet = 0x0c, kIova = 0x100000 };

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static int compare(const void* a, const void* b) {
  const double x = *(const double*)a, y = *(const double*)b;
  return (x > y) - (x < y);
}

static double median(double* samples) {
  qsort(samples, kSamples, sizeof *samples, compare);
  return samples[kSamples / 2];
}

static int checked(int result, const char* what) {
  if (result < 0) {
    perror(what);
    exit(1);
  }
  return result;
}

int main(int count, char** arguments) {
  if (count != 3) return 2;
  char path[64];
  snprintf(path, sizeof path, "/dev/vfio/%s", arguments[1]);
  const int container = checked(open("/dev/vfio/vfio", O_RDWR), "/dev/vfio/vfio");
  const int group = checked(open(path, O_RDWR), path);
  checked(ioctl(group, VFIO_GROUP_SET_CONTAINER, &container), "VFIO_GROUP_SET_CONTAINER");
  checked(ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), "VFIO_SET_IOMMU");
  const int device = checked(ioctl(group, VFIO_GROUP_GET_DEVICE_FD, arguments[2]), "VFIO_GROUP_GET_DEVICE_FD");
  struct vfio_region_info bar = {.argsz = sizeof bar, .index = VFIO_PCI_BAR0_REGION_INDEX};
  checked(ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &bar), "VFIO_DEVICE_GET_REGION_INFO");
  volatile uint8_t* registers = mmap(NULL, bar.size, PROT_READ | PROT_WRITE, MAP_SHARED, device, (off_t)bar.offset);
  if (registers == MAP_FAILED) return perror("mmap"), 1;

  static double samples[kSamples];
  for (int sample = 0; sample < kSamples; sample++) {
    const double from = now();
    for (int i = 0; i < kAccesses; i++) (void)*(volatile uint32_t*)(registers + kVersion);
    samples[sample] = (now() - from) / kAccesses;
  }
  const double read32 = median(samples);

  for (int sample = 0; sample < kSamples; sample++) {
    const double from = now();
    for (int i = 0; i < kAccesses; i++) *(volatile uint32_t*)(registers + kInterruptMaskSet) = 0;
    samples[sample] = (now() - from) / kAccesses;
  }
  const double write32 = median(samples);

  for (int sample = 0; sample < kSamples; sample++) {
    const double from = now();
    void* memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct vfio_iommu_type1_dma_map map = {.argsz = sizeof map,
                                           .flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
                                           .vaddr = (uintptr_t)memory,
                                           .iova = kIova,
                                           .size = 4096};
    checked(ioctl(container, VFIO_IOMMU_MAP_DMA, &map), "VFIO_IOMMU_MAP_DMA");
    struct vfio_iommu_type1_dma_unmap unmap = {.argsz = sizeof unmap, .iova = kIova, .size = 4096};
    checked(ioctl(container, VFIO_IOMMU_UNMAP_DMA, &unmap), "VFIO_IOMMU_UNMAP_DMA");
    munmap(memory, 4096);
    samples[sample] = now() - from;
  }
  const double mapUnmap = median(samples);

  printf("{\"read32\":%.1f,\"write32\":%.1f,\"mapUnmap\":%.1f}\n", read32, write32, mapUnmap);
  return 0;
}
