// Strings and tables: REP MOVS and STOS of several lengths, SCAS, CRC by table, a byte histogram.
#include "guest.h"

static uint8_t from[1 << 16], to[1 << 16];
static uint32_t table[256];

static void move(void* d, const void* s, size_t n) { __asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n)::"memory"); }
static void fill(void* d, uint32_t value, size_t n) { __asm__ volatile("rep stosl" : "+D"(d), "+c"(n) : "a"(value) : "memory"); }
static size_t length(const void* s) {
  size_t count = ~(size_t)0;
  __asm__ volatile("repne scasb" : "+D"(s), "+c"(count) : "a"(0) : "memory");
  return ~count - 1;
}

static uint32_t run(void) {
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t c = i;
    for (int bit = 0; bit < 8; bit++) c = (c & 1) != 0 ? 0xedb88320u ^ c >> 1 : c >> 1;
    table[i] = c;
  }
  uint32_t sum = 0, histogram[256] = {0};
  for (int round = 0; round < 60; round++) {
    fill(from, 0x01020304u * (uint32_t)(round + 1) | 0x01010101, sizeof(from) / 4);
    from[sizeof(from) - 1] = 0;
    for (uint32_t i = 0; i < 2000; i++) move(to + i * 32, from + i * 31, 8 + i % 24);
    for (int i = 0; i < 8; i++) move(to + i, from, sizeof(from) - 8);
    sum += (uint32_t)length(from);
    for (uint32_t i = 0; i + 64 < sizeof(from); i += 512) from[i + 40] = 0, sum += (uint32_t)length(from + i);
    uint32_t crc = ~0u;
    for (uint32_t i = 0; i < sizeof(to); i++) crc = table[(crc ^ to[i]) & 0xff] ^ crc >> 8;
    for (uint32_t i = 0; i < sizeof(to); i++) histogram[to[i]]++;
    sum = sum * 31 + crc;
  }
  for (int i = 0; i < 256; i++) sum = sum * 31 + histogram[i];
  return sum;
}
