// Images as a guest would bring them: the conformance guests with changes, and random code in real, protected and long
// mode, with all devices around. Whatever they are, the run ends, touches only its memory, and does the same again.
#include <dirent.h>

#include <algorithm>

#include "test/native/fuzz/code.h"
#include "test/native/image.h"
#include "test/native/pc.h"

using namespace vtkit;
using namespace vtkit::test;

namespace {

constexpr uint64_t kCode = 0x10000, kTables = 0x80000, kGdt = 0x7000, kIdt = 0x6000, kStubs = 0x5000;
constexpr uint64_t kInstructions = 20000;
constexpr unsigned kTurns = 300;

enum Mode : uint8_t { kImage, kReal, kProtected, kLong, kModes };

/** What an input begins with; code, or a file, comes behind. */
struct Header {
  uint64_t seed;  // of the registers and tables around random code
  uint8_t mode, processors;
  uint8_t reserved[6];
};

/** With tables, and whatever lets instructions be; in long mode with paging. */
void enterMode(Emulator& processor, unsigned bits, const vcpu::Regs& regs) {
  enterFlat(processor, bits == 16 ? 16 : 32, regs);
  vcpu::Sregs sregs;
  processor.getSregs(sregs);
  sregs.gdt.base = bits == 16 ? 0 : kGdt;
  sregs.idt.base = bits == 16 ? 0 : kIdt;
  sregs.gdt.limit = 0xff;
  sregs.idt.limit = bits == 16 ? 0x3ff : 0xfff;
  sregs.cr0 |= 0x20;
  sregs.cr4 = 0x40600;  // OSXSAVE, SSE
  if (bits == 64) {
    sregs.cr0 |= 0x80000000;
    sregs.cr3 = kTables;
    sregs.cr4 |= 0x20a0;  // VMXE, PGE, PAE
    sregs.efer = 0x500;
    sregs.cs.l = 1;
    sregs.cs.db = 0;
  }
  if (const char* why = processor.setSregs(sregs)) {
    std::printf("refused: %s\n", why);
    std::abort();
  }
  processor.setXcr0(7);
}

/** Vectors whose handlers go on one byte behind what faulted. */
void putHandlers(Memory& memory, unsigned bits) {
  // Stubs of 16 bytes, one of those that push no error code, one of the others.
  static constexpr uint8_t k16[] = {0x55, 0x89, 0xe5, 0xff, 0x46, 0x02, 0x5d, 0xcf};
  static constexpr uint8_t k32[] = {0xff, 0x04, 0x24, 0xcf};
  static constexpr uint8_t k32Error[] = {0x83, 0xc4, 0x04, 0xff, 0x04, 0x24, 0xcf};
  static constexpr uint8_t k64[] = {0x48, 0xff, 0x04, 0x24, 0x48, 0xcf};
  static constexpr uint8_t k64Error[] = {0x48, 0x83, 0xc4, 0x08, 0x48, 0xff, 0x04, 0x24, 0x48, 0xcf};
  if (bits == 16) {
    memory.write(kStubs, k16, sizeof(k16));
    for (unsigned vector = 0; vector < 256; vector++) memory.put<uint32_t>(4 * vector, kStubs);
    return;
  }
  if (bits == 32) {
    memory.write(kStubs, k32, sizeof(k32));
    memory.write(kStubs + 16, k32Error, sizeof(k32Error));
  } else {
    memory.write(kStubs, k64, sizeof(k64));
    memory.write(kStubs + 16, k64Error, sizeof(k64Error));
  }
  constexpr uint32_t kWithError = 1u << 8 | 1u << 10 | 1u << 11 | 1u << 12 | 1u << 13 | 1u << 14 | 1u << 17;
  for (unsigned vector = 0; vector < 256; vector++) {
    const uint64_t stub = kStubs + (vector < 32 && (kWithError >> vector & 1) != 0 ? 16 : 0);
    const uint64_t gate = stub | 8u << 16 | uint64_t{0xee00} << 32;
    memory.put<uint64_t>(kIdt + (bits == 64 ? 16 : 8) * vector, gate);
  }
}

void putTables(Memory& memory, Random& random, unsigned bits) {
  static constexpr uint64_t kCode64 = 0x00209b0000000000, kCode32 = 0x00cf9b000000ffff, kData = 0x00cf93000000ffff;
  const uint64_t rows[] = {0,
                           bits == 64 ? kCode64 : kCode32,
                           kData,
                           bits == 64 ? kCode32 : kCode64,
                           0x00cffb000000ffff,
                           0x00cff3000000ffff,
                           0x00008b0090000067,
                           0,
                           0x00009b000000ffff,
                           random()};
  for (unsigned i = 0; i < 16; i++) memory.put<uint64_t>(kGdt + 8 * i, i < std::size(rows) ? rows[i] : random());
  if (bits != 64) return;
  // 1 GiB of pages of 2 MiB, a few of them wrong; the one of the devices too.
  memory.put<uint64_t>(kTables, (kTables + 0x1000) | 7);
  for (const unsigned gigabyte : {0, 3})
    memory.put<uint64_t>(kTables + 0x1000 + 8 * gigabyte, (kTables + 0x2000 + 0x1000 * gigabyte) | 7);
  for (unsigned i = 0; i < 512; i++) {
    for (const uint64_t gigabyte : {0, 3}) {
      const uint64_t wrong = i > 0 && random() % 64 == 0 ? uint64_t{1} << random() % 64 : 0;
      memory.put<uint64_t>(kTables + 0x2000 + 0x1000 * gigabyte + 8 * i,
                           (gigabyte << 30 | uint64_t{i} << 21 | 0x87) ^ wrong);
    }
  }
}

class Images final : public Fuzzer {
 public:
  explicit Images(const std::string& folder) {
    std::vector<std::string> names;
    if (DIR* directory = opendir(folder.c_str())) {
      while (const dirent* entry = readdir(directory)) {
        const std::string name = entry->d_name;
        const size_t dot = name.rfind('.');
        if (dot != std::string::npos && (name.substr(dot) == ".elf" || name.substr(dot) == ".bin"))
          names.push_back(name);
      }
      closedir(directory);
    }
    std::sort(names.begin(), names.end());
    for (const std::string& name : names) {
      Input file = fileBytes(folder + '/' + name);
      if (!file.empty()) images_.push_back(std::move(file));
    }
    if (images_.empty())
      std::printf("images: no guests in %s (scripts/build-guests): random code only\n", folder.c_str());
  }

  const char* name() const override { return "images"; }

  Input make(uint64_t seed) override {
    Random random(seed);
    Header header = {random(), 0, 0, {}};
    header.mode = static_cast<uint8_t>(random() % kModes);
    if (images_.empty() && header.mode == kImage) header.mode = kLong;
    header.processors = random() % 4 == 0 ? 2 : 1;
    Input input(sizeof(header));
    std::memcpy(input.data(), &header, sizeof(header));
    const Input body = header.mode == kImage ? changed(random) : CodeWriter(random).write(64 + random() % 1024);
    input.insert(input.end(), body.begin(), body.end());
    return input;
  }

  const char* run(const Input& input) override {
    const State first = once(input);
    stops_[first.stop]++;
    retired_ += first.instructions;
    if (first.refused != nullptr) return first.refused;
    if (first.regs.rip % 8 != 0) return nullptr;  // one of some is run again
    const State second = once(input);
    const bool same =
        std::memcmp(&first.regs, &second.regs, sizeof(first.regs)) == 0 && first.instructions == second.instructions;
    return same ? nullptr : "the same input gives another end";
  }

  bool summary() override {
    std::printf("images: %llu instructions; %llu cases ended by a triple fault\n",
                static_cast<unsigned long long>(retired_), static_cast<unsigned long long>(stops_[1]));
    return retired_ > 0;
  }

 private:
  struct State {
    vcpu::Regs regs;
    uint64_t instructions;
    unsigned stop;
    const char* refused;
  };

  /** A conformance guest with a few changes, of which most lie in its code. */
  Input changed(Random& random) {
    Input file = images_[random() % images_.size()];
    for (uint64_t i = random() % 24; i > 0; i--) {
      const uint64_t place = random() % file.size();
      switch (random() % 5) {
        case 0:
          file[place] ^= static_cast<uint8_t>(1u << random() % 8);
          break;
        case 1:
          file[place] = static_cast<uint8_t>(random());
          break;
        case 2: {
          const Input code = CodeWriter(random).write(1 + random() % 24);
          std::copy_n(code.begin(), std::min<uint64_t>(code.size(), file.size() - place),
                      file.begin() + static_cast<long>(place));
          break;
        }
        case 3: {
          const uint64_t from = random() % file.size(), bytes = random() % 64;
          for (uint64_t j = 0; j < bytes && place + j < file.size() && from + j < file.size(); j++)
            file[place + j] = file[from + j];
          break;
        }
        default:
          file[place] = random() % 2 == 0 ? 0 : 0xff;
      }
    }
    return file;
  }

  State once(const Input& input) {
    Header header = {};
    if (input.size() < sizeof(header)) return {};
    std::memcpy(&header, input.data(), sizeof(header));
    const Input body(input.begin() + sizeof(header), input.end());
    memory_.clear();
    Pc pc(memory_.slots, header.processors == 2 ? 2 : 1);
    Random random(header.seed);
    if (header.mode == kImage) {
      load(pc.processor(0), memory_, body);
    } else {
      const unsigned bits = header.mode == kReal ? 16 : header.mode == kProtected ? 32 : 64;
      vcpu::Regs regs = {};
      auto* values = reinterpret_cast<uint64_t*>(&regs);
      for (unsigned i = 0; i < 16; i++) values[i] = random() & (random() % 4 != 0 ? 0xfffff : ~uint64_t{0});
      const uint64_t code = bits == 16 ? 0x2000 : kCode;
      regs.rip = code;
      regs.rsp = 0x9000;
      regs.rflags = 2 | (random() & 0x200);
      putTables(memory_, random, bits);
      putHandlers(memory_, bits);
      memory_.write(code, body.data(), body.size());
      enterMode(pc.processor(0), bits, regs);
    }
    pc.run(kInstructions, kTurns);
    State state = {};
    Emulator& processor = pc.processor(0);
    processor.getRegs(state.regs);
    state.instructions = processor.instructionsRetired();
    state.stop = processor.cpu().shutdown ? 1 : 0;
    // A processor gets into no state that it would not take.
    vcpu::Sregs sregs;
    processor.getSregs(sregs);
    state.refused = processor.setSregs(sregs);
    return state;
  }

  std::vector<Input> images_;
  Memory memory_;
  uint64_t retired_ = 0, stops_[2] = {};
};

}  // namespace

int main(int argc, char** argv) {
  constexpr uint64_t kCasesOfTestRun = 600;
  Images images("test/conformance/build");
  return fuzz(images, kCasesOfTestRun, argc, argv);
}
