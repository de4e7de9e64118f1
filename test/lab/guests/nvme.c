// An NVMe controller on the guest's own PCI bus: found, given an address, driven by queues in guest memory, by INTx where
// it has that, by polling and by MSI-X; then told to write where the guest has no memory. Port 0x500 marks what is
// counted outside.
#include "guest.h"

static inline void out8(uint16_t port, uint8_t value) { __asm__ volatile("outb %0, %1" : : "a"(value), "d"(port)); }
static inline void out32(uint16_t port, uint32_t value) { __asm__ volatile("outl %0, %1" : : "a"(value), "d"(port)); }
static inline uint32_t in32(uint16_t port) {
  uint32_t value;
  __asm__ volatile("inl %1, %0" : "=a"(value) : "d"(port));
  return value;
}
static void mark(uint8_t what) { out8(0x500, what); }

enum { kBar = 0xe0000000u };

static uint32_t device;
static uint32_t config(uint32_t offset) {
  out32(0xcf8, 0x80000000u | device << 11 | (offset & 0xfc));
  return in32(0xcfc);
}
static void set_config(uint32_t offset, uint32_t value) {
  out32(0xcf8, 0x80000000u | device << 11 | (offset & 0xfc));
  out32(0xcfc, value);
}

static volatile uint32_t* const registers = (volatile uint32_t*)(uintptr_t)kBar;
static void set64(unsigned at, uint64_t value) {
  registers[at / 4] = (uint32_t)value;
  registers[at / 4 + 1] = (uint32_t)(value >> 32);
}

struct command {
  uint32_t dword[16];
};
struct completion {
  uint32_t dword[4];
};
static struct command submissions[16] __attribute__((aligned(4096)));
static volatile struct completion completions[16] __attribute__((aligned(4096)));
static uint8_t answer[4096] __attribute__((aligned(4096)));
static unsigned tail, head, phase = 1, stride;

static void submit_identify(uint64_t to) {
  struct command* command = &submissions[tail];
  for (int i = 0; i < 16; i++) command->dword[i] = 0;
  command->dword[0] = 0x06 | tail << 16;
  command->dword[6] = (uint32_t)to;
  command->dword[7] = (uint32_t)(to >> 32);
  command->dword[10] = 1;
  tail = (tail + 1) & 15;
  __asm__ volatile("" ::: "memory");
  registers[0x1000 / 4] = tail;
}
static int completed(void) { return (completions[head].dword[3] >> 16 & 1) == phase; }
static unsigned take(void) {
  const unsigned status = completions[head].dword[3] >> 17;
  head = (head + 1) & 15;
  if (head == 0) phase ^= 1;
  registers[0x1000 / 4 + stride] = head;
  return status;
}

static void start_controller(void) {
  registers[0x14 / 4] = 0;
  while (registers[0x1c / 4] & 1) {}
  registers[0x24 / 4] = 15 << 16 | 15;
  set64(0x28, (uintptr_t)submissions);
  set64(0x30, (uintptr_t)completions);
  for (int i = 0; i < 16; i++) completions[i].dword[3] = 0;
  tail = head = 0, phase = 1;
  registers[0x14 / 4] = 4 << 20 | 6 << 16 | 1;
  while (!(registers[0x1c / 4] & 1)) {}
}

struct gate {
  uint16_t low, selector, flags, middle;
  uint32_t high, zero;
};
static void set_gate(unsigned vector, void (*function)(void)) {
  struct {
    uint16_t limit;
    uint64_t base;
  } __attribute__((packed)) idt;
  __asm__ volatile("sidt %0" : "=m"(idt));
  uint16_t code;
  __asm__ volatile("mov %%cs, %0" : "=r"(code));
  const uint64_t to = (uint64_t)(uintptr_t)function;
  ((struct gate*)idt.base)[vector] =
      (struct gate){(uint16_t)to, code, 0x8e00, (uint16_t)(to >> 16), (uint32_t)(to >> 32), 0};
}

static volatile unsigned interrupts;
extern void on_interrupt(void);
__asm__("on_interrupt: push %rax; lock incl interrupts(%rip); mov $0xfee000b0, %eax; movl $0, (%rax); pop %rax; iretq");

// INTx through the 8259s. The first interrupt is ended without a look at the device: the line has to be there again.
static volatile unsigned taken, bad_status;
struct frame;
static __attribute__((interrupt)) void on_intx(struct frame* frame) {
  (void)frame;
  if (interrupts++ > 0 && completed()) {
    bad_status += take() != 0;
    taken++;
  }
  out8(0xa0, 0x20);
  out8(0x20, 0x20);
}

static void use_intx(void) {
  const unsigned line = config(0x3c) & 0xff;
  set_gate(0x48 + (line & 7), (void (*)(void))(uintptr_t)on_intx);
  static const uint16_t words[][2] = {{0x20, 0x11}, {0x21, 0x40}, {0x21, 4}, {0x21, 1},
                                      {0xa0, 0x11}, {0xa1, 0x48}, {0xa1, 2}, {0xa1, 1}};
  for (unsigned i = 0; i < sizeof words / sizeof *words; i++) out8(words[i][0], (uint8_t)words[i][1]);
  out8(0x4d1, (uint8_t)(1u << (line & 7)));  // level triggered
  out8(0x21, 0xfb);
  out8(0xa1, (uint8_t)~(1u << (line & 7)));
  for (unsigned i = 0; i < 10; i++) {
    submit_identify((uintptr_t)answer);
    __asm__ volatile("sti");
    while (taken == i) __asm__ volatile("pause");
    __asm__ volatile("cli");
  }
  out8(0x21, 0xff);
  out8(0xa1, 0xff);
  print("10 commands by INTx on line "), print_decimal(line), print(", "), print_decimal(bad_status), print(" failed, ");
  print_decimal(interrupts), print(" interrupts\n");
}

static void enable_msix(void) {
  uint32_t at = config(0x34) & 0xfc;
  while (at != 0 && (config(at) & 0xff) != 0x11) at = config(at) >> 8 & 0xfc;
  if (at == 0) {
    print("no MSI-X\n");
    return;
  }
  set_gate(0x50, on_interrupt);
  *(volatile uint32_t*)(uintptr_t)0xfee000f0u = 0x1ff;  // the local APIC is on
  volatile uint32_t* entry = (volatile uint32_t*)(uintptr_t)(kBar + (config(at + 4) & ~7u));
  entry[0] = 0xfee00000u;
  entry[1] = 0;
  entry[2] = 0x50;
  entry[3] = 0;
  set_config(at, (config(at) & 0xffff) | 0x80000000u);
}

void guest_main(void) {
  // A page of 1 GiB for what lies from 3 GiB on: BARs and the local APIC.
  uint64_t top;
  __asm__ volatile("mov %%cr3, %0" : "=r"(top));
  uint64_t* pointers = (uint64_t*)(*(uint64_t*)(top & ~0xfffull) & 0xffffffffff000ull);
  pointers[3] = 0xc0000000ull | 0x93;

  for (device = 0; device < 32; device++) {
    if (config(0) != 0xffffffffu && config(8) >> 16 == 0x0108) break;
  }
  if (device == 32) {
    print("no NVMe controller\n");
    return;
  }
  print("controller at device "), print_decimal(device), print("\n");
  set_config(0x10, 0xffffffffu);
  const uint32_t size = ~(config(0x10) & ~15u) + 1;
  set_config(0x10, kBar);
  set_config(0x14, 0);
  set_config(4, 6);
  print("BAR0 has "), print_decimal(size), print(" bytes\n");

  stride = 1u << (registers[1] & 15);
  if ((config(0x3c) >> 8 & 0xff) != 0) {
    start_controller();
    use_intx();
    registers[0x14 / 4] = 0;
    while (registers[0x1c / 4] & 1) {}
  }
  enable_msix();
  start_controller();

  mark(1);
  unsigned bad = 0;
  for (int i = 0; i < 1000; i++) {
    submit_identify((uintptr_t)answer);
    while (!completed()) __asm__ volatile("pause");
    bad += take() != 0;
  }
  mark(2);
  print("1000 commands, "), print_decimal(bad), print(" failed: ");
  answer[64] = 0;
  for (const char* at = (const char*)answer + 24; *at && at < (const char*)answer + 34; at++) put_char(*at);
  print("\n");

  // The commands that were polled sent messages too: what is left of them is taken first. Their interrupt may still
  // come after the next command was given, so that its completion has to be waited for as well.
  __asm__ volatile("sti; nop; cli" ::: "memory");
  const unsigned before = interrupts;
  __asm__ volatile("sti");
  submit_identify((uintptr_t)answer);
  while (interrupts == before || !completed()) __asm__ volatile("pause");
  __asm__ volatile("cli");
  take();
  print("interrupts came\n");

  submit_identify(0x800100000ull);  // no memory of the guest is there
  while (!completed()) __asm__ volatile("pause");
  take();
  print("blocked\n");
}
