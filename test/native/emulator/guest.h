// A processor with 4 MiB around it, in a flat mode of 16, 32 or 64 bits, and a record of what it asked of its platform.
#pragma once

#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "emulator/emulator.h"
#include "test/native/check.h"
#include "test/native/ram.h"

namespace vtkit::test {

using emulator::Emulator;

struct PortAccess {
  uint16_t port;
  unsigned size, count;
  uint32_t value;  // of the first item
};

/** Ports read 0x5a in every byte, MMIO reads the address; all is written down, until patience ends. */
struct Recorder final : emulator::Platform {
  bool portRead(uint16_t port, unsigned size, unsigned count, void* data) override {
    std::memset(data, 0x5a, size_t{size} * count);
    reads.push_back({port, size, count, 0});
    return patience-- > 0;
  }
  bool portWrite(uint16_t port, unsigned size, unsigned count, const void* data) override {
    uint32_t value = 0;
    std::memcpy(&value, data, size);
    writes.push_back({port, size, count, value});
    return patience-- > 0;
  }
  bool mmioRead(uint64_t address, unsigned size, void* data) override {
    std::memcpy(data, &address, size);
    return patience-- > 0;
  }
  bool mmioWrite(uint64_t address, unsigned size, const void* data) override {
    uint64_t value = 0;
    std::memcpy(&value, data, size);
    mmio.push_back({address, size, value});
    return patience-- > 0;
  }
  int acknowledgeInterrupt() override {
    const int vector = asserted;
    asserted = -1;
    return vector;
  }
  bool interruptAsserted() override { return asserted >= 0; }

  struct MmioWrite {
    uint64_t address;
    unsigned size;
    uint64_t value;
  };
  std::vector<PortAccess> reads, writes;
  std::vector<MmioWrite> mmio;
  int asserted = -1;
  int patience = 100000;
};

class Guest {
 public:
  static constexpr uint64_t kBytes = 4 << 20, kCode = 0x1000, kStack = 0x8000, kData = 0x10000, kTables = 0x3f0000;

  explicit Guest(unsigned bits) : bits_(bits) {
    memory.addSlot(0, 0, kBytes, host_.get(), false, false);
    processor = std::make_unique<Emulator>(memory, platform);
    reset();
  }

  /** Back to the flat mode, with RIP at kCode and RSP at kStack. */
  void reset() {
    vcpu::Sregs sregs = {};
    processor->getSregs(sregs);
    vcpu::Segment data = {};
    data.limit = bits_ == 16 ? 0xffff : 0xffffffff;
    data.type = 3;
    data.present = data.s = 1;
    data.db = data.g = bits_ != 16;
    vcpu::Segment code = data;
    code.type = 0xb;
    code.l = bits_ == 64;
    code.db = bits_ == 32;
    if (bits_ != 16) {
      code.selector = 8;
      data.selector = 16;
    }
    sregs.cs = code;
    sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
    sregs.gdt = sregs.idt = {};
    sregs.cr0 = bits_ == 16 ? 0x10 : bits_ == 32 ? 0x11 : 0x80000011;
    sregs.cr4 = bits_ == 64 ? 0x20 : 0;
    sregs.efer = bits_ == 64 ? 0x500 : 0;
    sregs.cr2 = 0;
    sregs.cr3 = kTables;
    processor->cpu().dr7 = 0x400;
    emulator::updateBreakpoints(processor->cpu());
    if (bits_ == 64) {
      // Two large pages, each at its own address.
      put<uint64_t>(kTables, (kTables + 0x1000) | 7);
      put<uint64_t>(kTables + 0x1000, (kTables + 0x2000) | 7);
      put<uint64_t>(kTables + 0x2000, 0x000087);
      put<uint64_t>(kTables + 0x2008, 0x200087);
    }
    if (const char* why = processor->setSregs(sregs)) {
      std::printf("the processor refuses its mode: %s\n", why);
      std::abort();
    }
    // x87, SSE and AVX as after power-on: an area that holds no component, and MXCSR.
    uint8_t area[832] = {};
    const uint32_t mxcsr = 0x1f80;
    std::memcpy(area + 24, &mxcsr, 4);
    processor->setXsave(area);
    processor->setXcr0(1);
    processor->seedRandom(0);
    regs = {};
    regs.rip = kCode;
    regs.rsp = kStack;
    regs.rflags = 2;
  }

  /** Sets bits of CR4. */
  void enable(uint64_t cr4) {
    vcpu::Sregs sregs;
    processor->getSregs(sregs);
    sregs.cr4 |= cr4;
    processor->setSregs(sregs);
  }

  void write(uint64_t at, const std::string& bytes) { memory.write(at, bytes.data(), bytes.size()); }
  template <typename T>
  void put(uint64_t at, T value) {
    std::memcpy(host_.get() + at, &value, sizeof(T));
  }
  template <typename T>
  T get(uint64_t at) const {
    T value;
    std::memcpy(&value, host_.get() + at, sizeof(T));
    return value;
  }

  /** Runs with `regs`, and leaves them as they are at the stop. */
  Emulator::Stop run() {
    processor->setRegs(regs);
    const Emulator::Stop stop = processor->run();
    processor->getRegs(regs);
    return stop;
  }
  /** `code` at kCode, then HLT. */
  Emulator::Stop run(const std::string& code) {
    write(kCode, code + '\xf4');
    regs.rip = kCode;
    return run();
  }

  memory::GuestMemory memory;
  Recorder platform;
  std::unique_ptr<Emulator> processor;
  vcpu::Regs regs;

 protected:
  const unsigned bits_;

 private:
  const Ram host_{kBytes};
};

}  // namespace vtkit::test
