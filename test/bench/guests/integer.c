// Integers and branches: Collatz lengths, greatest common divisors, a sieve.
#include "guest.h"

static uint8_t composite[1 << 16];

static uint32_t gcd(uint32_t a, uint32_t b) {
  while (b != 0) {
    const uint32_t rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

static uint32_t run(void) {
  uint32_t sum = 0;
  for (int round = 0; round < 6; round++) {
    for (uint32_t n = 1; n < 60000; n++) {
      uint32_t length = 0;
      for (uint32_t x = n; x != 1; length++) x = (x & 1) != 0 ? x + (x >> 1) + 1 : x >> 1;
      sum = sum * 31 + length;
    }
    for (uint32_t i = 1; i < 600; i++) {
      for (uint32_t j = 1; j < 300; j++) sum += gcd(i * 7, j * 5);
    }
    for (uint32_t i = 0; i < sizeof(composite); i++) composite[i] = 0;
    for (uint32_t i = 2; i < sizeof(composite); i++) {
      if (composite[i]) continue;
      sum += i;
      for (uint32_t j = 2 * i; j < sizeof(composite); j += i) composite[j] = 1;
    }
  }
  return sum;
}
