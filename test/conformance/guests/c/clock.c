// The PC's clock (MC146818A): date, flags, the three interrupts through the 8259; and sleep with the memory kept (ACPI S3),
// from which the clock's alarm wakes the machine.
#include "machine.h"

enum { a = 10, b = 11, c = 12, d = 13, century = 50 };
enum { periodic = 0x40, alarm = 0x20, update = 0x10, bcd_24 = 0x02 };
static volatile uint32_t count;
static volatile uint8_t flags;

static uint8_t get(uint8_t number) {
  out8(0x70, number);
  return in8(0x71);
}
static void set(uint8_t number, uint8_t value) { out8(0x70, number), out8(0x71, value); }

// The 8259 keeps an edge that came while its kind was being switched off: such an interrupt finds no flags, and does not count.
static __attribute__((interrupt)) void on_clock(struct frame* frame) {
  (void)frame;
  const uint8_t now = get(c);
  if (now & 0x80) flags = now, count++;
  out8(0xa0, 0x20), out8(0x20, 0x20);
}

static void start_8259(void) {
  static const uint8_t master[] = {0x20, 4, 1}, slave[] = {0x28, 2, 1};
  out8(0x20, 0x11), out8(0xa0, 0x11);
  for (int i = 0; i < 3; i++) out8(0x21, master[i]), out8(0xa1, slave[i]);
  out8(0x21, 0xfb), out8(0xa1, 0xfe);
}

// Waits for so many interrupts with one kind enabled; shows the flags of the last, that kind's alone.
static void interrupts(const char* what, uint8_t kind, uint32_t wanted) {
  get(c);
  count = 0;
  set(b, bcd_24 | kind);
  while (count < wanted) __asm__ volatile("sti; hlt; cli" : : : "memory");
  set(b, bcd_24);
  say(what, flags & (0x80 | kind), 2);
}

static void wait_for_update(void) {
  while (!(get(a) & 0x80)) {
  }
  while (get(a) & 0x80) {
  }
}

static void alarm_at_any_time(void) {
  static const uint8_t registers[] = {1, 3, 5};
  for (int i = 0; i < 3; i++) set(registers[i], 0xc0);
}

static void time_stands(void) {
  set(b, 0x80 | bcd_24);
  static const uint8_t noon[][2] = {{century, 0x20}, {9, 0x23}, {8, 0x12}, {7, 0x31}, {6, 1}, {4, 0x23}, {2, 0x59}, {0, 0x59}};
  for (int i = 0; i < 8; i++) set(noon[i][0], noon[i][1]);
  get(c);
  set(b, bcd_24);
  // The flag stays until it is read: a busy host may not see the update itself.
  while (!(get(c) & update)) {
  }
  print("a second after the end of 2023:");
  for (int i = 0; i < 7; i++) print(" "), print_hex(get(noon[i == 4 ? 7 : i][0]), 2);
  print("\n");
}

static uint32_t at(uint64_t address) { return *(volatile uint32_t*)address; }

// The table of that signature, by RSDP and RSDT.
static uint64_t table(uint32_t signature) {
  for (uint64_t rsdp = 0xe0000; rsdp < 0x100000; rsdp += 16) {
    if (at(rsdp) != 0x20445352 || at(rsdp + 4) != 0x20525450) continue;
    const uint64_t rsdt = at(rsdp + 16);
    for (uint32_t i = 36; i < at(rsdt + 4); i += 4) {
      if (at(at(rsdt + i)) == signature) return at(rsdt + i);
    }
  }
  return 0;
}

extern uint8_t woken[], woken_end[];
__asm__(
    ".code16\n"
    "woken: movw $0x3f8, %dx\n"
    "  movw $(words - woken), %si\n"
    "1: movb %cs:(%si), %al\n"
    "  testb %al, %al\n"
    "  jz 2f\n"
    "  outb %al, %dx\n"
    "  incw %si\n"
    "  jmp 1b\n"
    "2: movb 0x3000, %al\n"  // what was in memory
    "  outb %al, %dx\n"
    "  movb $10, %al\n"
    "  outb %al, %dx\n"
    "  movw $ends - woken, %si\n"
    "3: movb %cs:(%si), %al\n"
    "  testb %al, %al\n"
    "  jz 4f\n"
    "  outb %al, %dx\n"
    "  incw %si\n"
    "  jmp 3b\n"
    "4: movw $0xf4, %dx\n"
    "  xorl %eax, %eax\n"
    "  outl %eax, %dx\n"
    "5: hlt\n"
    "  jmp 5b\n"
    "words: .asciz \"woken, and memory holds \"\n"
    "ends: .asciz \"done\\n\"\n"
    "woken_end:\n"
    ".code64\n");

static void sleep(void) {
  const uint64_t fadt = table(0x50434146);
  const uint32_t events = at(fadt + 56), control = at(fadt + 64);
  for (uint8_t* from = woken; from < woken_end; from++) ((volatile uint8_t*)0x1000)[from - woken] = *from;
  *(volatile uint8_t*)0x3000 = 'M';
  *(volatile uint32_t*)(uint64_t)(at(fadt + 36) + 12) = 0x1000;
  out16((uint16_t)events, 0x8400);
  out16((uint16_t)(events + 2), 0x400);
  wait_for_update();
  get(c);
  set(b, bcd_24 | alarm);
  print("sleeps\n");
  out16((uint16_t)control, 0x2400);
  for (;;) __asm__ volatile("hlt");
}

void guest_main(void) {
  load_idt();
  handle(0x28, on_clock);
  start_8259();
  say("the battery is good:", get(d), 2);
  set(b, bcd_24);
  wait_for_update();
  say("flags behind an update:", get(c) & update, 2);
  say("and behind a read:", get(c) & (0x80 | update), 2);
  interrupts("three periodic interrupts:", periodic, 3);
  interrupts("an update:", update, 1);
  alarm_at_any_time();
  interrupts("an alarm at any time:", alarm, 1);
  time_stands();
  sleep();
}
