// Memory through 4 KiB pages: a linked walk over 8 MiB, sums by row and by column, a heap sort.
#include "guest.h"

enum { kWords = 1 << 21, kRow = 1024 };
static uint32_t words[kWords];

static void sift(uint32_t* heap, uint32_t at, uint32_t count) {
  for (;;) {
    uint32_t child = 2 * at + 1;
    if (child >= count) return;
    if (child + 1 < count && heap[child + 1] > heap[child]) child++;
    if (heap[at] >= heap[child]) return;
    const uint32_t value = heap[at];
    heap[at] = heap[child];
    heap[child] = value;
    at = child;
  }
}

static uint32_t run(void) {
  uint32_t sum = 0;
  for (uint32_t i = 0; i < kWords; i++) words[i] = (i * 1664525u + 1013904223u) % kWords;
  for (uint32_t i = 0, at = 0; i < 6000000; i++) at = words[at] ^ (i & 0xff), sum += at;
  for (int round = 0; round < 4; round++) {
    for (uint32_t i = 0; i < kWords; i++) sum += words[i];
    for (uint32_t column = 0; column < kRow; column++) {
      for (uint32_t row = 0; row < kWords / kRow; row++) sum ^= words[row * kRow + column] + row;
    }
  }
  const uint32_t count = 200000;
  for (uint32_t i = count / 2; i-- > 0;) sift(words, i, count);
  for (uint32_t end = count; end-- > 1;) {
    const uint32_t value = words[0];
    words[0] = words[end];
    words[end] = value;
    sift(words, 0, end);
  }
  for (uint32_t i = 0; i < count; i += 1000) sum = sum * 31 + words[i];
  return sum;
}
