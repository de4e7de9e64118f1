// Memory of a device (pc-testdev's, at FF000000H) as the operand of every kind of instruction, in 64-bit mode: reads, writes
// and both, segment and table registers, far pointers, vectors, strings, stacks, and accesses that cross pages.
//
// Only wrong results are printed, and how many there were.
#include "attempt.h"

static volatile uint8_t* const bytes = (volatile uint8_t*)0xff000000ull;
#define MEMORY ((volatile uint64_t*)0xff000100ull)
#define AS16(PLACE) (*(volatile uint16_t*)(PLACE))
#define AS32(PLACE) (*(volatile uint32_t*)(PLACE))
#define AS64(PLACE) (*(volatile uint64_t*)(PLACE))

static uint32_t wrong;
static void check(const char* what, int right) {
  if (right) return;
  wrong++;
  print("wrong: "), print(what), print("\n");
}
static void faults(const char* what, uint64_t as) {
  check(what, vector == as);
  vector = 0;
}

static void exchanges(void) {
  volatile uint64_t* m = MEMORY;
  uint64_t a = 0xfedcba9876543210, b = 3, c = 4, d = 9;
  uint8_t z;
  *m = 0x123456789abcdef;
  __asm__ volatile("xchg %%al, %1" : "+a"(a), "+m"(*m));
  check("XCHG of 8 bits", a == 0xfedcba98765432ef && *m == 0x123456789abcd10);
  *m = 0x123456789abcdef, a = 0xfedcba9876543210;
  __asm__ volatile("lock xadd %%eax, %1" : "+a"(a), "+m"(*m));
  check("XADD of 32 bits", a == 0x89abcdef && *m == 0x1234567ffffffff);
  *m = 5, a = 5;
  __asm__ volatile("lock cmpxchg %2, %1" : "+a"(a), "+m"(*m) : "r"(d));
  check("CMPXCHG", *m == 9);
  *m = 0x200000001, a = 1, d = 2;
  __asm__ volatile("lock cmpxchg8b %2; setz %3" : "+a"(a), "+d"(d), "+m"(*m), "=m"(z) : "b"(b), "c"(c));
  check("CMPXCHG8B", z && *m == 0x400000003);
  m[0] = 1, m[1] = 2, a = 1, d = 2;
  __asm__ volatile("lock cmpxchg16b %2; setz %3" : "+a"(a), "+d"(d), "+m"(*m), "=m"(z) : "b"(b), "c"(c) : "memory");
  check("CMPXCHG16B", z && m[0] == 3 && m[1] == 4);
  a = 0;
  __asm__ volatile("lock cmpxchg16b %2; setz %3" : "+a"(a), "+d"(d), "+m"(*m), "=m"(z) : "b"(b), "c"(c) : "memory");
  check("CMPXCHG16B of something else", !z && a == 3 && d == 4);
}

static void integers(void) {
  volatile uint64_t* m = MEMORY;
  uint64_t a, d;
  uint16_t w;
  for (int i = 0; i < 4; i++) m[i] = 0;
  __asm__ volatile("btcl %1, %0" : "+m"(AS32(m)) : "r"(66) : "memory");
  check("BTC of bit 66", m[1] == 4);
  __asm__ volatile("btcl %1, %0" : "+m"(AS32(m + 2)) : "r"(-1) : "memory");
  check("BTC of bit -1", m[1] == 0x8000000000000004);
  *m = 0xc000;
  __asm__ volatile("bsfw %1, %0" : "=r"(w) : "m"(AS16(m)));
  check("BSF", w == 14);
  *m = 51, a = 0x1234567812345678;
  __asm__ volatile("imulw %1, %%ax" : "+a"(a) : "m"(AS16(m)));
  check("IMUL", a == 0x12345678123439e8);
  *m = 0, a = 1, d = 2;
  __asm__ volatile(ATTEMPT("divq %2") : "+a"(a), "+d"(d) : "m"(*m) : LOST);
  faults("DIV by 0", 6);
  check("what it left", a == 1 && d == 2);
  *m = 1000, a = 123456, d = 1;
  __asm__ volatile("divq %2" : "+a"(a), "+d"(d) : "m"(*m));
  check("DIV", a == (uint64_t)((((unsigned __int128)1 << 64) + 123456) / 1000));
  *m = 0x12345678;
  __asm__ volatile("shld %%cl, %1, %0" : "+m"(AS32(m)) : "r"(0xaaaaaaaa), "c"(3));
  check("SHLD", *m == (0x12345678 << 3 & 0xffffffff) + 5);
  *m = 0xabcdef12, a = 0x1234567812345678;
  __asm__ volatile("cmp %%eax, %%eax; cmovnel %1, %%eax" : "+a"(a) : "m"(AS32(m)));
  check("CMOV that does not move", a == 0x12345678);
  *m = 0x1122334455667788;
  __asm__ volatile("movbe %1, %0" : "=r"(a) : "m"(*m));
  check("MOVBE from it", a == 0x8877665544332211);
  __asm__ volatile("movbe %1, %0" : "=m"(*m) : "r"(a));
  check("MOVBE to it", *m == 0x1122334455667788);
  *m = 0x55;
  __asm__ volatile("lock notb %0; lock negb %0; lock incl %0; lock decl %0; lock orl $8, %0" : "+m"(AS32(m)));
  check("LOCK NOT, NEG, INC, DEC, OR", *m == 0x5e);
  m[0] = 0x55;
  __asm__ volatile("pushq %1; popq %0" : "=m"(m[1]) : "m"(m[0]));
  check("PUSH and POP", m[1] == 0x55);
  __asm__ volatile("pushw %1; popw %0" : "=m"(AS16(m + 2)) : "m"(AS16(m)));
  check("PUSH and POP of 16 bits", AS16(m + 2) == 0x55);
}

static void registers(void) {
  volatile uint64_t* m = MEMORY;
  uint64_t a;
  *m = ~0ull;
  __asm__ volatile("smsw %0" : "+m"(*m));
  check("SMSW writes 16 bits", *m == (~0xffffull | (read_cr0() & 0xffff)));
  *m = ~0ull;
  __asm__ volatile("sldt %0" : "+m"(*m));
  check("SLDT writes 16 bits", *m == ~0xffffull);
  *m = read_cr0() ^ 8;
  __asm__ volatile("lmsw %0" : : "m"(AS16(m)));
  check("LMSW", ((read_cr0() ^ *m) & 8) == 0);
  __asm__ volatile("clts");
  *m = 0;
  __asm__ volatile("mov %0, %%ss" : : "m"(AS16(m)));
  __asm__ volatile("mov %%ss, %0" : "=r"(a));
  check("MOV of a null selector to SS", (a & 0xffff) == 0);
  *m = 3;
  __asm__ volatile(ATTEMPT("mov %0, %%ss") : : "m"(AS16(m)) : LOST);
  faults("of one whose RPL is 3", 13);
  *m = 0x10;
  __asm__ volatile("mov %0, %%ss" : : "m"(AS16(m)));
  struct __attribute__((packed)) {
    uint16_t limit;
    uint64_t base;
  } table;
  __asm__ volatile("sgdt %0" : "=m"(table));
  volatile uint64_t* task = (volatile uint64_t*)table.base + 8;
  *task &= ~(1ull << 41);
  *m = 0x40;
  __asm__ volatile("ltr %0" : : "m"(AS16(m)) : "memory");
  check("LTR makes it busy", *task >> 41 & 1);
  __asm__ volatile(ATTEMPT("ltr %0") : : "m"(AS16(m)) : LOST);
  faults("LTR of a busy one", 13);
  __asm__ volatile("sgdt %0" : "=m"(*(volatile uint8_t*)m));
  check("SGDT", AS16(m) == table.limit && AS64((volatile uint8_t*)m + 2) == table.base);
  __asm__ volatile("lgdt %0" : : "m"(*(volatile uint8_t*)m));
  extern char far_target[];
  m[0] = (uint64_t)far_target, AS16(m + 1) = 0x30;
  __asm__ volatile("rex64 ljmp *%0\n hlt\n far_target:" : : "m"(*m));
  *m = 0x1111111111111111;
  __asm__ volatile(ATTEMPT("jmp *%0") : : "m"(*m) : LOST);
  faults("JMP to where no code can be", 13);
  __asm__ volatile("prefetcht0 %0; clflush %0; nopl %0; invlpg %0" : : "m"(*m));
}

static void vectors(void) {
  volatile uint64_t* m = MEMORY;
  static uint32_t v[4] __attribute__((aligned(16))) = {1, 2, 3, 4};
  __asm__ volatile("movaps %1, %%xmm0; movaps %%xmm0, %0" : "=m"(*(volatile uint8_t*)m) : "m"(v));
  check("MOVAPS", m[0] == 0x200000001 && m[1] == 0x400000003);
  __asm__ volatile("movups %1, %%xmm1; movups %%xmm1, %0" : "=m"(v) : "m"(*((volatile uint8_t*)m + 4)));
  check("MOVUPS", v[0] == 2 && v[2] == 4);
  __asm__ volatile(ATTEMPT("movaps %%xmm0, %0") : "=m"(*((volatile uint8_t*)m + 8)) : : LOST);
  faults("MOVAPS that is not aligned", 13);
  __asm__ volatile("fninit; movq %1, %%mm0; movq %%mm0, %0" : "=m"(m[4]) : "m"(m[0]));
  check("MOVQ of MMX", m[4] == m[0]);
  __asm__ volatile("fninit; fld1; fstpt %0" : "=m"(*(volatile uint8_t*)(m + 6)));
  check("FSTP of 80 bits", m[6] == 1ull << 63 && AS16(m + 7) == 0x3fff);
  __asm__ volatile("fxsave64 %0; fxrstor64 %0" : "+m"(*(volatile uint8_t*)0xff000400ull));
  check("FXSAVE", AS16(0xff000400ull) == 0x37f);
}

static void strings(void) {
  uint64_t from = (uint64_t)(bytes + 0x200), to = (uint64_t)(bytes + 0xfe0), count = 64;
  uint8_t same;
  int right = 1;
  for (int i = 0; i < 64; i++) bytes[i + 0x200] = (uint8_t)i;
  __asm__ volatile("rep movsb" : "+S"(from), "+D"(to), "+c"(count) : : "memory");
  for (int i = 0; i < 64; i++) right &= bytes[0xfe0 + i] == i;
  check("REP MOVS over the end of a page", right);
  from = (uint64_t)(bytes + 0x200), to = (uint64_t)(bytes + 0xfe0), count = 64;
  __asm__ volatile("repe cmpsb; setz %3" : "+S"(from), "+D"(to), "+c"(count), "=m"(same) : : "memory");
  check("REPE CMPS", same && count == 0);
  to = (uint64_t)(bytes + 0xfc0), count = 128;
  __asm__ volatile("outb %%al, $0xe0; rep insb" : "+D"(to), "+c"(count) : "a"(0x99), "d"(0xe0) : "memory");
  check("REP INS over the end of a page", bytes[0xfff] == 0x99 && bytes[0x103f] == 0x99);
  from = (uint64_t)(bytes + 0x200), count = 16;
  __asm__ volatile("rep outsb; inb $0xe0, %%al; mov %%al, %2"
                   : "+S"(from), "+c"(count), "=m"(same) : "d"(0xe0) : "rax", "memory");
  check("REP OUTS", same == 15);
}

static void crossings(void) {
  bytes[0xfff] = 0x99, bytes[0x1000] = 0x77;
  check("16 bits read over the end of a page", AS16(bytes + 0xfff) == 0x7799);
  AS16(bytes + 0xfff) = 0x88aa;
  check("16 bits written", bytes[0xfff] == 0xaa && bytes[0x1000] == 0x88);
  for (uint64_t at = 0xff9; at < 0x1000; at++) {
    AS64(bytes + at) = 0x1122334455667788;
    check("64 bits", AS64(bytes + at) == 0x1122334455667788 && bytes[at + 7] == 0x11);
  }
}

static void stacks(void) {
  uint64_t a = (uint64_t)(bytes + 0x800);
  __asm__ volatile(
      "mov %%rsp, %%r8; mov %0, %%rsp; push $0x77; push %%r8; pop %%r9; pop %%r10\n"
      "call 1f\n 1: pop %%r11; mov %%r8, %%rsp; mov %%r10, %0"
      : "+r"(a) : : "r8", "r9", "r10", "r11", "memory");
  check("PUSH, POP and CALL on a stack there", a == 0x77);
  a = (uint64_t)(bytes + 0x800);
  __asm__ volatile(
      "mov %%rsp, %%r8; mov %%rbp, %%r9; mov %0, %%rsp; mov $0x5678, %%ebp; enter $0x20, $0; leave\n"
      "mov %%rbp, %%r11; mov %%r8, %%rsp; mov %%r9, %%rbp; mov %%r11, %0"
      : "+r"(a) : : "r8", "r9", "r10", "r11", "memory");
  check("ENTER and LEAVE", a == 0x5678);
}

void guest_main(void) {
  map_devices();
  catch_faults();
  handle(0, on_undefined);  // told apart from #UD by who raises it
  write_cr0(read_cr0() & ~6ull);
  write_cr4(read_cr4() | 0x600);
  exchanges(), integers(), registers(), vectors(), strings(), crossings(), stacks();
  print_decimal(wrong), print(" wrong\n");
}
