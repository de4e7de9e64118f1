// pci.h: the guest's PCI bus, by configuration mechanism 1, and the first BAR of one function on it.
#pragma once
#include "guest.h"

static inline void pci_out32(uint16_t port, uint32_t value) {
  __asm__ volatile("outl %0, %1" : : "a"(value), "d"(port));
}
static inline uint32_t pci_in32(uint16_t port) {
  uint32_t value;
  __asm__ volatile("inl %1, %0" : "=a"(value) : "d"(port));
  return value;
}

static inline uint32_t pci_read(uint32_t device, uint32_t offset) {
  pci_out32(0xcf8, 0x80000000u | device << 11 | (offset & 0xfc));
  return pci_in32(0xcfc);
}
static inline void pci_write(uint32_t device, uint32_t offset, uint32_t value) {
  pci_out32(0xcf8, 0x80000000u | device << 11 | (offset & 0xfc));
  pci_out32(0xcfc, value);
}

// The device with this identity; 32 where there is none.
static inline uint32_t pci_find(uint32_t identity) {
  uint32_t device = 0;
  while (device < 32 && pci_read(device, 0) != identity) device++;
  return device;
}

// Puts BAR 0 there, lets the device answer and transfer, and maps what lies from 3 GiB on by a page of 1 GiB.
static inline volatile uint32_t* pci_map(uint32_t device, uint32_t at) {
  uint64_t top;
  __asm__ volatile("mov %%cr3, %0" : "=r"(top));
  uint64_t* pointers = (uint64_t*)(*(uint64_t*)(top & ~0xfffull) & 0xffffffffff000ull);
  pointers[3] = 0xc0000000ull | 0x93;
  pci_write(device, 0x10, at);
  pci_write(device, 0x14, 0);
  pci_write(device, 4, 6);
  return (volatile uint32_t*)(uintptr_t)at;
}
