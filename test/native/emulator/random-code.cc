// Random bytes as code, in 16-, 32- and 64-bit mode: whatever they are, the processor stops, and touches only its
// memory.
#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>

#include "emulator/emulator.h"
#include "emulator/mmu.h"

using namespace vtkit;
using emulator::Emulator;

namespace {

constexpr uint64_t kMemory = 1 << 20;
constexpr uint64_t kCode = 0x10000;
constexpr uint64_t kMostAccesses = 50;

/** Answers everything, and asks the processor to stop after a while: there is no clock in a test. */
class Board final : public emulator::Platform {
 public:
  bool portRead(uint16_t, unsigned size, unsigned count, void* data) override {
    std::memset(data, 0xff, size_t{size} * count);
    return count_();
  }
  bool portWrite(uint16_t, unsigned, unsigned, const void*) override { return count_(); }
  bool mmioRead(uint64_t, unsigned size, void* data) override {
    std::memset(data, 0xff, size);
    return count_();
  }
  bool mmioWrite(uint64_t, unsigned, const void*) override { return count_(); }
  int acknowledgeInterrupt() override { return -1; }
  bool interruptAsserted() override { return false; }

  Emulator* processor = nullptr;
  uint64_t accesses = 0;

 private:
  bool count_() {
    if (++accesses % kMostAccesses == 0) processor->attention(emulator::kStop);
    return true;
  }
};

void enter(Emulator& processor, unsigned bits, uint64_t tables) {
  vcpu::Sregs sregs;
  processor.getSregs(sregs);
  vcpu::Segment data = {};
  data.limit = bits == 16 ? 0xffff : 0xffffffff;
  data.type = 3;
  data.present = data.s = 1;
  data.db = data.g = bits != 16;
  data.selector = 16;
  sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
  data.type = 11;
  data.selector = 8;
  data.l = bits == 64;
  data.db = bits == 32;
  sregs.cs = data;
  sregs.cr0 = bits == 16 ? 0x10 : bits == 32 ? 0x11 : 0x80000011;
  sregs.cr3 = tables;
  sregs.cr4 = bits == 64 ? 0x20 : 0;
  sregs.efer = bits == 64 ? 0x500 : 0;
  if (const char* why = processor.setSregs(sregs)) {
    std::fprintf(stderr, "refused: %s\n", why);
    std::exit(1);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const unsigned rounds = argc > 1 ? static_cast<unsigned>(std::atoi(argv[1])) : 100000;
  const unsigned seed = argc > 2 ? static_cast<unsigned>(std::atoi(argv[2])) : 1;
  // Pages that nothing may touch stand around the guest's memory.
  auto* region = static_cast<uint8_t*>(mmap(nullptr, kMemory + 0x2000, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  uint8_t* host = region + 0x1000;
  if (mprotect(host, kMemory, PROT_READ | PROT_WRITE) != 0) return 1;

  std::mt19937_64 random(seed);
  uint64_t stops[6] = {}, retired = 0;
  memory::GuestMemory memory;
  if (memory.addSlot(0, 0, kMemory, host, false, false) != memory::GuestMemory::Result::ok) return 1;
  for (unsigned round = 0; round < rounds; round++) {
    const unsigned bits = round % 3 == 0 ? 16 : round % 3 == 1 ? 32 : 64;
    for (unsigned i = 0; i < 64; i += 8) {
      const uint64_t bytes = random();
      memory.write(kCode + i, &bytes, 8);
    }
    // One large page at each level, mapped one to one: 2 MiB of which half is memory.
    const uint64_t tables[][2] = {{0x80000, 0x81003}, {0x81000, 0x82003}, {0x82000, 0x83}};
    for (const auto& entry : tables) memory.write(entry[0], &entry[1], 8);

    Board board;
    Emulator processor(memory, board);
    board.processor = &processor;
    enter(processor, bits, 0x80000);
    vcpu::Regs regs = {};
    auto* values = reinterpret_cast<uint64_t*>(&regs);
    for (unsigned i = 0; i < 16; i++) values[i] = random() & (random() & 1 ? 0xfffff : ~uint64_t{0});
    regs.rip = kCode;
    regs.rsp = 0x8000;
    regs.rflags = 2;
    if (bits == 16) regs.rip = kCode & 0xffff;
    if (bits == 16) std::memcpy(host, host + kCode, 64);
    processor.setRegs(regs);
    // Code may loop for ever: a step at a time, so that the test ends by itself.
    processor.setSingleStep(true);
    Emulator::Stop stop = Emulator::Stop::stepped;
    for (unsigned i = 0; i < 200 && (stop == Emulator::Stop::stepped || stop == Emulator::Stop::attention); i++) {
      stop = processor.run();
    }
    stops[static_cast<unsigned>(stop)]++;
    retired += processor.instructionsRetired();
  }
  std::printf("%u strings: %llu instructions; halted %llu, shutdown %llu, unknown %llu, still running %llu\n", rounds,
              static_cast<unsigned long long>(retired), static_cast<unsigned long long>(stops[0]),
              static_cast<unsigned long long>(stops[1]), static_cast<unsigned long long>(stops[3]),
              static_cast<unsigned long long>(stops[4] + stops[2]));
  return retired > 0 ? 0 : 1;
}
