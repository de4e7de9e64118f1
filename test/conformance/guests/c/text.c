// String routines as a C library has them, over every alignment, in 32-bit mode.
#include "guest.h"

void* memcpy(void* to, const void* from, size_t n) {
  uint8_t* d = to;
  const uint8_t* s = from;
  while (n--) *d++ = *s++;
  return to;
}
void* memset(void* to, int value, size_t n) {
  void* at = to;
  __asm__ volatile("rep stosb" : "+D"(at), "+c"(n) : "a"(value) : "memory");
  return to;
}
void* memmove(void* to, const void* from, size_t n) {
  if ((uintptr_t)to <= (uintptr_t)from) return memcpy(to, from, n);
  while (n--) ((uint8_t*)to)[n] = ((const uint8_t*)from)[n];
  return to;
}
static int compare(const void* a, const void* b, size_t n) {
  const uint8_t *x = a, *y = b;
  for (; n--; x++, y++)
    if (*x != *y) return *x - *y;
  return 0;
}
static size_t length(const char* s) {
  size_t n = 0;
  while (s[n]) n++;
  return n;
}
static const char* find(const char* text, const char* word) {
  for (size_t n = length(word); *text; text++)
    if (!compare(text, word, n)) return text;
  return 0;
}
static int32_t number(const char* s) {
  int32_t sign = *s == '-' ? s++, -1 : 1, value = 0;
  while (*s >= '0' && *s <= '9') value = value * 10 + (*s++ - '0');
  return sign * value;
}

static char buffer[96];

void guest_main(void) {
  uint32_t hash = 0;
  for (size_t from = 0; from < 5; from++)
    for (size_t to = 0; to < 5; to++) {
      for (size_t i = 0; i < sizeof buffer; i++) buffer[i] = (char)(i * 7);
      memmove(buffer + 16 + to, buffer + 14 + from, 21);
      memset(buffer + 60 + from, (int)to, 9);
      for (size_t i = 0; i < sizeof buffer; i++) hash = (hash ^ (uint8_t)buffer[i]) * 16777619u;
    }
  print("moves and fills "), print_hex(hash, 8), print("\n");

  const char* text = "the quick brown fox jumps over the lazy dog";
  print("found "), print(find(text, "fox")), print(" at "), print_decimal((uint32_t)(find(text, "fox") - text)), print("\n");
  print("missing "), print_decimal(find(text, "cat") != 0), print(" length "), print_decimal(length(text)), print("\n");
  print("numbers "), print_hex((uint32_t)number("-2147483648"), 8), print(" "), print_decimal((uint32_t)number("4711x")), print("\n");
}
