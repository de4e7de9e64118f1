// Quicksort and heapsort of the same numbers, through function pointers, in 32-bit mode.
#include "guest.h"

enum { count = 400 };
static int32_t numbers[count];

static void fill(void) {
  uint32_t seed = 2463534242u;
  for (int i = 0; i < count; i++) {
    seed ^= seed << 13, seed ^= seed >> 17, seed ^= seed << 5;
    numbers[i] = (int32_t)seed >> (i % 20);
  }
}

typedef int (*order)(int32_t, int32_t);
static int ascending(int32_t a, int32_t b) { return a < b; }
static int by_low_byte(int32_t a, int32_t b) { return (uint8_t)a != (uint8_t)b ? (uint8_t)a < (uint8_t)b : a < b; }

static void swap(int32_t* a, int32_t* b) {
  int32_t t = *a;
  *a = *b, *b = t;
}

static void quicksort(int32_t* from, int32_t* to, order before) {
  while (to - from > 1) {
    int32_t pivot = from[(to - from) / 2], *i = from, *j = to - 1;
    while (i <= j) {
      while (before(*i, pivot)) i++;
      while (before(pivot, *j)) j--;
      if (i <= j) swap(i++, j--);
    }
    quicksort(from, j + 1, before);
    from = i;
  }
}

static void heapsort(int32_t* a, int n, order before) {
  for (int start = n / 2, end = n; end > 1;) {
    if (start > 0) start--;
    else swap(&a[--end], &a[0]);
    for (int root = start, child; (child = 2 * root + 1) < end; root = child) {
      if (child + 1 < end && before(a[child], a[child + 1])) child++;
      if (!before(a[root], a[child])) break;
      swap(&a[root], &a[child]);
    }
  }
}

static void report(const char* what, order before) {
  uint32_t hash = 2166136261u, sorted = 1;
  for (int i = 0; i < count; i++) {
    hash = (hash ^ (uint32_t)numbers[i]) * 16777619u;
    if (i > 0 && before(numbers[i], numbers[i - 1])) sorted = 0;
  }
  print(what), print(sorted ? " sorted " : " not sorted "), print_hex(hash, 8), print("\n");
}

void guest_main(void) {
  fill(), quicksort(numbers, numbers + count, ascending), report("quicksort", ascending);
  fill(), heapsort(numbers, count, ascending), report("heapsort", ascending);
  fill(), quicksort(numbers, numbers + count, by_low_byte), report("quicksort by low byte", by_low_byte);
  fill(), heapsort(numbers, count, by_low_byte), report("heapsort by low byte", by_low_byte);
}
