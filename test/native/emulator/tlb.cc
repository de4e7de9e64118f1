// Translations that end: what INVLPG takes away of large pages (SDM Vol. 3A, 4.10.4.1), for data and for code.
#include "test/native/emulator/guest.h"

using namespace vtkit;
using namespace vtkit::test;

namespace {

#define BYTES(TEXT) std::string(TEXT, sizeof(TEXT) - 1)
constexpr uint64_t kSecondLarge = Guest::kTables + 0x2008, kPiece = 0x203000;
// mov rax, [0x203000]; and INVLPG of another address in the same 2 MiB
const std::string kRead = BYTES("\x48\x8b\x04\x25\x00\x30\x20\x00"),
                  kForget = BYTES("\x0f\x01\x3c\x25\x00\x10\x20\x00");
const std::string kCall = BYTES("\xb8\x00\x30\x20\x00\xff\xd0");  // mov eax, 0x203000; call rax

/** The second 2 MiB show the first from here on; what was there before may be remembered. */
void remap(Guest& guest) { guest.put<uint64_t>(kSecondLarge, 0x87); }

}  // namespace

TEST("INVLPG of one address forgets the whole large page around it") {
  Guest guest(64);
  guest.put<uint64_t>(kPiece, 0x44);
  guest.put<uint64_t>(kPiece - 0x200000, 0x55);
  guest.run(kRead);
  CHECK_EQUAL(guest.regs.rax, 0x44u);
  remap(guest);
  guest.run(kForget + kRead);
  CHECK_EQUAL(guest.regs.rax, 0x55u);
}

TEST("INVLPG of one address forgets where code of the large page led") {
  Guest guest(64);
  guest.write(kPiece, BYTES("\xb3\x01\xc3"));             // mov bl, 1; ret
  guest.write(kPiece - 0x200000, BYTES("\xb3\x02\xc3"));  // mov bl, 2; ret
  guest.run(kCall + kCall);
  CHECK_EQUAL(guest.regs.rbx, 1u);
  remap(guest);
  guest.run(kCall + kForget + kCall);
  CHECK_EQUAL(guest.regs.rbx, 2u);
}

TEST("INVLPG leaves what other regions hold") {
  Guest guest(64);
  guest.run(kRead);
  const auto filled = [&] { return guest.processor->cpu().tlb[Guest::kCode >> 12].executeTag; };
  const uint64_t before = filled();
  guest.run(kForget);
  CHECK_EQUAL(before, Guest::kCode);
  CHECK_EQUAL(filled(), Guest::kCode);
}
