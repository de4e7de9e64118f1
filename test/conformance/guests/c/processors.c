// Three processors: started by INIT and SIPI, counting under a lock, writing in turn, interrupting each other. With --cpus 3.
#include "others.h"

enum { processors = 3, rounds = 500 };
static volatile uint32_t alive, lock, counter, turn, answers[256], stop;

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

void second_main(void) {
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

void guest_main(void) {
  map_devices();
  mask_8259();
  load_idt();
  handle(0x40, on_call);
  apic_write(0xf0, 0x1ff);
  start_others();
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
