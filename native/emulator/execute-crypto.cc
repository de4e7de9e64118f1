// AES, carry-less multiplication and SHA (SDM Vol. 1, 5.12 and 5.18; FIPS 197; FIPS 180-4).
#include "emulator/vector-families.h"
#include "emulator/vector.h"

namespace vtkit::emulator {

namespace {

// AES -----------------------------------------------------------------------------------------------------------------

constexpr uint8_t timesX(uint8_t value) { return static_cast<uint8_t>(value << 1 ^ ((value & 0x80) != 0 ? 0x1b : 0)); }
constexpr uint8_t times(uint8_t a, uint8_t b) {
  uint8_t result = 0;
  for (; b != 0; b = static_cast<uint8_t>(b >> 1), a = timesX(a)) {
    if ((b & 1) != 0) result = static_cast<uint8_t>(result ^ a);
  }
  return result;
}

/** The S-box: the inverse in GF(2^8), then an affine map (FIPS 197, 5.1.1). */
struct Boxes {
  uint8_t forward[256], inverse[256];
  constexpr Boxes() : forward(), inverse() {
    uint8_t p = 1, q = 1;  // p runs through all powers of 3, q through those of its inverse
    do {
      p = static_cast<uint8_t>(p ^ timesX(p));
      q = static_cast<uint8_t>(q ^ q << 1);
      q = static_cast<uint8_t>(q ^ q << 2);
      q = static_cast<uint8_t>(q ^ q << 4);
      if ((q & 0x80) != 0) q = static_cast<uint8_t>(q ^ 9);
      const auto turned = [q](unsigned n) { return static_cast<uint8_t>(q << n | q >> (8 - n)); };
      set(p, static_cast<uint8_t>(q ^ turned(1) ^ turned(2) ^ turned(3) ^ turned(4) ^ 0x63));
    } while (p != 1);
    set(0, 0x63);
  }
  constexpr void set(uint8_t from, uint8_t to) {
    forward[from] = to;
    inverse[to] = from;
  }
};
constexpr Boxes kBoxes;

using State = Chunk<16>;

/** SubBytes after ShiftRows, or their inverses. */
State substituted(const State& a, bool inverse) {
  State r;
  for (unsigned column = 0; column < 4; column++) {
    for (unsigned row = 0; row < 4; row++) {
      const unsigned from = (inverse ? column + 4 - row : column + row) & 3;
      const uint8_t value = a.u8[4 * from + row];
      r.u8[4 * column + row] = inverse ? kBoxes.inverse[value] : kBoxes.forward[value];
    }
  }
  return r;
}
State mixed(const State& a, const uint8_t (&factors)[4]) {
  State r;
  for (unsigned column = 0; column < 4; column++) {
    for (unsigned row = 0; row < 4; row++) {
      uint8_t sum = 0;
      for (unsigned k = 0; k < 4; k++) {
        sum = static_cast<uint8_t>(sum ^ times(a.u8[4 * column + ((row + k) & 3)], factors[k]));
      }
      r.u8[4 * column + row] = sum;
    }
  }
  return r;
}
constexpr uint8_t kMix[4] = {2, 3, 1, 1}, kUnmix[4] = {14, 11, 13, 9};

template <bool Inverse, bool Last>
struct AesRound {
  static void run(State& r, const State& a, const State& b, uint8_t) {
    State state = substituted(a, Inverse);
    if (!Last) state = mixed(state, Inverse ? kUnmix : kMix);
    for (unsigned i = 0; i < 2; i++) r.u64[i] = state.u64[i] ^ b.u64[i];
  }
};
struct AesUnmix {
  static void run(State& r, const State&, const State& b, uint8_t) { r = mixed(b, kUnmix); }
};
struct AesKey {
  static uint32_t substitute(uint32_t word) {
    uint32_t result = 0;
    for (unsigned i = 0; i < 4; i++) result |= uint32_t{kBoxes.forward[word >> 8 * i & 0xff]} << 8 * i;
    return result;
  }
  static void run(State& r, const State&, const State& b, uint8_t constant) {
    for (unsigned i = 0; i < 4; i += 2) {
      const uint32_t word = substitute(b.u32[i + 1]);
      r.u32[i] = word;
      r.u32[i + 1] = (word >> 8 | word << 24) ^ constant;
    }
  }
};

struct CarryLess {
  static void run(State& r, const State& a, const State& b, uint8_t which) {
    const uint64_t x = a.u64[which & 1], y = b.u64[which >> 4 & 1];
    uint64_t low = 0, high = 0;
    for (unsigned i = 0; i < 64; i++) {
      if ((y >> i & 1) == 0) continue;
      low ^= x << i;
      if (i != 0) high ^= x >> (64 - i);
    }
    r.u64[0] = low;
    r.u64[1] = high;
  }
};

// SHA -----------------------------------------------------------------------------------------------------------------
// Lane 3 holds the first word in SHA-1's registers, and lane 0 the first in the message schedule of SHA-256.

uint32_t left(uint32_t value, unsigned n) { return value << n | value >> (32 - n); }
uint32_t right(uint32_t value, unsigned n) { return value >> n | value << (32 - n); }

struct Sha1Rounds {
  static void run(State& r, const State& x, const State& y, uint8_t function) {
    static constexpr uint32_t kConstants[] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
    uint32_t a = x.u32[3], b = x.u32[2], c = x.u32[1], d = x.u32[0], e = 0;
    for (unsigned i = 0; i < 4; i++) {
      const unsigned kind = function & 3;
      const uint32_t f = kind == 0 ? (b & c) ^ (~b & d) : kind == 2 ? (b & c) ^ (b & d) ^ (c & d) : b ^ c ^ d;
      const uint32_t next = f + left(a, 5) + y.u32[3 - i] + e + kConstants[kind];
      e = d;
      d = c;
      c = left(b, 30);
      b = a;
      a = next;
    }
    r.u32[3] = a;
    r.u32[2] = b;
    r.u32[1] = c;
    r.u32[0] = d;
  }
};
struct Sha1NextE {
  static void run(State& r, const State& a, const State& b, uint8_t) {
    r = b;
    r.u32[3] = b.u32[3] + left(a.u32[3], 30);
  }
};
struct Sha1Message1 {
  static void run(State& r, const State& a, const State& b, uint8_t) {
    r.u32[3] = a.u32[1] ^ a.u32[3];
    r.u32[2] = a.u32[0] ^ a.u32[2];
    r.u32[1] = b.u32[3] ^ a.u32[1];
    r.u32[0] = b.u32[2] ^ a.u32[0];
  }
};
struct Sha1Message2 {
  static void run(State& r, const State& a, const State& b, uint8_t) {
    r.u32[3] = left(a.u32[3] ^ b.u32[2], 1);
    r.u32[2] = left(a.u32[2] ^ b.u32[1], 1);
    r.u32[1] = left(a.u32[1] ^ b.u32[0], 1);
    r.u32[0] = left(a.u32[0] ^ r.u32[3], 1);
  }
};
struct Sha256Message1 {
  static void run(State& r, const State& a, const State& b, uint8_t) {
    for (unsigned i = 0; i < 4; i++) {
      const uint32_t w = i < 3 ? a.u32[i + 1] : b.u32[0];
      r.u32[i] = a.u32[i] + (right(w, 7) ^ right(w, 18) ^ w >> 3);
    }
  }
};
struct Sha256Message2 {
  static void run(State& r, const State& a, const State& b, uint8_t) {
    for (unsigned i = 0; i < 4; i++) {
      const uint32_t w = i < 2 ? b.u32[2 + i] : r.u32[i - 2];
      r.u32[i] = a.u32[i] + (right(w, 17) ^ right(w, 19) ^ w >> 10);
    }
  }
};
/** SHA256RNDS2: two rounds on {A, B, E, F} and {C, D, G, H}, with the words of XMM0. */
template <Encoding E, bool Mem>
struct Sha256Rounds {
  static bool run(Cpu& cpu, const MicroOp& op) {
    if (!usable<kSse128>(cpu)) return false;
    Chunk<16> x, y, words, result;
    if (!readVectorRm<kSse128, Mem, 16, true>(cpu, op, y)) return false;
    readVector<kSse128>(cpu, op.regIndex, x);
    readVector<kSse128>(cpu, 0, words);
    uint32_t a = y.u32[3], b = y.u32[2], c = x.u32[3], d = x.u32[2];
    uint32_t e = y.u32[1], f = y.u32[0], g = x.u32[1], h = x.u32[0];
    for (unsigned i = 0; i < 2; i++) {
      const uint32_t first = h + (right(e, 6) ^ right(e, 11) ^ right(e, 25)) + ((e & f) ^ (~e & g)) + words.u32[i];
      const uint32_t second = (right(a, 2) ^ right(a, 13) ^ right(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
      h = g;
      g = f;
      f = e;
      e = d + first;
      d = c;
      c = b;
      b = a;
      a = first + second;
    }
    result.u32[3] = a;
    result.u32[2] = b;
    result.u32[1] = e;
    result.u32[0] = f;
    writeVector<kSse128>(cpu, op.regIndex, result);
    return true;
  }
};

}  // namespace

const Handlers kAesenc = Packed<Whole<AesRound<false, false>>>::handlers,
               kAesenclast = Packed<Whole<AesRound<false, true>>>::handlers,
               kAesdec = Packed<Whole<AesRound<true, false>>>::handlers,
               kAesdeclast = Packed<Whole<AesRound<true, true>>>::handlers, kAesimc = Packed<Whole<AesUnmix>>::handlers,
               kAeskeygen = Packed<Whole<AesKey>>::handlers, kPclmulqdq = Packed<Whole<CarryLess>>::handlers,
               kSha1rnds4 = Packed<Whole<Sha1Rounds>>::handlers, kSha1nexte = Packed<Whole<Sha1NextE>>::handlers,
               kSha1msg1 = Packed<Whole<Sha1Message1>>::handlers, kSha1msg2 = Packed<Whole<Sha1Message2>>::handlers,
               kSha256msg1 = Packed<Whole<Sha256Message1>>::handlers,
               kSha256msg2 = Packed<Whole<Sha256Message2>>::handlers, kSha256rnds2 = kVectorForms<Sha256Rounds>;

}  // namespace vtkit::emulator
