// attempt.h: runs an instruction that may fault, and prints what came of it; for C guests in 64-bit mode.
#pragma once
#include "machine.h"

static volatile uint64_t fault_error, resume, vector;

static __attribute__((interrupt)) void on_page_fault(struct frame* frame, uint64_t error) {
  fault_error = error, vector = 14;
  frame->rip = resume;
}
static __attribute__((interrupt)) void on_protection(struct frame* frame, uint64_t error) {
  (void)error;
  vector = 13;
  frame->rip = resume;
}
static __attribute__((interrupt)) void on_undefined(struct frame* frame) {
  vector = 6;
  frame->rip = resume;
}

static inline void show(const char* what) {
  print(what), print(": ");
  if (vector == 14) print("#PF "), print_hex(fault_error, 2);
  if (vector != 14) print(vector == 13 ? "#GP" : vector == 6 ? "#UD" : "ok");
  print("\n");
  vector = 0;
}

#define ATTEMPT(CODE) "lea 1f(%%rip), %%r11\n mov %%r11, resume(%%rip)\n" CODE "\n1:\n"
#define LOST "r11", "memory", "cc"

static void catch_faults(void) {
  load_idt();
  handle(6, on_undefined), handle(13, on_protection), handle(14, on_page_fault);
}

#define CONTROL(NUMBER)                                                                     \
  static inline uint64_t read_cr##NUMBER(void) {                                            \
    uint64_t value;                                                                         \
    __asm__ volatile("mov %%cr" #NUMBER ", %0" : "=r"(value));                              \
    return value;                                                                           \
  }                                                                                         \
  static inline void write_cr##NUMBER(uint64_t value) {                                     \
    __asm__ volatile(ATTEMPT("mov %0, %%cr" #NUMBER) : : "r"(value) : LOST);                 \
  }
CONTROL(0)
CONTROL(3)
CONTROL(4)
#undef CONTROL
