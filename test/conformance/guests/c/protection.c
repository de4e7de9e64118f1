// SMEP, SMAP and protection keys, in 64-bit mode.
#include "attempt.h"

enum { window = 0x2000000 };  // 32 MiB: a large page of the identity map, which is split
static uint64_t table[512] __attribute__((aligned(4096)));
static uint64_t* directory;
static volatile uint8_t target[4096] __attribute__((aligned(4096)));

static void set_page(uint64_t flags) {
  table[0] = (uint64_t)target | flags;
  __asm__ volatile("invlpg (%0)" : : "r"((uint64_t)window) : "memory");
}
static void read_page(const char* what) {
  __asm__ volatile(ATTEMPT("mov (%0), %%al") : : "r"((uint64_t)window) : "rax", LOST);
  show(what);
}
static void write_page(const char* what) {
  __asm__ volatile(ATTEMPT("movb $0xc3, (%0)") : : "r"((uint64_t)window) : LOST);
  show(what);
}
static void call_page(const char* what) {
  uint64_t stack;
  __asm__ volatile("mov %%rsp, %0" : "=m"(stack));
  __asm__ volatile("mov %%rsp, %%rbx\n" ATTEMPT("call *%0") "mov %%rbx, %%rsp" : : "r"((uint64_t)window) : "rbx", LOST);
  show(what);
}

static void wrpkru(uint32_t value, uint32_t high, uint32_t index) {
  __asm__ volatile(ATTEMPT(".byte 0x0f, 0x01, 0xef") : : "a"(value), "d"(high), "c"(index) : LOST);
}

enum { present = 1, writable = 2, user = 4, smep = 1 << 20, smap = 1 << 21, pke = 1 << 22 };

void guest_main(void) {
  catch_faults();
  uint64_t cr0 = read_cr0(), cr3 = read_cr3(), cr4 = read_cr4();
  uint64_t* pdpt = (uint64_t*)(*(uint64_t*)cr3 & ~0xfffull);
  directory = (uint64_t*)(pdpt[0] & ~0xfffull);
  for (int i = 0; i < 32; i++) directory[i] &= ~(uint64_t)user;
  directory[window >> 21] = (uint64_t)table | present | writable | user;
  write_cr3(cr3);
  target[0] = 0xc3;

  set_page(present | writable | user);
  call_page("code of a user page");
  write_cr4(cr4 | smep);
  show("SMEP on");
  call_page("code of a user page under SMEP");
  set_page(present | writable);
  call_page("code of a supervisor page under SMEP");
  write_cr4(cr4);

  __asm__ volatile(ATTEMPT("stac") : : : LOST);
  show("STAC");
  __asm__ volatile("clac" : : : "memory");
  write_cr4(cr4 | smap);
  set_page(present | writable | user);
  read_page("user page under SMAP");
  write_page("write to it");
  __asm__ volatile("stac" : : : "memory");
  read_page("with AC");
  write_page("write to it with AC");
  __asm__ volatile("clac" : : : "memory");
  read_page("after CLAC");
  call_page("code of a user page under SMAP");
  set_page(present | writable);
  read_page("supervisor page under SMAP");
  write_cr4(cr4);

  wrpkru(0, 0, 0);
  show("WRPKRU without CR4.PKE");
  write_cr4(cr4 | pke);
  wrpkru(0, 0, 0);
  show("WRPKRU");
  wrpkru(0, 1, 0);
  show("WRPKRU with EDX");
  wrpkru(0, 0, 1);
  show("WRPKRU with ECX");
  set_page(present | writable | user | 1ull << 59);
  read_page("user page of key 1");
  wrpkru(4, 0, 0);
  read_page("access disabled");
  call_page("code of it");
  wrpkru(8, 0, 0);
  read_page("write disabled, read");
  write_page("write disabled, write without WP");
  write_cr0(cr0 | 1 << 16);
  write_page("write disabled, write with WP");
  set_page(present | user | 1ull << 59);
  wrpkru(0, 0, 0);
  write_page("read-only and key allows");
  set_page(present | writable | 1ull << 59);
  wrpkru(12, 0, 0);
  write_page("supervisor page whatever the key");
  write_cr0(cr0);
  wrpkru(0, 0, 0);
  write_cr4(cr4);
}
