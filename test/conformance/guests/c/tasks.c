// Task switches by CALL, JMP, IRET, interrupt and exception, in 32-bit mode; and what a task must be to be entered.
#include "guest.h"

struct tss {
  uint32_t link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags, eax, ecx, edx, ebx, esp, ebp, esi, edi;
  uint32_t es, cs, ss, ds, fs, gs, ldt;
  uint16_t trap, io_map;
};
struct frame {
  uint32_t eip, cs, eflags;
};
struct __attribute__((packed)) table {
  uint16_t limit;
  uint32_t base;
};

enum { main_task = 0x40, other_task = 0x60, gate = 0x68, v86_task = 0x70, code = 0x08, data = 0x10 };

static struct tss other, v86;
static uint8_t other_stack[4096] __attribute__((aligned(16)));
__attribute__((used)) static volatile uint32_t visits, seen_error, seen_flags, faulted, resume;
__attribute__((used)) static uint32_t *gdt, *idt;

static void set_descriptor(unsigned selector, uint32_t base, uint32_t limit, uint8_t access) {
  gdt[selector / 4] = base << 16 | limit;
  gdt[selector / 4 + 1] = (base & 0xff000000) | (uint32_t)access << 8 | (base >> 16 & 0xff);
}
static void set_task_gate(unsigned number, unsigned selector) {
  idt[number * 2] = selector << 16;
  idt[number * 2 + 1] = 0x8500;
}
static void set_handler(unsigned number, void* handler) {
  idt[number * 2] = (uint32_t)code << 16 | ((uint32_t)handler & 0xffff);
  idt[number * 2 + 1] = ((uint32_t)handler & 0xffff0000) | 0x8e00;
}
static uint8_t access_of(unsigned selector) { return (uint8_t)(gdt[selector / 4 + 1] >> 8); }
static struct tss* main_tss(void) {
  return (struct tss*)(gdt[main_task / 4] >> 16 | (gdt[main_task / 4 + 1] & 0xff) << 16 |
                       (gdt[main_task / 4 + 1] & 0xff000000));
}

static void say(const char* text, uint32_t value, int digits) {
  print(text), print(" "), print_hex(value, digits), print("\n");
}

// What the other task runs: IRET goes back, and the next entry goes on behind it.
__asm__(
    "task_entry:\n"
    "  incl visits\n"
    "  pushf\n"
    "  popl seen_flags\n"
    "  iret\n"
    "  addl $0x100, visits\n"
    "  iret\n"
    "  jmp task_entry\n"
    "jump_entry:\n"
    "  incl visits\n"
    "  pushf\n"
    "  popl seen_flags\n"
    "  ljmp $0x40, $0\n"
    "  jmp jump_entry\n"
    "error_entry:\n"
    "  incl visits\n"
    "  popl seen_error\n"
    "  movl gdt, %eax\n"
    "  movl $0x0000ffff, 0x78(%eax)\n"
    "  movl $0x00cf9300, 0x7c(%eax)\n"
    "  iret\n"
    "  jmp error_entry\n");
extern char task_entry[], jump_entry[], error_entry[];

static void prepare(char* entry) {
  other = (struct tss){.eip = (uint32_t)entry, .eflags = 2, .cs = code, .ss = data, .ds = data, .es = data,
                       .fs = data, .gs = 0, .esp = (uint32_t)(other_stack + 4096), .io_map = 104,
                       .ebx = 0x12345678, .edi = 0x9abcdef0};
  set_descriptor(other_task, (uint32_t)&other, sizeof other - 1, 0x89);
  visits = seen_error = seen_flags = 0;
}

static __attribute__((interrupt)) void on_fault(struct frame* frame, uint32_t error) {
  seen_error = error;
  faulted = 1;
  frame->eip = resume;
}
static uint32_t attempt_call(void) {
  faulted = 0, seen_error = 0xffff;
  __asm__ volatile("movl $1f, %0\n lcall $0x60, $0xf4f4f4f4\n1:" : "=m"(resume) : : "memory", "cc");
  return faulted ? seen_error : 0xffffffff;
}

void guest_main(void) {
  struct table pointer;
  __asm__ volatile("sgdt %0" : "=m"(pointer));
  gdt = (uint32_t*)pointer.base;
  __asm__ volatile("sidt %0" : "=m"(pointer));
  idt = (uint32_t*)pointer.base;
  uint32_t cr0;

  prepare(task_entry);
  __asm__ volatile("clts; lcall $0x60, $0xf4f4f4f4" : : : "memory", "cc");
  __asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
  say("call, visits", visits, 4);
  say("its flags", seen_flags, 8);
  say("its link", other.link, 4);
  say("busy after return: main, other", (uint32_t)access_of(main_task) << 8 | access_of(other_task), 4);
  say("ts", cr0 >> 3 & 1, 1);
  say("saved where it goes on", other.eip - (uint32_t)task_entry, 4);
  say("its ebx and edi kept", other.ebx ^ other.edi, 8);
  __asm__ volatile("lcall $0x60, $0" : : : "memory", "cc");
  say("called again, goes on behind iret", visits, 4);

  prepare(jump_entry);
  __asm__ volatile("ljmp $0x60, $0" : : : "memory", "cc");
  say("jump there and back, visits", visits, 4);
  say("flags without nesting", seen_flags, 8);
  say("busy after jump: main, other", (uint32_t)access_of(main_task) << 8 | access_of(other_task), 4);

  prepare(task_entry);
  gdt[gate / 4] = other_task << 16, gdt[gate / 4 + 1] = 0x8500;
  __asm__ volatile("lcall $0x68, $0" : : : "memory", "cc");
  say("through a gate", visits, 4);
  prepare(task_entry);
  set_task_gate(0x50, other_task);
  __asm__ volatile("int $0x50" : : : "memory", "cc");
  say("by INT", visits, 4);

  prepare(error_entry);
  set_task_gate(13, other_task);
  // The task comes back to the instruction that faulted, so it has to be mended there: by a descriptor that loads.
  __asm__ volatile("mov $0x78, %%eax\n mov %%ax, %%fs" : : : "eax", "memory");
  say("#GP in a task, pushed", seen_error, 8);

  set_handler(10, on_fault), set_handler(11, on_fault), set_handler(13, on_fault);
  prepare(task_entry);
  set_descriptor(other_task, (uint32_t)&other, sizeof other - 1, 0x8b);
  say("busy", attempt_call(), 8);
  set_descriptor(other_task, (uint32_t)&other, sizeof other - 1, 0x09);
  say("not present", attempt_call(), 8);
  set_descriptor(other_task, (uint32_t)&other, 0x66, 0x89);
  say("too short", attempt_call(), 8);

  // A virtual-8086 task: UD2 comes back through a task gate to this task.
  static uint8_t low_code[2] = {0x0f, 0x0b};
  for (int i = 0; i < 2; i++) ((volatile uint8_t*)0x6000)[i] = low_code[i];
  v86 = (struct tss){.eip = 0, .eflags = 0x20002, .cs = 0x600, .ds = 0x1234, .es = 0x2345, .io_map = 104};
  set_descriptor(v86_task, (uint32_t)&v86, sizeof v86 - 1, 0x8b);
  main_tss()->link = v86_task;
  set_task_gate(6, main_task);
  __asm__ volatile("pushf; orl $0x4000, (%%esp); popf; iret" : : : "memory", "cc");
  say("virtual-8086 task: flags", v86.eflags & 0x2ffff, 8);
  say("its segments", v86.ds << 16 | v86.es, 8);
  say("link of the task it came back to", main_tss()->link, 4);
  __asm__ volatile("pushf; andl $~0x4000, (%%esp); popf" : : : "memory", "cc");
}
