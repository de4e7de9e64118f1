// A stack machine dispatched through a table of labels: indirect jumps, and a program that computes factorials and digits.
#include "guest.h"

enum { push, add, sub, mul, dup, swap, over, jump_if_zero, jump, out, drop, divide, remainder, halt };

// 10 factorials, then the decimal digits of 7^20 from the lowest.
static const int64_t program[] = {
    push, 1, push, 1,                                                              // n f
    over, mul, dup, out, swap, push, 1, add, dup, push, 11, sub, jump_if_zero, 22,  // f n+1
    swap, jump, 4, halt,                                                           //
    drop, drop, push, 79792266297612001,                                           // v
    dup, push, 10, remainder, out, push, 10, divide, dup, jump_if_zero, 39, jump, 26, halt,
};

static void run(const int64_t* code) {
  static const void* const labels[] = {&&push, &&add, &&sub, &&mul, &&dup, &&swap, &&over, &&jump_if_zero, &&jump, &&out, &&drop, &&divide, &&remainder, &&halt};
  int64_t stack[16], *top = stack, t;
  const int64_t* at = code;
#define NEXT goto* labels[*at++]
  NEXT;
push: *++top = *at++; NEXT;
add: top--, top[0] += top[1]; NEXT;
sub: top--, top[0] -= top[1]; NEXT;
mul: top--, top[0] *= top[1]; NEXT;
dup: top++, top[0] = top[-1]; NEXT;
swap: t = top[0], top[0] = top[-1], top[-1] = t; NEXT;
over: top++, top[0] = top[-2]; NEXT;
jump_if_zero: t = *at++, at = *top-- ? at : code + t; NEXT;
jump: at = code + *at; NEXT;
out: print_hex((uint64_t)*top--, 8), print(" "); NEXT;
drop: top--; NEXT;
divide: top--, top[0] /= top[1]; NEXT;
remainder: top--, top[0] %= top[1]; NEXT;
halt: print("\n");
}

void guest_main(void) { run(program); }
