// Three processors: started by INIT and SIPI, counting under a lock, writing in turn, interrupting each other. With --cpus 3.
#include "machine.h"

enum { processors = 3, trampoline = 0x7000, rounds = 500 };
static volatile uint32_t alive, lock, counter, turn, answers[256], stop;
__attribute__((used)) static uint8_t stacks[processors][4096] __attribute__((aligned(16)));
__attribute__((used)) static uint32_t next_stack;

// Real mode to 64-bit mode, with the first processor's tables. Data is filled in behind the code.
__asm__(
    ".code16\n"
    "trampoline_start:\n"
    "  cli\n"
    "  xor %ax, %ax\n"
    "  mov %ax, %ds\n"
    "  lgdtl 0x7100\n"
    "  mov $0x20, %eax\n"
    "  mov %eax, %cr4\n"
    "  mov 0x7110, %eax\n"
    "  mov %eax, %cr3\n"
    "  mov $0xc0000080, %ecx\n"
    "  rdmsr\n"
    "  or $0x900, %eax\n"
    "  wrmsr\n"
    "  mov $0x80000011, %eax\n"
    "  mov %eax, %cr0\n"
    "  ljmpl *0x7120\n"
    "trampoline_end:\n"
    ".code64\n"
    "second_entry:\n"
    "  mov $1, %eax\n"
    "  lock xadd %eax, next_stack(%rip)\n"
    "  inc %eax\n"
    "  shl $12, %eax\n"
    "  lea stacks(%rip), %rsp\n"
    "  add %rax, %rsp\n"
    "  call second_main\n"
    "1: hlt\n"
    "  jmp 1b\n");
extern uint8_t trampoline_start[], trampoline_end[], second_entry[];

static uint32_t own_id(void) { return apic_read(0x20) >> 24; }

static __attribute__((interrupt)) void on_call(struct frame* frame) {
  (void)frame;
  answers[own_id()]++;
  end_of_interrupt();
}

static void take_lock(void) {
  uint32_t taken;
  do {
    taken = 1;
    __asm__ volatile("pause; xchg %0, %1" : "+r"(taken), "+m"(lock) : : "memory");
  } while (taken);
}

static void count(void) {
  for (int i = 0; i < rounds; i++) {
    take_lock();
    uint32_t seen = counter;
    for (volatile int wait = 0; wait < 5; wait++) {
    }
    counter = seen + 1;
    __asm__ volatile("" : : : "memory");
    lock = 0;
  }
}

static void wait_for(volatile uint32_t* what, uint32_t value) {
  while (*what != value) __asm__ volatile("pause" : : : "memory");
}

__attribute__((used)) static void second_main(void) {
  load_idt();
  apic_write(0xf0, 0x1ff);
  __asm__ volatile("lock incl %0" : "+m"(alive));
  count();
  wait_for(&turn, own_id());
  say("written by", own_id(), 1);
  turn++;
  __asm__ volatile("lock incl %0" : "+m"(alive));
  while (!stop) __asm__ volatile("sti; hlt; cli" : : : "memory");
}

static void command(uint32_t destination, uint32_t low) {
  apic_write(0x310, destination << 24);
  apic_write(0x300, low);
  while (apic_read(0x300) & 0x1000) {
  }
}

void guest_main(void) {
  map_devices();
  mask_8259();
  load_idt();
  handle(0x40, on_call);
  apic_write(0xf0, 0x1ff);
  for (uint64_t i = 0; trampoline_start + i < trampoline_end; i++)
    ((volatile uint8_t*)trampoline)[i] = trampoline_start[i];
  struct __attribute__((packed)) {
    uint16_t limit;
    uint64_t base;
  } gdt;
  uint64_t cr3;
  uint16_t cs;
  __asm__ volatile("sgdt %0" : "=m"(gdt));
  __asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
  __asm__ volatile("mov %%cs, %0" : "=r"(cs));
  *(volatile uint16_t*)(trampoline + 0x100) = gdt.limit;
  *(volatile uint32_t*)(trampoline + 0x102) = (uint32_t)gdt.base;
  *(volatile uint32_t*)(trampoline + 0x110) = (uint32_t)cr3;
  *(volatile uint32_t*)(trampoline + 0x120) = (uint32_t)(uint64_t)second_entry;
  *(volatile uint16_t*)(trampoline + 0x124) = cs;

  command(0, 0xc4500);                       // INIT to all others
  command(0, 0xc4600 | trampoline >> 12);    // startup
  while (alive == 0) {
  }
  count();
  say("written by", own_id(), 1);
  turn = 1;
  wait_for(&alive, 2 * (processors - 1));
  say("counted under a lock", counter, 8);

  command(1, 0x4040);
  wait_for(&answers[1], 1);
  command(2, 0x4040);
  wait_for(&answers[2], 1);
  print("each answered\n");
  command(0, 0xc4040);  // all others
  wait_for(&answers[1], 2), wait_for(&answers[2], 2);
  command(0, 0x84040);  // all
  allow_interrupts();
  wait_for(&answers[0], 1), wait_for(&answers[1], 3), wait_for(&answers[2], 3);
  hold_interrupts();
  print("all answered\n");
  stop = 1;
  command(0, 0xc4040);
  wait_for(&answers[1], 4), wait_for(&answers[2], 4);
  say("interrupts of each", (uint64_t)answers[0] << 16 | answers[1] << 8 | answers[2], 6);
}
