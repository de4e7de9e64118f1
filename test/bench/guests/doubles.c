// Double precision by SSE2: a matrix product, the gravity of five bodies, a polynomial.
#include "guest.h"

enum { kSize = 96 };
static double a[kSize][kSize], b[kSize][kSize], c[kSize][kSize];

static double root(double x) {
  double y;
  __asm__("sqrtsd %1, %0" : "=x"(y) : "x"(x));
  return y;
}

static uint32_t run(void) {
  double total = 0;
  for (int i = 0; i < kSize; i++) {
    for (int j = 0; j < kSize; j++) a[i][j] = 1.0 / (i + j + 1), b[i][j] = (double)(i - j) * 0.25;
  }
  for (int round = 0; round < 6; round++) {
    for (int i = 0; i < kSize; i++) {
      for (int j = 0; j < kSize; j++) {
        double sum = 0;
        for (int k = 0; k < kSize; k++) sum += a[i][k] * b[k][j];
        c[i][j] = sum;
      }
    }
    total += c[round][kSize - 1 - round];
  }
  double x[5], v[5];
  for (int i = 0; i < 5; i++) x[i] = i * 1.5 + 0.25, v[i] = 0.125 * i;
  for (int step = 0; step < 60000; step++) {
    for (int i = 0; i < 5; i++) {
      for (int j = i + 1; j < 5; j++) {
        const double d = x[i] - x[j], r = root(d * d + 0.01), f = d / (r * r * r) * 1e-4;
        v[i] -= f;
        v[j] += f;
      }
    }
    for (int i = 0; i < 5; i++) x[i] += v[i] * 1e-3;
  }
  for (int i = 0; i < 5; i++) total += x[i];
  for (int i = 0; i < 900000; i++) total += ((1e-9 * i - 0.5) * i * 1e-6 + 0.25) * 1e-6;
  return (uint32_t)(int32_t)(total * 1e5);
}
