// Random code that is likely to get somewhere: whole instructions of the opcode maps, and what touches devices,
// registers of the system, tables and the code itself.
#pragma once

#include <iterator>

#include "test/native/fuzz/fuzz.h"

namespace vtkit::test {

class CodeWriter {
 public:
  explicit CodeWriter(Random& random) : random_(random) {}

  Input write(size_t bytes) {
    code_.clear();
    while (code_.size() < bytes) instruction();
    code_.resize(bytes);
    return code_;
  }

 private:
  uint64_t below(uint64_t limit) { return random_() % limit; }
  template <typename T, size_t N>
  T oneOf(const T (&list)[N]) {
    return list[below(N)];
  }
  void byte(uint64_t value) { code_.push_back(static_cast<uint8_t>(value)); }
  void bytes(uint64_t value, unsigned count) {
    for (unsigned i = 0; i < count; i++) byte(value >> 8 * i);
  }
  void text(std::initializer_list<unsigned> list) {
    for (const unsigned value : list) byte(value);
  }
  void noise(unsigned count) { bytes(random_(), count); }

  void instruction() {
    switch (below(16)) {
      case 0:
        return port();
      case 1:
        return system();
      case 2:
        return deviceMemory();
      case 3:
        return vmx();
      case 4:
        return jump();
      case 5:
        return noise(1 + static_cast<unsigned>(below(8)));
      default:
        return anything();
    }
  }

  /** Prefixes, an opcode of any map, ModRM that often names memory near, and enough behind it. */
  void anything() {
    static constexpr uint8_t kPrefixes[] = {0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65};
    while (below(3) == 0) byte(oneOf(kPrefixes));
    if (below(3) == 0) byte(0x40 | below(16));
    switch (below(6)) {
      case 0:
        byte(0x0f);
        break;
      case 1:
        text({0x0f, 0x38});
        break;
      case 2:
        text({0x0f, 0x3a});
        break;
      case 3:  // VEX
        if (below(2) == 0) {
          byte(0xc5);
          noise(1);
        } else {
          byte(0xc4);
          byte((random_() & 0xe0) | (1 + below(3)));
          noise(1);
        }
        break;
      default:
        break;
    }
    noise(1);
    modrm();
    if (below(2) == 0) noise(static_cast<unsigned>(below(5)));
  }

  void modrm() {
    switch (below(4)) {
      case 0:  // a register
        byte(0xc0 | random_());
        break;
      case 1:  // through a register
        byte(random_() & 0x3f);
        break;
      case 2:  // near one
        byte(0x40 | (random_() & 0x3f));
        noise(1);
        break;
      default:
        noise(2);
    }
  }

  void port() {
    static constexpr uint16_t kPorts[] = {0x20,  0x21,  0x40,   0x42,   0x43,  0x61,  0x70,  0x71,
                                          0xa0,  0xa1,  0x3f8,  0x3f9,  0x3fb, 0x4d0, 0x4d1, 0x600,
                                          0x604, 0x608, 0xb000, 0xb004, 0xcf8, 0xcfc};
    static constexpr uint8_t kAccesses[] = {0xec, 0xed, 0xee, 0xef, 0x6c, 0x6d, 0x6e, 0x6f};
    text({0x66, 0xba});  // mov dx, port
    bytes(oneOf(kPorts), 2);
    if (below(2) == 0) {
      byte(0xb0);  // mov al, imm8
      noise(1);
    }
    if (below(4) == 0) byte(0xf3);
    byte(oneOf(kAccesses));
  }

  void system() {
    static constexpr uint32_t kMsrs[] = {0x10,       0x1b,       0x3a,       0x174,      0x175,      0x176,     0x1d9,
                                         0x277,      0x2ff,      0x3a,       0x480,      0x486,      0x6e0,     0x802,
                                         0x808,      0x80f,      0x830,      0x832,      0x838,      0xda0,     0x13a,
                                         0xc0000080, 0xc0000081, 0xc0000082, 0xc0000100, 0xc0000102, 0xc0000103};
    switch (below(12)) {
      case 0:
      case 1:
        byte(0xb9);  // mov ecx, msr; rdmsr or wrmsr
        bytes(oneOf(kMsrs), 4);
        return text({0x0f, below(2) == 0 ? 0x32u : 0x30u});
      case 2:  // mov rax, crN; xor al, imm8; mov crN, rax
      {
        static constexpr uint8_t kRegisters[] = {0, 3, 4, 8};
        const unsigned number = oneOf(kRegisters), modrm = 0xc0 | (number & 7) << 3;
        const bool rex = number == 8;
        if (rex) byte(0x44);
        text({0x0f, 0x20, modrm, 0x0f, 0xba, 0xf8});
        noise(1);  // btc eax, imm8
        if (rex) byte(0x44);
        return text({0x0f, 0x22, modrm});
      }
      case 3:
        text({0x0f, below(2) == 0 ? 0x21u : 0x23u});
        return byte(0xc0 | random_());
      case 4:
        return byte(oneOf<uint8_t>({0xfa, 0xfb, 0xf4, 0xcc, 0xf1, 0x9c, 0x9d, 0xcf, 0xce}));
      case 5:
        byte(0xcd);
        return noise(1);
      case 6:  // lgdt and its kin, lldt, ltr
        text({0x0f, static_cast<unsigned>(below(2))});
        return modrm();
      case 7:
        return text({0x0f, oneOf<uint8_t>({0x05, 0x07, 0x34, 0x35, 0x06, 0x08, 0x09, 0xa2, 0x31, 0xaa})});
      case 8:
        text({0x0f, 0xae});
        return modrm();
      case 9:
        text({0x0f, 0xc7});
        return modrm();
      case 10:
        text({0x0f, 0x01});
        return byte(0xc0 | random_());
      default:  // mov sreg, or a pop of one
        byte(oneOf<uint8_t>({0x8e, 0x8c, 0x07, 0x17, 0x1f}));
        return modrm();
    }
  }

  /** mov eax, [address] or mov [address], eax: APICs, HPET, and what nobody answers. */
  void deviceMemory() {
    static constexpr uint32_t kPages[] = {0xfee00000, 0xfec00000, 0xfed00000, 0xf0000000};
    text({0x67, below(2) == 0 ? 0x8bu : 0x89u, 0x04, 0x25});
    bytes(oneOf(kPages) + (random_() & 0x3f0), 4);
  }

  void vmx() {
    switch (below(5)) {
      case 0:
        return text({0x0f, 0x01, oneOf<uint8_t>({0xc1, 0xc2, 0xc3, 0xc4, 0xd4})});
      case 1:
        byte(oneOf<uint8_t>({0xf3, 0x66, 0x90}));
        text({0x0f, 0xc7});
        return byte(0x30 | (random_() & 0xcf));
      case 2:
        text({0x66, 0x0f, 0x38, below(2) == 0 ? 0x80u : 0x81u});
        return modrm();
      default:
        text({0x0f, below(2) == 0 ? 0x78u : 0x79u});
        return byte(0xc0 | random_());
    }
  }

  /** Forward and back by a little; far, by whatever selector. */
  void jump() {
    switch (below(8)) {
      case 0:
        byte(oneOf<uint8_t>({0xe8, 0xe9}));
        return bytes(below(64), 4);
      case 1:
        byte(oneOf<uint8_t>({0xea, 0x9a}));
        bytes(random_() & 0x1ffff, 4);
        return bytes(below(16) * 8, 2);
      case 2:
        return byte(oneOf<uint8_t>({0xc3, 0xcb, 0xc2, 0xca}));
      case 3:
        byte(0xff);
        return modrm();
      case 4:
        byte(oneOf<uint8_t>({0xe0, 0xe1, 0xe2, 0xe3}));
        return noise(1);
      default:
        byte(0x70 | below(16));
        return byte(below(4) == 0 ? random_() : below(16));
    }
  }
  template <typename T>
  T oneOf(std::initializer_list<T> list) {
    return list.begin()[below(list.size())];
  }

  Random& random_;
  Input code_;
};

}  // namespace vtkit::test
