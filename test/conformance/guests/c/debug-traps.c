// What DR6 says of breakpoints, and what MOV SS, INT1 and BTF do to them, in 64-bit mode.
#include "machine.h"

static volatile uint64_t traps, places[8], status[8], base;
static volatile uint16_t watched[4] __attribute__((aligned(8))) = {0x10};  // a selector that loads into SS

static void set_dr6(uint64_t value) { __asm__ volatile("mov %0, %%dr6" : : "r"(value)); }
static void set_dr7(uint64_t value) { __asm__ volatile("mov %0, %%dr7" : : "r"(value)); }
static void set_dr0(uint64_t value) { __asm__ volatile("mov %0, %%dr0" : : "r"(value)); }

static __attribute__((interrupt)) void on_debug(struct frame* frame) {
  uint64_t dr6;
  __asm__ volatile("mov %%dr6, %0" : "=r"(dr6));
  places[traps & 7] = frame->rip, status[traps & 7] = dr6;
  traps++;
  if ((dr6 & 1) && frame->rip == base) frame->rflags |= 1 << 16;
}
static __attribute__((interrupt)) void on_breakpoint(struct frame* frame) {
  (void)frame;
  print("[#BP]");
}

static void show(const char* what) {
  print(what), print(":");
  for (uint64_t i = 0; i < traps && i < 8; i++) {
    print(" +"), print_hex(places[i] - base, 2);
    print(" "), print_hex(status[i] & 0xe00f, 4);
  }
  print("\n");
  traps = 0;
  set_dr6(0);
}

#define BASE "lea 2f(%%rip), %%r11\n mov %%r11, base(%%rip)\n"
#define STEP_ON "pushf\n orl $0x100, (%%rsp)\n"
#define STEP_OFF "pushf\n andl $~0x100, (%%rsp)\n popf\n"

void guest_main(void) {
  load_idt();
  handle(1, on_debug), handle(3, on_breakpoint);

  __asm__ volatile(BASE "mov %%r11, %%dr0" : : : "r11");
  set_dr6(0x4002);
  set_dr7(0x402);
  __asm__ volatile(BASE "mov %%r11, %%dr0\n2: nop" : : : "r11");
  show("execution, with BS and B1 left from before");
  set_dr7(0x400);

  __asm__ volatile(BASE STEP_ON "popf\n2: nop\n nop\n" STEP_OFF : : : "r11", "memory", "cc");
  show("single steps");
  __asm__ volatile(BASE "mov %%ss, %%eax\n" STEP_ON "popf\n mov %%eax, %%ss\n2: nop\n" STEP_OFF
                   : : : "rax", "r11", "memory", "cc");
  show("single steps around MOV SS");
  __asm__ volatile(BASE "2: .byte 0xf1" : : : "r11");
  show("INT1");
  __asm__ volatile(BASE STEP_ON "popf\n2: .byte 0xf1\n nop\n" STEP_OFF : : : "r11", "memory", "cc");
  show("INT1 under TF");
  __asm__ volatile(BASE STEP_ON "popf\n2: hlt\n nop\n" STEP_OFF : : : "r11", "memory", "cc");
  show("HLT under TF: the trap ends it");

  set_dr0((uint64_t)watched);
  set_dr7(0xb0402);  // 8 bytes, read or write
  __asm__ volatile(BASE "2: mov %0, %%ax\n nop" : : "m"(watched[0]) : "rax", "r11");
  show("a read that is watched");
  __asm__ volatile(BASE "2: mov %0, %%ss\n nop\n nop" : : "m"(watched[0]) : "r11");
  show("MOV SS of it: behind the next");
  __asm__ volatile(BASE "2: mov %0, %%ss\n .byte 0xf1" : : "m"(watched[0]) : "r11");
  show("MOV SS of it, then INT1: once");
  __asm__ volatile(BASE "2: mov %0, %%ss\n int3" : : "m"(watched[0]) : "r11");
  base = places[0] = 0;  // wherever the handler is
  show(" then INT3: in its handler");
  set_dr7(0x400);

  uint64_t cr4;
  __asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
  set_dr0(0x80);
  set_dr7(0x20402);  // one port
  __asm__ volatile(BASE "2: out %%al, $0x80\n nop" : : "a"(0) : "r11");
  show("a port without CR4.DE");
  __asm__ volatile("mov %0, %%cr4" : : "r"(cr4 | 8));
  __asm__ volatile(BASE "2: out %%al, $0x80\n nop" : : "a"(0) : "r11");
  show("a port");
  __asm__ volatile("mov %0, %%cr4" : : "r"(cr4));
  set_dr7(0x2400);
  __asm__ volatile(BASE "2: mov %%dr0, %%rax" : : : "rax", "r11");
  show("general detect");
  set_dr7(0x400);

  wrmsr(0x1d9, 2);
  __asm__ volatile(BASE STEP_ON "popf\n2: nop\n nop\n jmp 3f\n nop\n3: nop\n" STEP_OFF : : : "r11", "memory", "cc");
  show("one step on a branch, which ends BTF");
  wrmsr(0x1d9, 0);
}
