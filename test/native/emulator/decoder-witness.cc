// The decoder beside Zydis, which decodes all that is public: the same length and mnemonic, or #UD in both.
// Links: Zydis
#if !__has_include(<Zydis/Zydis.h>)
#include <cstdio>
int main() {
  std::printf("skipped: Zydis is not installed (libzydis-dev)\n");
  return 0;
}
#else
#include <Zydis/Zydis.h>

#include <cstring>
#include <map>
#include <string>

#include "emulator/cpu-model.h"
#include "emulator/decode.h"
#include "emulator/opcode-table.h"
#include "test/native/check.h"

using namespace vtkit::emulator;

namespace {

struct Witness {
  ZydisDecoder decoder;
  explicit Witness(unsigned codeBits) {
    const auto mode = codeBits == 64   ? ZYDIS_MACHINE_MODE_LONG_64
                      : codeBits == 32 ? ZYDIS_MACHINE_MODE_LEGACY_32
                                       : ZYDIS_MACHINE_MODE_LEGACY_16;
    const auto width = codeBits == 64   ? ZYDIS_STACK_WIDTH_64
                       : codeBits == 32 ? ZYDIS_STACK_WIDTH_32
                                        : ZYDIS_STACK_WIDTH_16;
    ZydisDecoderInit(&decoder, mode, width);
    for (const auto absent : {ZYDIS_DECODER_MODE_MPX, ZYDIS_DECODER_MODE_CET, ZYDIS_DECODER_MODE_CLDEMOTE}) {
      ZydisDecoderEnableMode(&decoder, absent, ZYAN_FALSE);
    }
  }
};

/** Sets of instructions that the model does not announce: their bytes are #UD. */
bool isAbsent(const ZydisDecodedInstruction& instruction) {
  static const char* const kAbsent[] = {"AMD3DNOW", "AMX_",     "AVX512",     "AVX_GFNI", "AVX_VNNI",  "CET",
                                        "ENQCMD",   "FMA4",     "GFNI",       "HRESET",   "KEYLOCKER", "KNC",
                                        "MOVDIR",   "PADLOCK_", "PT",         "RTM",      "SMX",       "SSE4A",
                                        "UINTR",    "VAES",     "VPCLMULQDQ", "WAITPKG",  "XOP"};
  const std::string set = ZydisISASetGetString(instruction.meta.isa_set);
  for (const char* absent : kAbsent) {
    if (set.compare(0, std::strlen(absent), absent) == 0) return true;
  }
  switch (instruction.mnemonic) {
    case ZYDIS_MNEMONIC_RSM:  // outside SMM
    case ZYDIS_MNEMONIC_UD0:
    case ZYDIS_MNEMONIC_UD1:
    case ZYDIS_MNEMONIC_UD2:
      return true;
    default:
      return false;
  }
}

/** Rows that stand for several instructions: what is one of them, or none at all, shows when it is executed. */
bool isGroup(const std::string& mnemonic) {
  return mnemonic == "vmx group" || mnemonic == "group 6" || mnemonic == "group 7" || mnemonic == "x87" ||
         mnemonic == "mov";
}

/** Whether our name, which leaves condition and operand size open, stands for theirs. */
bool names(const std::string& ours, const std::string& theirs, bool vex) {
  if (ours == theirs || (vex && "v" + ours == theirs)) return true;
  for (const char* suffix : {"b", "w", "d", "q", "64", "128"}) {
    if (ours + suffix == theirs || (vex && "v" + ours + suffix == theirs)) return true;
  }
  static const std::pair<const char*, const char*> kOthers[] = {
      {"cbw", "cwde"},
      {"cbw", "cdqe"},
      {"cwd", "cdq"},
      {"cwd", "cqo"},
      {"cmpxchg8b", "cmpxchg16b"},
      {"movd", "movq"},
      {"movd", "vmovq"},
      {"movhps", "movlhps"},
      {"movhps", "vmovlhps"},
      {"movlps", "movhlps"},
      {"movlps", "vmovhlps"},
      {"pextrd", "pextrq"},
      {"pextrd", "vpextrq"},
      {"pinsrd", "pinsrq"},
      {"pinsrd", "vpinsrq"},
      {"push fs", "push"},
      {"push gs", "push"},
      {"pop fs", "pop"},
      {"pop gs", "pop"},
      {"push es", "push"},
      {"push cs", "push"},
      {"push ss", "push"},
      {"push ds", "push"},
      {"pop es", "pop"},
      {"pop ss", "pop"},
      {"pop ds", "pop"},
      {"retf", "ret"},
      {"xchg", "nop"},
      {"xchg", "pause"},
      {"prefetchw", "nop"},
      {"prefetchw", "prefetch"},
      {"prefetchw", "prefetchwt1"},
      {"emms", "vzeroall"},
      {"emms", "vzeroupper"},
      {"jcxz", "jecxz"},
      {"jcxz", "jrcxz"},
      {"pusha", "pushad"},
      {"popa", "popad"},
  };
  for (const auto& [name, other] : kOthers) {
    if (ours == name && theirs == other) return true;
  }
  if (ours == "nop") return theirs.compare(0, 8, "prefetch") == 0;
  if (ours == "jcc") return theirs[0] == 'j';
  if (ours == "setcc") return theirs.compare(0, 3, "set") == 0;
  if (ours == "cmovcc") return theirs.compare(0, 4, "cmov") == 0;
  return isGroup(ours);
}

std::string hex(const uint8_t* bytes, unsigned count) {
  std::string text;
  char pair[4];
  for (unsigned i = 0; i < count; i++) {
    std::snprintf(pair, sizeof(pair), "%02x ", bytes[i]);
    text += pair;
  }
  return text;
}

std::map<std::string, std::pair<unsigned, std::string> > differences;
unsigned long compared = 0;

/** Empty, or what differs. */
std::string compare(const Witness& witness, unsigned codeBits, Features features, const uint8_t* bytes) {
  MicroOp op;
  const Opcode* row = nullptr;
  const Decoded ours = decode(bytes, kMaxLength, codeBits, features, op, row);
  ZydisDecodedInstruction theirs;
  const bool known =
      ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&witness.decoder, nullptr, bytes, kMaxLength, &theirs)) &&
      !isAbsent(theirs);
  if (!known)
    return ours == Decoded::ok && !isGroup(row->mnemonic) ? std::string(row->mnemonic) + ", theirs: none" : "";
  const std::string name = ZydisMnemonicGetString(theirs.mnemonic);
  if (ours != Decoded::ok) return "none, theirs: " + name + " of " + ZydisISASetGetString(theirs.meta.isa_set);
  if (op.length != theirs.length) return "length of " + name;
  return names(row->mnemonic, name, theirs.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX)
             ? ""
             : row->mnemonic + (", theirs: " + name);
}

void hold(const Witness& witness, unsigned codeBits, Features features, const std::string& start) {
  uint8_t bytes[kMaxLength];
  for (unsigned i = 0; i < kMaxLength; i++) bytes[i] = static_cast<uint8_t>(0x25 + i * 0x11);
  std::memcpy(bytes, start.data(), start.size());
  for (unsigned opcode = 0; opcode < 256; opcode++) {
    for (unsigned modrm = 0; modrm < 256; modrm++) {
      bytes[start.size()] = static_cast<uint8_t>(opcode);
      bytes[start.size() + 1] = static_cast<uint8_t>(modrm);
      compared++;
      const std::string difference = compare(witness, codeBits, features, bytes);
      if (difference.empty()) continue;
      auto& seen = differences[std::to_string(codeBits) + " bits: " + difference];
      if (seen.first++ == 0) seen.second = hex(bytes, kMaxLength);
    }
  }
}

void report() {
  for (const auto& [what, seen] : differences) {
    std::printf("%s (%u patterns, the first %s)\n", what.c_str(), seen.first, seen.second.c_str());
  }
  CHECK_EQUAL(differences.size(), 0u);
  differences.clear();
}

}  // namespace

TEST("every pattern of prefixes, opcode and ModRM has the length and the name that Zydis gives it") {
  const Features features = announced(defaultCpuid());
  static const char* const kPrefixes[] = {"",     "\x66",     "\xf2",     "\xf3",     "\x67",     "\xf0",
                                          "\x2e", "\x64",     "\x66\xf3", "\x66\xf2", "\x66\x67", "\x48",
                                          "\x41", "\x66\x48", "\xf2\x48", "\xf3\x48", "\xf0\x48", "\x48\x66"};
  for (const unsigned codeBits : {16u, 32u, 64u}) {
    const Witness witness(codeBits);
    for (const std::string prefix : kPrefixes) {
      if (codeBits != 64 && prefix.find_first_of("\x48\x41") != std::string::npos) continue;
      for (const char* map : {"", "\x0f", "\x0f\x38", "\x0f\x3a"}) hold(witness, codeBits, features, prefix + map);
    }
  }
  report();
}

TEST("every VEX encoding has the length and the name that Zydis gives it") {
  const Features features = announced(defaultCpuid());
  for (const unsigned codeBits : {32u, 64u}) {
    const Witness witness(codeBits);
    for (unsigned map = 1; map <= 3; map++) {
      for (unsigned rest = 0; rest < 256; rest++) {
        const unsigned vvvv = rest >> 3 & 15;
        if (vvvv != 15 && vvvv != 12) continue;  // no register, or one
        hold(witness, codeBits, features, {'\xc4', static_cast<char>(0xe0 | map), static_cast<char>(rest)});
      }
    }
  }
  report();
}
#endif
