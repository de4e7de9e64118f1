// Images loaded and entered as `vtkit run` does.
#pragma once

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "emulator/emulator.h"
#include "test/native/ram.h"

namespace vtkit::test {

/** A file's bytes; none if it cannot be read. */
inline std::vector<uint8_t> fileBytes(const std::string& name) {
  std::vector<uint8_t> bytes;
  FILE* from = std::fopen(name.c_str(), "rb");
  if (from == nullptr) return bytes;
  for (int byte; (byte = std::fgetc(from)) != EOF;) bytes.push_back(static_cast<uint8_t>(byte));
  std::fclose(from);
  return bytes;
}

/** The memory of one machine after the other. */
class Memory {
 public:
  static constexpr uint64_t kBytes = 16 << 20;

  Memory() { slots.addSlot(0, 0, kBytes, ram_.get(), false, false); }
  void clear() {
    ram_.clear();
    slots.noteExternalChange();
  }
  template <typename T>
  void put(uint64_t at, T value) {
    std::memcpy(ram_.get() + at, &value, sizeof(T));
  }
  /** As much of it as there is room for. */
  void write(uint64_t at, const uint8_t* from, uint64_t bytes) {
    if (at < kBytes) std::memcpy(ram_.get() + at, from, std::min(bytes, kBytes - at));
  }
  memory::GuestMemory slots;

 private:
  Ram ram_{kBytes};
};

/** Real mode (16), or protected mode with flat segments and no tables (32). */
inline void enterFlat(emulator::Emulator& processor, unsigned bits, const vcpu::Regs& regs) {
  vcpu::Segment data = {};
  data.limit = bits == 16 ? 0xffff : 0xffffffff;
  data.selector = bits == 16 ? 0 : 16;
  data.type = 3;
  data.present = data.s = 1;
  data.db = data.g = bits != 16;
  vcpu::Sregs sregs;
  processor.getSregs(sregs);
  sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = sregs.cs = data;
  sregs.cs.type = 11;
  sregs.cs.selector = bits == 16 ? 0 : 8;
  sregs.cr0 = bits == 16 ? 0x10 : 0x11;
  if (const char* why = processor.setSregs(sregs)) {
    std::printf("the processor refuses its mode: %s\n", why);
    std::abort();
  }
  processor.setRegs(regs);
}

/** A multiboot ELF32, without boot information, or a flat image; what lies outside the file or memory is left out. */
inline void load(emulator::Emulator& processor, Memory& memory, const std::vector<uint8_t>& file) {
  const auto number = [&](uint64_t offset, unsigned bytes) {
    uint32_t value = 0;
    if (offset + bytes <= file.size()) std::memcpy(&value, file.data() + offset, bytes);
    return value;
  };
  vcpu::Regs regs = {};
  regs.rflags = 2;
  if (number(0, 4) != 0x464c457f) {
    memory.write(0x7c00, file.data(), file.size());
    regs.rip = regs.rsp = 0x7c00;
    regs.rdx = 0x80;
    return enterFlat(processor, 16, regs);
  }
  constexpr unsigned kMostSegments = 16;
  const uint64_t headers = number(28, 4), count = std::min(number(44, 2), kMostSegments);
  for (uint64_t i = 0; i < count; i++) {
    const uint64_t row = headers + 32 * i, offset = number(row + 4, 4);
    if (number(row, 4) != 1 || offset >= file.size()) continue;
    memory.write(number(row + 12, 4), file.data() + offset,
                 std::min<uint64_t>(number(row + 16, 4), file.size() - offset));
  }
  regs.rip = number(24, 4);
  regs.rax = 0x2badb002;
  regs.rbx = 0x9000;
  enterFlat(processor, 32, regs);
}

}  // namespace vtkit::test
