// The I/O APIC: registers, edges and levels, masks, and the end of level-triggered interrupts. Lines by pc-testdev.
#include "machine.h"

static volatile uint32_t count, lowers, trigger_mode;

static void line(int number, uint8_t level) { out8((uint16_t)(0x2000 + number), level); }

static __attribute__((interrupt)) void on_interrupt(struct frame* frame) {
  (void)frame;
  count++;
  trigger_mode = apic_read(0x180 + (0x76 >> 5) * 16) >> (0x76 & 31) & 1;
  if (lowers && count >= lowers) line(14, 0);
  end_of_interrupt();
}

static uint32_t io_read(uint32_t index) {
  *(volatile uint32_t*)0xfec00000ull = index;
  return *(volatile uint32_t*)0xfec00010ull;
}
static void io_write(uint32_t index, uint32_t value) {
  *(volatile uint32_t*)0xfec00000ull = index;
  *(volatile uint32_t*)0xfec00010ull = value;
}
static void route(uint32_t low) { io_write(0x10 + 28 + 1, 0), io_write(0x10 + 28, low); }

static void show(const char* what) {
  say(what, (uint64_t)count << 4 | trigger_mode, 4);
  count = 0;
}

void guest_main(void) {
  map_devices();
  mask_8259();
  load_idt();
  handle(0x76, on_interrupt);
  apic_write(0xf0, 0x1ff);
  io_write(0, 0xffffffff);
  say("identity", io_read(0), 8);
  say("arbitration", io_read(2), 8);
  io_write(0, 0);
  say("lines", io_read(1) >> 16 & 0xff, 2);
  say("entry after reset", io_read(0x10 + 2 * 23), 8);
  allow_interrupts();

  route(0x76);
  line(14, 1), line(14, 0);
  show("edge");
  line(14, 1), line(14, 1), line(14, 0);
  show("a line that stays high has one edge");
  route(0x10076);
  line(14, 1), line(14, 0);
  route(0x76);
  show("an edge while masked");

  lowers = 1;
  route(0x8076);
  line(14, 1);
  show("level");
  lowers = 3;
  line(14, 1);
  show("level that stays through two ends");
  say("entry when served", io_read(0x10 + 28), 8);
  lowers = 1;
  route(0x18076);
  line(14, 1);
  show("level while masked");
  route(0x8076);
  show("unmasked with the line high");
  hold_interrupts();
  line(14, 1);
  say("remote IRR while it waits", io_read(0x10 + 28) >> 14 & 1, 1);
  line(14, 0);
  allow_interrupts();
  show("a level that fell before it was taken");
  hold_interrupts();
}
