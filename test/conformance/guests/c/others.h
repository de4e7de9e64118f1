// others.h: starts the other processors by INIT and SIPI; each calls second_main on a stack of its own.
#pragma once
#include "machine.h"

enum { trampoline = 0x7000, most_processors = 4 };
__attribute__((used)) static uint8_t stacks[most_processors][4096] __attribute__((aligned(16)));
__attribute__((used)) static uint32_t next_stack;
__attribute__((used)) void second_main(void);

// Real mode to 64-bit mode, with the first processor's tables. Data is filled in behind the code.
__asm__(
    ".code16\n"
    "trampoline_start:\n"
    "  cli\n"
    "  xor %ax, %ax\n"
    "  mov %ax, %ds\n"
    "  lgdtl 0x7100\n"
    "  mov $0x20, %eax\n"
    "  mov %eax, %cr4\n"
    "  mov 0x7110, %eax\n"
    "  mov %eax, %cr3\n"
    "  mov $0xc0000080, %ecx\n"
    "  rdmsr\n"
    "  or $0x900, %eax\n"
    "  wrmsr\n"
    "  mov $0x80000011, %eax\n"
    "  mov %eax, %cr0\n"
    "  ljmpl *0x7120\n"
    "trampoline_end:\n"
    ".code64\n"
    "second_entry:\n"
    "  mov $1, %eax\n"
    "  lock xadd %eax, next_stack(%rip)\n"
    "  inc %eax\n"
    "  shl $12, %eax\n"
    "  lea stacks(%rip), %rsp\n"
    "  add %rax, %rsp\n"
    "  call second_main\n"
    "1: hlt\n"
    "  jmp 1b\n");
extern uint8_t trampoline_start[], trampoline_end[], second_entry[];

static void command(uint32_t destination, uint32_t low) {
  apic_write(0x310, destination << 24);
  apic_write(0x300, low);
  while (apic_read(0x300) & 0x1000) {
  }
}

static void start_others(void) {
  for (uint64_t i = 0; trampoline_start + i < trampoline_end; i++)
    ((volatile uint8_t*)trampoline)[i] = trampoline_start[i];
  struct __attribute__((packed)) {
    uint16_t limit;
    uint64_t base;
  } gdt;
  uint64_t cr3;
  uint16_t cs;
  __asm__ volatile("sgdt %0" : "=m"(gdt));
  __asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
  __asm__ volatile("mov %%cs, %0" : "=r"(cs));
  *(volatile uint16_t*)(trampoline + 0x100) = gdt.limit;
  *(volatile uint32_t*)(trampoline + 0x102) = (uint32_t)gdt.base;
  *(volatile uint32_t*)(trampoline + 0x110) = (uint32_t)cr3;
  *(volatile uint32_t*)(trampoline + 0x120) = (uint32_t)(uint64_t)second_entry;
  *(volatile uint16_t*)(trampoline + 0x124) = cs;

  command(0, 0xc4500);                       // INIT to all others
  command(0, 0xc4600 | trampoline >> 12);    // startup
}
