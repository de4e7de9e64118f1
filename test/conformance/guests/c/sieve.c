// Primes by a bit sieve, Fibonacci numbers, and a matrix of greatest common divisors, in 64-bit mode.
#include "guest.h"

enum { limit = 3000 };
static uint64_t composite[limit / 64 + 1];

static uint64_t fibonacci(int n) { return n < 2 ? (uint64_t)n : fibonacci(n - 1) + fibonacci(n - 2); }
static uint32_t gcd(uint32_t a, uint32_t b) { return b ? gcd(b, a % b) : a; }

void guest_main(void) {
  uint32_t primes = 0, last = 0;
  for (uint32_t i = 2; i < limit; i++) {
    if (composite[i / 64] >> (i % 64) & 1) continue;
    primes++, last = i;
    for (uint32_t j = i * i; j < limit; j += i) composite[j / 64] |= 1ull << (j % 64);
  }
  print("primes "), print_decimal(primes), print(" the last "), print_decimal(last), print("\n");

  uint64_t a = 0, b = 1;
  for (int i = 0; i < 90; i++) b = a + b, a = b - a;
  print("fibonacci 90 "), print_hex(a, 16), print(" by recursion 15 "), print_decimal((uint32_t)fibonacci(15)), print("\n");

  uint32_t sum = 0;
  for (uint32_t i = 1; i <= 24; i++)
    for (uint32_t j = 1; j <= 24; j++) sum += gcd(i * 6, j * 4);
  print("divisors "), print_decimal(sum), print("\n");
}
