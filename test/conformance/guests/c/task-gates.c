// Task gates for exceptions and interrupts under paging, in 32-bit mode: a stack that is mended before the frame is pushed,
// NMI and interrupts of the local APIC, and a task in ring 3 of conforming code.
#include "guest.h"

struct tss {
  uint32_t link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags, eax, ecx, edx, ebx, esp, ebp, esi, edi;
  uint32_t es, cs, ss, ds, fs, gs, ldt;
  uint16_t trap, io_map;
};
struct __attribute__((packed)) table {
  uint16_t limit;
  uint32_t base;
};

enum { other_task = 0x60, absent = 0x68, conforming = 0x70, code = 0x08, data = 0x10, user_data = 0x23, window = 0x1000000 };

static struct tss other;
static uint8_t other_stack[4096] __attribute__((aligned(16)));
static uint8_t page[4096] __attribute__((aligned(4096)));
static uint32_t directory[1024] __attribute__((aligned(4096))), entries[1024] __attribute__((aligned(4096)));
__attribute__((used)) static volatile uint32_t visits, faults, error, address, divisor, order, seen_cs, kept_esp;
__attribute__((used)) static uint32_t *gdt, *idt;

static void set_descriptor(unsigned selector, uint32_t base, uint32_t limit, uint32_t high) {
  gdt[selector / 4] = base << 16 | (limit & 0xffff);
  gdt[selector / 4 + 1] = (base & 0xff000000) | high | (base >> 16 & 0xff);
}
static void set_gate(unsigned number, uint32_t low, uint32_t high) { idt[number * 2] = low, idt[number * 2 + 1] = high; }
static void set_task_gate(unsigned number) { set_gate(number, other_task << 16, 0x8500); }
static void set_handler(unsigned number, unsigned selector, void* handler) {
  set_gate(number, selector << 16 | ((uint32_t)handler & 0xffff), ((uint32_t)handler & 0xffff0000) | 0x8e00);
}
static void say(const char* text, uint32_t value, int digits) {
  print(text), print(" "), print_hex(value, digits), print("\n");
}
static void apic_write(uint32_t offset, uint32_t value) { *(volatile uint32_t*)(0xfee00000 + offset) = value; }

__attribute__((used)) static void mend(void) {
  order = order << 4 | 0xe;
  faults++;
  __asm__ volatile("mov %%cr2, %0" : "=r"(address));
  entries[0] = (uint32_t)page | 3;
  __asm__ volatile("invlpg (%0)" : : "r"(window) : "memory");
}
__attribute__((used)) static void divided(void) {
  order = order << 4 | 0xd;
  divisor = 10;
}
__attribute__((used)) static void was_absent(void) {
  order = order << 4 | 0xb;
  set_handler(0x50, code, (void*)((idt[0x50 * 2] & 0xffff) | (idt[0x50 * 2 + 1] & 0xffff0000)));
}
__attribute__((used)) static void interrupted(void) { order = order << 4 | 5; }

__asm__(
    "page_fault_task:\n"
    "  popl error\n"
    "  call mend\n"
    "  iret\n"
    "  jmp page_fault_task\n"
    "visit_task:\n"
    "  incl visits\n"
    "  mov %cs, %eax\n"
    "  mov %eax, seen_cs\n"
    "  iret\n"
    "  jmp visit_task\n"
    "on_divide:\n  pusha\n  call divided\n  popa\n  iret\n"
    "on_absent:\n  addl $4, %esp\n  pusha\n  call was_absent\n  popa\n  iret\n"
    "on_interrupt:\n  pusha\n  call interrupted\n  popa\n  iret\n");
extern char page_fault_task[], visit_task[], on_divide[], on_absent[], on_interrupt[];

static void prepare(char* entry, uint32_t cs, uint32_t ss) {
  other = (struct tss){.eip = (uint32_t)entry, .eflags = 0x3002, .cs = cs, .ss = ss, .ds = ss, .es = ss, .fs = ss,
                       .cr3 = (uint32_t)directory, .esp = (uint32_t)(other_stack + 4096), .io_map = 104};
  set_descriptor(other_task, (uint32_t)&other, sizeof other - 1, 0x8900);
  visits = faults = order = 0;
}

// Runs an instruction with the stack at the end of the page that cannot be written yet.
#define ON_WINDOW(CODE, ...)                                                                              \
  entries[0] = (uint32_t)page | 1;                                                                        \
  __asm__ volatile("invlpg (%0)" : : "r"(window) : "memory");                                             \
  __asm__ volatile("mov %%esp, kept_esp\n mov %[top], %%esp\n" CODE "\n mov kept_esp, %%esp\n"            \
                   : __VA_ARGS__ : [top] "r"(window + 4092) : "edx", "memory", "cc")

void guest_main(void) {
  struct table pointer;
  __asm__ volatile("sgdt %0" : "=m"(pointer));
  gdt = (uint32_t*)pointer.base;
  __asm__ volatile("sidt %0" : "=m"(pointer));
  idt = (uint32_t*)pointer.base;
  // The first 16 MiB and the last to themselves, and one page in between.
  for (uint32_t i = 0; i < 4; i++) directory[i] = i << 22 | 0x87;
  directory[window >> 22] = (uint32_t)entries | 3;
  directory[1019] = 1019u << 22 | 0x83;
  // The TSS that runs is given its CR3 by hand, which a task switch does not store.
  struct tss* own = (struct tss*)(gdt[0x40 / 4] >> 16 | (gdt[0x44 / 4] & 0xff) << 16 | (gdt[0x44 / 4] & 0xff000000));
  own->cr3 = (uint32_t)directory;
  __asm__ volatile("mov %%cr4, %%eax\n or $0x10, %%eax\n mov %%eax, %%cr4\n mov %0, %%cr3\n"
                   "mov %%cr0, %%eax\n or $0x80010000, %%eax\n mov %%eax, %%cr0" : : "r"(directory) : "eax", "memory");

  prepare(page_fault_task, code, data);
  set_task_gate(14);
  entries[0] = 0;
  *(volatile uint8_t*)(window + 5) = 1;
  say("#PF in a task: error", error, 8), say("address", address, 8), say("times", faults, 4);

  uint32_t result = 1500;
  prepare(page_fault_task, code, data);
  set_handler(0, code, on_divide);
  ON_WINDOW("cdq\n divl divisor", "+a"(result));
  say("#DE, then #PF of its frame: order", order, 8), say("error", error, 8), say("result", result, 8);

  prepare(page_fault_task, code, data);
  set_descriptor(absent, 0, 0xffff, 0x00cf1b00);
  set_handler(0x50, absent, on_interrupt);
  set_handler(11, code, on_absent);
  uint32_t unused;
  ON_WINDOW("int $0x50", "=a"(unused));
  say("#NP, then #PF of its frame: order", order, 8), say("error", error, 8);

  prepare(visit_task, code, data);
  set_task_gate(2);
  apic_write(0xf0, 0x1ff);
  apic_write(0x300, 0x4400);
  for (volatile int i = 0; i < 1000; i++) {
  }
  say("NMI in a task, visits", visits, 4);
  apic_write(0x300, 0x4400);
  for (volatile int i = 0; i < 1000; i++) {
  }
  say("another behind IRET, visits", visits, 4);

  prepare(visit_task, code, data);
  set_task_gate(0xf0);
  __asm__ volatile("sti");
  apic_write(0x300, 0x440f0);
  for (volatile int i = 0; i < 1000; i++) {
  }
  __asm__ volatile("cli");
  apic_write(0xb0, 0);
  say("an interrupt in a task, visits", visits, 4);

  set_descriptor(conforming, 0, 0xfffff, 0x00cf9f00);
  prepare(visit_task, conforming | 3, user_data);
  __asm__ volatile("lcall $0x60, $0xf4f4f4f4" : : : "memory", "cc");
  say("a task in ring 3 of conforming code, visits", visits, 4), say("its CS", seen_cs, 4);
  __asm__ volatile("mov %%cr0, %%eax\n and $0x7fffffff, %%eax\n mov %%eax, %%cr0" : : : "eax", "memory");
}
