// A virtual function of the 82576 on the guest's own PCI bus: reset by the port's mailbox, which tells its address;
// then the guest greets whoever is there, answers who greets, and ends when it was greeted and answered.
#include "pci.h"

// Registers in words, and fields: test/examples/82576/registers.ts has them with the datasheet's sections.
enum {
  kCtrl = 0x0000 / 4,
  kMailbox = 0x0c40 / 4,
  kMailboxMemory = 0x0800 / 4,
  kReceive = 0x2800 / 4,
  kTransmit = 0x3800 / 4
};
enum { kBal = 0, kBah = 1, kLen = 2, kSrrctl = 3, kTail = 6, kCtl = 10 };
enum { kEntries = 16, kFrame = 2048, kHello = 60 };

struct descriptor {
  uint64_t buffer;
  uint32_t word[2];
};
static volatile struct descriptor received[kEntries] __attribute__((aligned(4096)));
static volatile struct descriptor sent[kEntries] __attribute__((aligned(4096)));
static volatile uint8_t frames[kEntries][kFrame] __attribute__((aligned(4096)));
static volatile uint8_t frame[kEntries][kFrame] __attribute__((aligned(4096)));

static volatile uint32_t* registers;
static uint8_t mac[6];
static unsigned next_received, next_sent;

// Reading the register ends its status bits.
static void await_mailbox(uint32_t bit) {
  while (!(registers[kMailbox] & bit)) __asm__ volatile("pause");
}

static int reset(void) {
  registers[kCtrl] = 1u << 26;
  await_mailbox(1u << 7);
  do {
    registers[kMailbox] = 1u << 2;  // the buffer is the guest's while the port's driver does not write to it
  } while (!(registers[kMailbox] & 1u << 2));
  registers[kMailboxMemory] = 1;
  registers[kMailbox] = 1;
  await_mailbox(1u << 4);
  const uint32_t said = registers[kMailboxMemory], low = registers[kMailboxMemory + 1],
                 high = registers[kMailboxMemory + 2];
  registers[kMailbox] = 1u << 1;
  for (int i = 0; i < 6; i++) mac[i] = (uint8_t)(i < 4 ? low >> (8 * i) : high >> (8 * (i - 4)));
  return said == 0x80000001u;
}

static void start(unsigned queue, volatile struct descriptor* ring) {
  registers[queue + kBal] = (uint32_t)(uintptr_t)ring;
  registers[queue + kBah] = 0;
  registers[queue + kLen] = kEntries * sizeof *ring;
  if (queue == kReceive) registers[queue + kSrrctl] = kFrame / 1024 | 1u << 25 | 1u << 31;
  registers[queue + kTail] = 0;
  registers[queue + kCtl] = 1u << 25;
}

static void offer(unsigned index) {
  received[index].buffer = (uintptr_t)frames[index];
  received[index].word[0] = received[index].word[1] = 0;
}

// What kind of frame it is stands behind an EtherType for local experiments (IEEE 802).
static void send(const volatile uint8_t* to, uint8_t kind) {
  volatile uint8_t* at = frame[next_sent];
  for (int i = 0; i < kHello; i++)
    at[i] = (uint8_t)(i < 6 ? to[i] : i < 12 ? mac[i - 6] : i == 12 ? 0x88 : i == 13 ? 0xb5 : kind);
  volatile struct descriptor* descriptor = &sent[next_sent];
  descriptor->buffer = (uintptr_t)at;
  descriptor->word[1] = kHello << 14;
  descriptor->word[0] = kHello | 3u << 20 | 1u << 24 | 1u << 25 | 1u << 27 | 1u << 29;
  next_sent = (next_sent + 1) % kEntries;
  registers[kTransmit + kTail] = next_sent;
  while (!(descriptor->word[1] & 1)) __asm__ volatile("pause");
}

static void print_mac(const volatile uint8_t* address) {
  for (int i = 0; i < 6; i++) {
    if (i > 0) print(":");
    print_hex(address[i], 2);
  }
}

static int is_own(const volatile uint8_t* address) {
  for (int i = 0; i < 6; i++) {
    if (address[i] != mac[i]) return 0;
  }
  return 1;
}

void guest_main(void) {
  const uint32_t device = pci_find(0x10ca8086u);
  if (device == 32) {
    print("no virtual function of an 82576\n");
    return;
  }
  registers = pci_map(device, 0xe0000000u);
  if (!reset()) {
    print("the port refuses the reset\n");
    return;
  }
  print("I am "), print_mac(mac), print("\n");
  start(kReceive, received);
  start(kTransmit, sent);
  for (unsigned i = 0; i < kEntries; i++) offer(i);
  registers[kReceive + kTail] = kEntries - 1;

  static const uint8_t everybody[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  int greeted = 0, answered = 0;
  for (unsigned turn = 0; !greeted || !answered; turn++) {
    if (turn % 0x10000 == 0) send(everybody, 'h');
    if (!(received[next_received].word[0] & 1)) continue;
    const volatile uint8_t* came = frames[next_received];
    const volatile uint8_t* from = came + 6;
    const uint8_t kind = came[14];
    // A broadcast comes back to who sent it, too.
    if (came[12] == 0x88 && came[13] == 0xb5 && !is_own(from)) {
      if (kind == 'h') {
        if (!greeted++) print_mac(from), print(" greets\n");
        send(from, 'a');
      } else if (!answered++) {
        print_mac(from), print(" answers\n");
      }
    }
    offer(next_received);
    registers[kReceive + kTail] = next_received;
    next_received = (next_received + 1) % kEntries;
  }
}
