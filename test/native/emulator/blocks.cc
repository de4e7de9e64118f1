// Decoded code: chained blocks do what single steps do, and code that changes is decoded again.
#include <atomic>
#include <chrono>
#include <iterator>
#include <random>
#include <thread>

#include "test/native/emulator/guest.h"

using namespace vtkit;
using namespace vtkit::test;

namespace {

/** What a guest can see of its processor, as one number. */
uint64_t digest(Guest& guest) {
  uint64_t hash = 1469598103934665603u;
  const auto mix = [&hash](const void* from, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) hash = (hash ^ static_cast<const uint8_t*>(from)[i]) * 1099511628211u;
  };
  vcpu::Regs regs;
  vcpu::Sregs sregs;
  guest.processor->getRegs(regs);
  guest.processor->getSregs(sregs);
  mix(&regs, sizeof(regs));
  mix(&sregs, sizeof(sregs));
  uint8_t area[832];
  guest.processor->getXsave(area, sizeof(area));
  mix(area, sizeof(area));
  return hash;
}

#ifdef __SANITIZE_ADDRESS__
constexpr unsigned kRounds = 1000;  // each takes ten times as long
#else
constexpr unsigned kRounds = 3000;
#endif

constexpr uint64_t kWritten = 0x20000;  // from address 0 on: where random code may write

bool sameMemory(Guest& one, Guest& other) {
  return std::memcmp(one.memory.at(0, kWritten), other.memory.at(0, kWritten), kWritten) == 0;
}

/** Random code that likes to come back: half of it is short jumps, arithmetic and stores. */
std::string randomCode(std::mt19937_64& random) {
  static const char* const kPieces[] = {
      "\x48\xff\xc0", "\x01\xd8",     "\x29\xc1",         "\x89\x07",        "\x8b\x17", "\x75\xf0",
      "\xeb\x02",     "\x72\x05",     "\x7f\xf6",         "\xe2\xf4",        "\x50",     "\x5b",
      "\xaa",         "\x66\x31\xc8", "\x0f\x94\xc1",     "\xc1\xe0\x03",    "\x11\xd9", "\xfe\xc9",
      "\xf3\xa4",     "\x88\x26",     "\xd9\xe8",         "\xde\xc1",        "\xdd\x1f", "\x0f\x58\xc1",
      "\x0f\x11\x07", "\x0f\x6f\x07", "\x66\x0f\xfe\xca", "\xf2\x0f\x2a\xc8"};
  std::string code;
  while (code.size() < 96) {
    const uint64_t bits = random();
    if ((bits & 3) == 0) {
      for (unsigned i = 0; i < (bits >> 2 & 3) + 1; i++) code += static_cast<char>(bits >> (8 + 8 * i));
    } else {
      code += kPieces[(bits >> 8) % std::size(kPieces)];
    }
  }
  return code;
}

/** Stops a guest that retires nothing for a while: in an endless REP. */
class Watchdog {
 public:
  explicit Watchdog(Guest& guest)
      : thread_([this, &guest] {
          while (!ends_) {
            std::this_thread::sleep_for(std::chrono::milliseconds(50));
            if (rounds_ == seen_) guest.processor->attention(emulator::kStop);
            seen_ = rounds_;
          }
        }) {}
  ~Watchdog() {
    ends_ = true;
    thread_.join();
  }
  void round() { rounds_++; }

 private:
  std::atomic<bool> ends_{false};
  std::atomic<uint64_t> rounds_{0};
  uint64_t seen_ = 0;
  std::thread thread_;
};

}  // namespace

TEST("random code does the same in blocks as in single steps") {
  std::mt19937_64 random(11);
  uint64_t compared = 0;
  const std::vector<char> zeros(kWritten);
  for (const unsigned bits : {16u, 32u, 64u}) {
    Guest blocks(bits), steps(bits);
    Watchdog watchdog(blocks);
    for (unsigned round = 0; round < kRounds; round++) {
      watchdog.round();
      const std::string code = randomCode(random);
      vcpu::Regs regs = {};
      auto* values = reinterpret_cast<uint64_t*>(&regs);
      // Most addresses lie in memory, many in the code.
      for (unsigned i = 0; i < 16; i++) values[i] = random() % (i % 3 == 0 ? 0x1100 : 0x18000);
      regs.rcx &= 0xff;
      regs.rsp = Guest::kStack;
      regs.rip = Guest::kCode;
      regs.rflags = 2;
      const uint64_t limit = 1 + random() % 300;
      Emulator::Stop last[2];
      uint64_t retired[2];
      for (Guest* guest : {&blocks, &steps}) {
        guest->memory.write(0, zeros.data(), zeros.size());
        guest->write(Guest::kCode, code);
        guest->reset();
        guest->enable(0x600);  // CR4.OSFXSR and OSXMMEXCPT
        guest->platform = Recorder();
        guest->processor->setSingleStep(guest == &steps);
        guest->processor->setRegs(regs);
        const uint64_t end = guest->processor->instructionsRetired() + limit;
        guest->processor->setLimit(end);
        Emulator::Stop stop = Emulator::Stop::stepped;
        for (unsigned i = 0; i < 100000 && stop == Emulator::Stop::stepped; i++) stop = guest->processor->run();
        last[guest == &steps] = stop;
        retired[guest == &steps] = guest->processor->instructionsRetired() - (end - limit);
        compared += retired[guest == &steps];
      }
      const bool stopped = last[0] == Emulator::Stop::attention && retired[0] < limit;
      if (stopped || last[0] == Emulator::Stop::closing || last[1] == Emulator::Stop::stepped) {
        // A REP too long to be stepped through: the two stand at different places, so memory starts anew.
        for (Guest* guest : {&blocks, &steps}) guest->write(0, std::string(Guest::kTables, '\0'));
        continue;
      }
      const bool equal = CHECK_EQUAL(static_cast<int>(last[0]), static_cast<int>(last[1])) &
                         CHECK_EQUAL(retired[0], retired[1]) & CHECK_EQUAL(digest(blocks), digest(steps)) &
                         CHECK_EQUAL(sameMemory(blocks, steps), true);
      if (!equal) {
        std::printf("mode %u round %u limit %u code", bits, round, static_cast<unsigned>(limit));
        for (const char byte : code) std::printf(" %02x", static_cast<uint8_t>(byte));
        std::printf("\n");
        return;
      }
    }
  }
  CHECK_EQUAL(compared > 30 * kRounds, true);
}

TEST("an instruction that the one before it wrote is executed as written") {
  Guest guest(32);
  // mov byte [kCode + 7], 0x43; inc eax (becomes inc ebx)
  guest.run(std::string("\xc6\x05\x07\x10\x00\x00\x43\x40", 8));
  CHECK_EQUAL(guest.regs.rax, 0u);
  CHECK_EQUAL(guest.regs.rbx, 1u);
}

TEST("a loop that rewrites its own immediate each time sees each value") {
  Guest guest(32);
  // mov ecx, 100; again: mov eax, 0; add ebx, eax; inc dword [kCode + 6]; loop again
  guest.run(std::string("\xb9\x64\x00\x00\x00\xb8\x00\x00\x00\x00\x01\xc3\xff\x05\x06\x10\x00\x00\xe2\xf1", 20));
  CHECK_EQUAL(guest.regs.rbx, 99u * 100 / 2);
}

TEST("code written through another virtual address is executed as written") {
  Guest guest(64);
  // 0x200000 maps to the first two megabytes as well.
  guest.put<uint64_t>(Guest::kTables + 0x2008, 0x000087);
  // again: mov eax, 1; add ebx, eax; mov byte [0x200000 + kCode + 1], 2; dec ecx; jnz again
  guest.regs.rcx = 2;
  guest.run(std::string("\xb8\x01\x00\x00\x00\x01\xc3\xc6\x04\x25\x01\x10\x20\x00\x02\xff\xc9\x75\xed", 19));
  CHECK_EQUAL(guest.regs.rbx, 3u);
}

TEST("an instruction across two pages follows changes of either") {
  Guest guest(32);
  // mov eax, imm32 with two bytes in each page; ret
  guest.write(0x2ffd, std::string("\xb8\x11\x22\x33\x44\xc3", 6));
  const std::string call("\xe8\xf8\x1f\x00\x00", 5);  // call 0x2ffd
  guest.run(call);
  CHECK_EQUAL(guest.regs.rax, 0x44332211u);
  // The guest itself writes the second page, then the first.
  guest.reset();
  guest.run(std::string("\xc6\x05\x01\x30\x00\x00\x55\xe8\xf1\x1f\x00\x00", 12));
  CHECK_EQUAL(guest.regs.rax, 0x55332211u);
  guest.reset();
  guest.run(std::string("\xc6\x05\xfe\x2f\x00\x00\x66\xe8\xf1\x1f\x00\x00", 12));
  CHECK_EQUAL(guest.regs.rax, 0x55332266u);
}

TEST("data beside code in one page does not disturb it") {
  Guest guest(32);
  // mov ecx, 1000; again: inc dword [kCode + 0x800]; loop again
  guest.run(std::string("\xb9\xe8\x03\x00\x00\xff\x05\x00\x18\x00\x00\xe2\xf8", 13));
  CHECK_EQUAL(guest.get<uint32_t>(Guest::kCode + 0x800), 1000u);
}

TEST("a jump to itself stops when somebody asks for it") {
  Guest guest(32);
  guest.write(Guest::kCode, "\xeb\xfe");
  std::thread other([&guest] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    guest.processor->attention(emulator::kStop);
  });
  const Emulator::Stop stop = guest.run();
  other.join();
  CHECK_EQUAL(static_cast<int>(stop), static_cast<int>(Emulator::Stop::attention));
  CHECK_EQUAL(guest.regs.rip, Guest::kCode);
}

TEST("an endless REP stops when somebody asks for it, between two iterations") {
  Guest guest(64);
  guest.write(Guest::kCode, "\xf3\xac");  // rep lodsb, from one page over and over: no fault for long
  guest.regs.rcx = 1u << 21;
  guest.regs.rsi = 0;
  guest.processor->attention(emulator::kStop);
  guest.processor->setRegs(guest.regs);
  CHECK_EQUAL(static_cast<int>(guest.processor->run()), static_cast<int>(Emulator::Stop::attention));
  guest.write(Guest::kCode + 2, "\xf4");
  guest.run();
  CHECK_EQUAL(guest.regs.rcx, 0u);
  CHECK_EQUAL(guest.regs.rsi, 1u << 21);
}

TEST("an instruction limit is kept exactly") {
  Guest guest(32);
  guest.write(Guest::kCode, "\x40\x40\x40\x40\xeb\xfa");  // inc eax, four times; back
  for (uint64_t limit = 1; limit < 400; limit += 37) {
    guest.reset();
    const uint64_t before = guest.processor->instructionsRetired();
    guest.processor->setLimit(before + limit);
    CHECK_EQUAL(static_cast<int>(guest.run()), static_cast<int>(Emulator::Stop::attention));
    CHECK_EQUAL(guest.processor->instructionsRetired() - before, limit);
    CHECK_EQUAL(guest.regs.rax, limit / 5 * 4 + limit % 5);
  }
}

TEST("a repeated string instruction is one instruction, however often it is interrupted") {
  Guest guest(32);
  guest.regs.rcx = 10000;
  guest.regs.rdi = Guest::kData;
  guest.run("\xf3\xaa");
  const uint64_t whole = guest.processor->instructionsRetired();
  guest.reset();
  guest.regs.rcx = 10000;
  guest.regs.rdi = Guest::kData;
  guest.regs.rip = Guest::kCode;
  guest.processor->setRegs(guest.regs);
  guest.processor->setSingleStep(true);
  while (guest.processor->run() == Emulator::Stop::stepped) {
  }
  CHECK_EQUAL(guest.processor->instructionsRetired() - whole, whole);
}

TEST("a write to a page of hundreds of blocks finds what it changes, and leaves the rest as it is") {
  Guest guest(64);
  constexpr unsigned kBlocks = 600;
  std::string code;
  for (unsigned i = 0; i < kBlocks; i++) code += std::string("\xff\xc0\xeb\x00", 4);  // inc eax; jmp to the next
  // dec ecx; jnz done; mov byte [kCode + 801h], 0c8h: the block in the middle is dec eax from then on; jmp kCode
  code += std::string("\xff\xc9\x75\x0d\xc6\x04\x25\x01\x18\x00\x00\xc8\xe9", 13);
  const int32_t back = -static_cast<int32_t>(code.size() + 4);
  code.append(reinterpret_cast<const char*>(&back), 4);
  guest.regs.rcx = 1;
  guest.run(code);
  CHECK_EQUAL(guest.regs.rax, uint64_t{kBlocks} + kBlocks - 2);
}
