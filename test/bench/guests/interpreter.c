// An interpreter that goes from one operation to the next by an indirect jump.
#include "guest.h"

enum { kPush, kAdd, kMul, kXor, kDup, kSwap, kDrop, kLoop, kEnd };
static const uint8_t kProgram[] = {kPush, 17, kPush, 5,  kDup,  kMul, kAdd, kDup,  kPush, 3,    kXor, kSwap, kDrop,
                                   kPush, 9,  kSwap, kXor, kDup, kAdd, kDup, kMul, kPush, 1, kXor, kDup, kDrop, kLoop, kEnd};

static uint32_t run(void) {
  static const void* const operations[] = {&&push, &&add, &&mul, &&xor, &&dup, &&swap, &&drop, &&loop, &&end};
  uint32_t stack[32], *top = stack, rounds = 700000, sum = 1;
  const uint8_t* at = kProgram;
  *top = 1;
#define NEXT goto* operations[*at++]
  NEXT;
push: *++top = *at++; NEXT;
add: top--, top[0] += top[1]; NEXT;
mul: top--, top[0] *= top[1]; NEXT;
xor: top--, top[0] ^= top[1]; NEXT;
dup: top++, top[0] = top[-1]; NEXT;
swap: { const uint32_t value = top[0]; top[0] = top[-1]; top[-1] = value; } NEXT;
drop: top--; NEXT;
loop:
  sum = sum * 31 + *top;
  top = stack;
  *top = sum;
  if (--rounds != 0) at = kProgram;
  NEXT;
end:
  return sum;
}
