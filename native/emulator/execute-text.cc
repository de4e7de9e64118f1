// String comparison of SSE4.2: PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM (SDM Vol. 2B, 4.1).
#include "emulator/vector-families.h"
#include "emulator/vector.h"

namespace vtkit::emulator {

namespace {

struct Text {
  int items[16];
  unsigned length;
};

/** The items of a vector, as the immediate's format says: bytes or words, unsigned or signed. */
Text itemsOf(const Chunk<16>& value, uint8_t control, unsigned count) {
  Text text = {{}, count};
  for (unsigned i = 0; i < count; i++) {
    switch (control & 3) {
      case 0:
        text.items[i] = value.u8[i];
        break;
      case 1:
        text.items[i] = value.u16[i];
        break;
      case 2:
        text.items[i] = value.s8[i];
        break;
      default:
        text.items[i] = value.s16[i];
        break;
    }
  }
  return text;
}

unsigned implicitLength(const Text& text) {
  unsigned i = 0;
  while (i < text.length && text.items[i] != 0) i++;
  return i;
}

unsigned explicitLength(const Cpu& cpu, unsigned gpr, bool wide, unsigned most) {
  const int64_t value = wide ? static_cast<int64_t>(cpu.gpr[gpr]) : static_cast<int32_t>(cpu.gpr[gpr]);
  const uint64_t length = value < 0 ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  return length < most ? static_cast<unsigned>(length) : most;
}

/** One bit for each item of the second text (IntRes1). */
unsigned aggregate(const Text& first, const Text& second, unsigned kind, unsigned count) {
  unsigned result = 0;
  for (unsigned j = 0; j < count; j++) {
    bool holds = false;
    if (kind == 0) {  // equal any
      for (unsigned i = 0; i < first.length; i++)
        holds = holds || (j < second.length && first.items[i] == second.items[j]);
    } else if (kind == 1) {  // ranges
      for (unsigned i = 0; i + 1 < first.length; i += 2) {
        holds =
            holds || (j < second.length && first.items[i] <= second.items[j] && second.items[j] <= first.items[i + 1]);
      }
    } else if (kind == 2) {  // equal each: past both ends is equal
      const bool in1 = j < first.length, in2 = j < second.length;
      holds = in1 && in2 ? first.items[j] == second.items[j] : in1 == in2;
    } else {  // equal ordered: the first text from here on, as far as the vector goes
      holds = true;
      for (unsigned i = 0; i < first.length && i + j < count; i++) {
        holds = holds && i + j < second.length && first.items[i] == second.items[i + j];
      }
    }
    if (holds) result |= 1u << j;
  }
  return result;
}

template <bool Explicit, bool Index>
struct CompareText {
  template <Encoding E, bool Mem>
  struct Form {
    static bool run(Cpu& cpu, const MicroOp& op) {
      if (!usable<kXmmOf<E>>(cpu)) return false;
      Chunk<16> a, b;
      if (!readVectorRm<kXmmOf<E>, Mem, 16, false>(cpu, op, b)) return false;
      readVector<kXmmOf<E>>(cpu, op.regIndex, a);
      const auto control = static_cast<uint8_t>(op.immediate);
      const unsigned count = (control & 1) != 0 ? 8 : 16;
      Text first = itemsOf(a, control, count), second = itemsOf(b, control, count);
      const bool wide = op.operandBytes == 8;
      first.length = Explicit ? explicitLength(cpu, RAX, wide, count) : implicitLength(first);
      second.length = Explicit ? explicitLength(cpu, RDX, wide, count) : implicitLength(second);
      unsigned result = aggregate(first, second, control >> 2 & 3, count);
      const unsigned all = (1u << count) - 1, valid = (1u << second.length) - 1;
      if ((control & 0x10) != 0) result ^= (control & 0x20) != 0 ? valid : all;
      if constexpr (Index) {
        const bool last = (control & 0x40) != 0;
        const int bit = last ? 31 - __builtin_clz(result | 1) : __builtin_ctz(result | 1u << 31);
        cpu.gpr[RCX] = result == 0 ? count : static_cast<unsigned>(bit);
      } else {
        Chunk<16> mask = {};
        for (unsigned i = 0; i < count; i++) {
          const bool set = (result >> i & 1) != 0;
          if ((control & 0x40) == 0) {
            if (set) mask.u8[i / 8] = static_cast<uint8_t>(mask.u8[i / 8] | 1u << i % 8);
          } else if (count == 16) {
            mask.u8[i] = set ? 0xff : 0;
          } else {
            mask.u16[i] = set ? 0xffff : 0;
          }
        }
        writeVector<kXmmOf<E>>(cpu, 0, mask);
      }
      setFlags(cpu, kArithmetic,
               (result != 0 ? kCf : 0) | (second.length < count ? kZf : 0) | (first.length < count ? kSf : 0) |
                   ((result & 1) != 0 ? kOf : 0));
      return true;
    }
  };
};

}  // namespace

const Handlers kPcmpestrm = kVectorForms<CompareText<true, false>::Form>,
               kPcmpestri = kVectorForms<CompareText<true, true>::Form>,
               kPcmpistrm = kVectorForms<CompareText<false, false>::Form>,
               kPcmpistri = kVectorForms<CompareText<false, true>::Form>;

}  // namespace vtkit::emulator
