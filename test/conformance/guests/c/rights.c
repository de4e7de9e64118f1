// What a walk allows, for every combination of rights in its entries, control bits and access, in 64-bit mode.
//
// Each is held to the rules of SDM Vol. 3A, 4.6 and 4.7, written down once more here; only combinations that are answered
// differently are printed.
#include "machine.h"

enum {
  present = 1, writable = 2, user = 4, accessed = 0x20, dirty = 0x40, large = 0x80,
  stub_at = 0x4000000,  // 64 MiB: the first address that is not mapped
};
#define NO_EXECUTE (1ull << 63)
#define TEST_AT 0xffff923400000000ull

static uint64_t pdpt[512] __attribute__((aligned(4096))), directory[512] __attribute__((aligned(4096))),
    table[512] __attribute__((aligned(4096))), stub_table[512] __attribute__((aligned(4096)));
static uint8_t target[2 << 20] __attribute__((aligned(2 << 20)));  // large enough for a large page
static uint8_t user_pages[2][4096] __attribute__((aligned(4096)));  // code and stack

__attribute__((used)) static uint64_t kept_rsp, user_rip = stub_at, user_rsp = stub_at + 0x2000;
uint64_t attempt(uint64_t address, uint64_t kind, uint64_t as_user);
extern uint8_t stub[], stub_end[], on_fault[], on_return[];

// Gives 0, or the error code with bit 31 set.
__asm__(
    "attempt:\n"
    "  push %rbx\n"
    "  push %rbp\n"
    "  mov %rsp, kept_rsp(%rip)\n"
    "  test %rdx, %rdx\n"
    "  jz stub\n"
    "  pushq $0x23\n"
    "  pushq user_rsp(%rip)\n"
    "  pushfq\n"
    "  pushq $0x2b\n"
    "  pushq user_rip(%rip)\n"
    "  iretq\n"
    "stub:\n"
    "  cmp $1, %esi\n"
    "  je 1f\n"
    "  ja 2f\n"
    "  mov (%rdi), %al\n"
    "  jmp 3f\n"
    "1: movb $0xc3, (%rdi)\n"
    "  jmp 3f\n"
    "2: call *%rdi\n"
    "3: int $0x20\n"
    "stub_end:\n"
    "on_fault:\n"
    "  mov (%rsp), %rax\n"
    "  bts $31, %rax\n"
    "  jmp 1f\n"
    "on_return:\n"
    "  xor %eax, %eax\n"
    "1: mov kept_rsp(%rip), %rsp\n"
    "  pop %rbp\n"
    "  pop %rbx\n"
    "  ret\n");

static uint64_t read_cr3(void) {
  uint64_t value;
  __asm__ volatile("mov %%cr3, %0" : "=r"(value));
  return value;
}
static void write_cr3(uint64_t value) { __asm__ volatile("mov %0, %%cr3" : : "r"(value) : "memory"); }
#define CONTROL(NUMBER)                                                                                       \
  static void change_cr##NUMBER(uint64_t bits, int on) {                                                      \
    uint64_t value;                                                                                           \
    __asm__ volatile("mov %%cr" #NUMBER ", %0" : "=r"(value));                                                \
    __asm__ volatile("mov %0, %%cr" #NUMBER : : "r"(on ? value | bits : value & ~bits) : "memory");           \
  }
CONTROL(0)
CONTROL(4)

static struct {
  uint64_t pointer, entry, leaf;  // PDPTE, PDE, and PTE if the PDE is not of a large page
  int user, kind;                 // 0 reads, 1 writes, 2 fetches
  int nxe, wp, smep, smap, pke, pkru;
} now;

static int reserved(uint64_t entry) {
  return (entry & 1ull << 51) != 0 || ((entry & NO_EXECUTE) && !now.nxe) || ((entry & large) && (entry & 1 << 13));
}

// The answer of the manual, as attempt() gives it.
static uint64_t expected(void) {
  const uint64_t error = 1u << 31 | (now.kind == 1 ? 2 : 0) | (now.user ? 4 : 0) |
                         (now.kind == 2 && (now.nxe || now.smep) ? 16 : 0);
  const int last = (now.entry & large) != 0;
  if (!(now.entry & present)) return error;
  if (reserved(now.entry)) return error | 9;
  if (!last && !(now.leaf & present)) return error;
  if (!last && reserved(now.leaf)) return error | 9;
  const uint64_t all = now.entry & now.pointer & (last ? ~0ull : now.leaf);
  const int nx = ((now.entry | (last ? 0 : now.leaf)) & NO_EXECUTE) != 0, for_users = (all & user) != 0;
  const int may_write = (all & writable) || (!now.user && !now.wp);
  int allowed = now.user ? for_users : now.kind == 2 ? !(for_users && now.smep) : !(for_users && now.smap);
  if (now.kind == 1) allowed = allowed && may_write;
  if (now.kind == 2) allowed = allowed && !nx;
  const int keyed = now.pke && for_users && now.kind != 2 && ((now.pkru & 4) || ((now.pkru & 8) && now.kind == 1 &&
                                                                                 (now.user || now.wp)));
  return allowed && !keyed ? 0 : error | 1 | (keyed ? 32 : 0);
}

static uint32_t tried, wrong;

static void one(void) {
  pdpt[TEST_AT >> 30 & 511] = now.pointer;
  directory[0] = now.entry;
  table[0] = now.leaf;
  __asm__ volatile("invlpg (%0)" : : "r"(TEST_AT) : "memory");
  const uint64_t got = attempt(TEST_AT, (uint64_t)now.kind, (uint64_t)now.user), want = expected();
  // Accessed and dirty in the last entry follow success; above it, accessed may be set whatever comes.
  const int last = (now.entry & large) != 0;
  const uint64_t set = want != 0 ? 0 : accessed | (now.kind == 1 ? dirty : 0);
  const uint64_t above = want != 0 || last ? 0 : accessed;
  const int marked = last ? directory[0] == (now.entry | set)
                          : table[0] == (now.leaf | set) &&
                                (directory[0] == (now.entry | above) || directory[0] == (now.entry | above | accessed));
  tried++;
  if (got == want && marked) return;
  if (wrong++ > 8) return;
  say("PDPTE", now.pointer, 16), say("PDE", now.entry, 16), say("PTE", now.leaf, 16);
  say("then PDE", directory[0], 16), say("then PTE", table[0], 16);
  say("got", got, 8), say("expected", want, 8);
  say("user, kind, NXE, WP, SMEP, SMAP, PKE, PKRU",
      (uint64_t)(now.user << 28 | now.kind << 24 | now.nxe << 20 | now.wp << 16 | now.smep << 12 | now.smap << 8 |
                 now.pke << 4 | now.pkru), 8);
}

static uint64_t bits_of(uint32_t set, const uint64_t* bits, int count) {
  uint64_t value = 0;
  for (int i = 0; i < count; i++) value |= set >> i & 1 ? bits[i] : 0;
  return value;
}

// Every last entry behind one that leads to it, and every large page.
static void entries(void) {
  static const uint64_t of_table[] = {writable, user, accessed, NO_EXECUTE, 1ull << 51},
                        of_page[] = {writable, user, accessed, dirty, NO_EXECUTE, 1ull << 51},
                        of_large[] = {writable, user, accessed, dirty, NO_EXECUTE, 1 << 13};
  const uint64_t key = now.pke ? 1ull << 59 : 0;
  now.leaf = 0;
  now.entry = (uint64_t)table | writable | user;
  one();
  for (uint32_t i = 0; i < 64; i++) {
    now.entry = (uint64_t)target | present | large | key | bits_of(i, of_large, 6);
    one();
  }
  for (uint32_t above = 0; above < 32; above++) {
    now.entry = (uint64_t)table | present | bits_of(above, of_table, 5);
    now.leaf = (uint64_t)target | writable | user | key;
    one();
    for (uint32_t i = 0; i < 64; i++) {
      now.leaf = (uint64_t)target | present | key | bits_of(i, of_page, 6);
      one();
    }
  }
}

static void accesses(void) {
  for (now.user = 0; now.user < 2; now.user++) {
    for (now.kind = 0; now.kind < 3; now.kind++) {
      now.pointer = (uint64_t)directory | present | writable | user;
      entries();
      now.pointer &= ~(uint64_t)writable;
      entries();
    }
  }
}

static void controls(uint32_t set) {
  now.nxe = set & 1, now.wp = set >> 1 & 1, now.smep = set >> 2 & 1, now.smap = set >> 3 & 1;
  wrmsr(0xc0000080, (rdmsr(0xc0000080) & ~0x800ull) | (now.nxe ? 0x800 : 0));
  change_cr0(1 << 16, now.wp);
  change_cr4(1 << 20, now.smep), change_cr4(1 << 21, now.smap);
  now.pke = 0;
  accesses();
  now.pke = 1;
  change_cr4(1 << 22, 1);
  for (now.pkru = 0; now.pkru < 12; now.pkru += 4) {
    __asm__ volatile(".byte 0x0f, 0x01, 0xef" : : "a"(now.pkru), "d"(0), "c"(0));
    accesses();
  }
  change_cr4(1 << 22, 0);
}

void guest_main(void) {
  load_idt();
  handle(14, on_fault), handle(0x20, on_return);
  idt[0x20].kind |= 0x6000;
  // All that is there becomes the supervisor's, and the test gets tables of its own, as has what runs in ring 3.
  uint64_t* pml4 = (uint64_t*)read_cr3();
  uint64_t* own = (uint64_t*)(*(uint64_t*)(pml4[0] & ~0xfffull) & ~0xfffull);
  for (int i = 0; i < 32; i++) own[i] &= ~(uint64_t)user;
  own[stub_at >> 21] = (uint64_t)stub_table | present | writable | user;
  stub_table[0] = (uint64_t)user_pages[0] | present | user;
  stub_table[1] = (uint64_t)user_pages[1] | present | writable | user | accessed;
  for (uint64_t i = 0; stub + i < stub_end; i++) user_pages[0][i] = stub[i];
  pml4[TEST_AT >> 39 & 511] = (uint64_t)pdpt | present | writable | user;
  write_cr3((uint64_t)pml4);
  target[0] = 0xc3;

  for (uint32_t set = 0; set < 16; set++) controls(set);
  print_decimal(tried), print(" combinations, "), print_decimal(wrong), print(" answered differently\n");
}
