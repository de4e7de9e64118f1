// 64-bit arithmetic in 32-bit code: carries, products, shifts, comparisons, and long division written out.
#include "guest.h"

static uint64_t divide(uint64_t n, uint64_t d, uint64_t* rest) {
  uint64_t q = 0, r = 0;
  for (int i = 63; i >= 0; i--) {
    r = r << 1 | (n >> i & 1);
    if (r >= d) r -= d, q |= 1ull << i;
  }
  *rest = r;
  return q;
}

void guest_main(void) {
  uint64_t x = 0x9e3779b97f4a7c15ull, sum = 0;
  for (int i = 0; i < 48; i++) {
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    int64_t y = (int64_t)x >> (i % 64);
    sum += x * (uint64_t)y - (x << (i % 33)) + (x < sum) + ((int64_t)x < y);
    sum = sum << (i % 64) | sum >> (63 - i % 64) >> 1;
  }
  print("mixed "), print_hex(sum, 16), print("\n");
  for (int i = 0; i < 3; i++) {
    uint64_t rest, quotient = divide(x, 0x1000003ull * (uint64_t)(i + 1) * (uint64_t)(i + 1), &rest);
    print("quotient "), print_hex(quotient, 16), print(" rest "), print_hex(rest, 16), print("\n");
    x = x * 6364136223846793005ull + 1442695040888963407ull;
  }
}
