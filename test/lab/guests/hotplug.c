// A root port with a hot-plug slot on the guest's PCI bus: what comes is found and read, and let go of when it is to leave,
// unless port 0x501 says to keep it. The port's interrupt is a message.
#include "machine.h"
#include "pci.h"

// PCI Express Base Specification 6, 7.5.3: registers of the capability by dword, and their bits.
enum { kLink = 0x10, kSlotCapabilities = 0x14, kSlot = 0x18 };
enum { kPresenceChanged = 1 << 3, kInterrupt = 1 << 5, kPowerOff = 1 << 10, kLinkChanged = 1 << 12 };
enum { kStatusChanged = (1 << 3 | 1 << 8) << 16, kPresent = 1 << 22, kLinkActive = 1 << 29 };
enum { kVector = 0x51, kWindow = 0xe0000000u, kBehind = 32 };  // device 0 of bus 1

static uint32_t port, express;
static volatile unsigned interrupts;

static __attribute__((interrupt)) void on_port(struct frame* frame) {
  (void)frame;
  interrupts++;
  end_of_interrupt();
}

static uint32_t capability(uint32_t id) {
  uint32_t at = pci_read(port, 0x34) & 0xfc;
  while (at != 0 && (pci_read(port, at) & 0xff) != id) at = pci_read(port, at) >> 8 & 0xfc;
  return at;
}

// Waits for an interrupt; gives the slot's status, whose events have been cleared.
static uint32_t next_event(void) {
  while (interrupts == 0) __asm__ volatile("sti; hlt; cli" : : : "memory");
  interrupts = 0;
  const uint32_t status = pci_read(port, express + kSlot);
  pci_write(port, express + kSlot, status);
  const uint32_t link = pci_read(port, express + kLink);
  print(status & kPresent ? "present" : "absent"), print(link & kLinkActive ? ", link up\n" : ", link down\n");
  return status;
}

void guest_main(void) {
  map_devices();
  mask_8259();
  load_idt();
  handle(kVector, on_port);
  apic_write(0xf0, 0x1ff);

  while (port < 32 && pci_read(port, 8) >> 16 != 0x0604) port++;
  express = capability(0x10);
  const uint32_t msi = capability(0x05);
  pci_write(port, 0x18, 0x010100);
  pci_write(port, 0x20, kWindow | kWindow >> 16);
  pci_write(port, 4, 6);
  pci_write(port, msi + 4, 0xfee00000u);
  pci_write(port, msi + 8, 0);
  pci_write(port, msi + 12, kVector);
  pci_write(port, msi, pci_read(port, msi) | 1 << 16);
  pci_write(port, express + kSlot, kStatusChanged | kPresenceChanged | kLinkChanged | kInterrupt);
  print("slot "), print_decimal(pci_read(port, express + kSlotCapabilities) >> 19);
  say(" behind the port at device 2:", pci_read(kBehind, 0), 8);

  next_event();
  say("found", pci_read(kBehind, 0), 8);
  pci_write(kBehind, 0x10, kWindow);
  pci_write(kBehind, 0x14, 0);
  pci_write(kBehind, 4, 2);
  say("its register 8 holds", *(volatile uint32_t*)(uintptr_t)(kWindow + 8), 8);

  next_event();
  say("asked, and it is still", pci_read(kBehind, 0), 8);
  if (in8(0x501) == 0) {
    pci_write(port, express + kSlot, kPowerOff | kPresenceChanged | kLinkChanged | kInterrupt);
    say("let go of:", pci_read(kBehind, 0), 8);
  }
  next_event();
  say("and now", pci_read(kBehind, 0), 8);
  pci_write(port, express + kSlot, kPresenceChanged | kLinkChanged | kInterrupt);
}
