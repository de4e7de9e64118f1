// What CR0, CR3, CR4, INVPCID, FSGSBASE and UMIP ask for, in 64-bit mode.
#include "attempt.h"

enum { la57 = 1 << 12, fsgsbase = 1 << 16, pcide = 1 << 17 };

static void invpcid(uint64_t kind, uint64_t pcid, uint64_t address) {
  struct {
    uint64_t pcid, address;
  } descriptor = {pcid, address};
  __asm__ volatile(ATTEMPT("invpcid %1, %0") : : "r"(kind), "m"(descriptor) : LOST);
}
void guest_main(void) {
  catch_faults();
  uint64_t cr0 = read_cr0(), cr3 = read_cr3(), cr4 = read_cr4();
  write_cr4(cr4 | la57);
  show("LA57 in 64-bit mode");
  write_cr4(cr4 & ~0x20ull);
  show("PAE off in 64-bit mode");
  write_cr4(cr4 | 1ull << 15);
  show("a bit of CR4 that is nobody's");
  write_cr3(cr3 | 8);
  write_cr4(cr4 | pcide);
  show("PCIDE with a PCID in CR3");
  write_cr3(cr3);
  write_cr4(cr4 | pcide);
  show("PCIDE");
  write_cr0(cr0 & ~(1ull << 31));
  show("paging off under PCIDE");
  write_cr3(cr3 | 5 | 1ull << 63);
  show("CR3 with PCID 5, kept");
  write_cr3(cr3);
  invpcid(0, 5, 0);
  show("INVPCID of an address");
  invpcid(2, 0, 0);
  show("INVPCID of all");
  invpcid(4, 0, 0);
  show("INVPCID of a kind that is none");
  invpcid(1, 0x1000, 0);
  show("INVPCID with a reserved bit");
  write_cr4(cr4);
  invpcid(1, 5, 0);
  show("INVPCID of a PCID without PCIDE");
  invpcid(1, 0, 0);
  show("INVPCID of PCID 0");

  uint64_t base = 0;
  __asm__ volatile(ATTEMPT(".byte 0xf3, 0x48, 0x0f, 0xae, 0xc0") : "+a"(base) : : LOST);
  show("RDFSBASE without CR4.FSGSBASE");
  write_cr4(cr4 | fsgsbase);
  base = 0x123456789abc;
  __asm__ volatile(ATTEMPT(".byte 0xf3, 0x48, 0x0f, 0xae, 0xd8") : : "a"(base) : LOST);
  show("WRGSBASE");
  say("gs base by MSR", rdmsr(0xc0000101), 16);
  __asm__ volatile(ATTEMPT(".byte 0xf3, 0x0f, 0xae, 0xc8") : "+a"(base) : : LOST);
  say("RDGSBASE of 32 bits", base, 16);
  base = 0x8000000000000000;
  __asm__ volatile(ATTEMPT(".byte 0xf3, 0x48, 0x0f, 0xae, 0xd0") : : "a"(base) : LOST);
  show("WRFSBASE of what is not canonical");
  write_cr4(cr4);
}
