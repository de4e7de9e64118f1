// What takes more than one tick, and what a wait costs.
#include "emulator/dispatch.h"
#include "test/native/emulator/guest.h"

using namespace vtkit;
using namespace vtkit::test;

namespace {

#define BYTES(TEXT) std::string(TEXT, sizeof(TEXT) - 1)
const std::string kReadTime = BYTES("\x0f\x31");

/** Ticks from RDTSC to RDTSC around some code. */
uint64_t ticksOf(const std::string& code) {
  Guest guest(64);
  guest.run(kReadTime + BYTES("\x89\xc6") + code + kReadTime + BYTES("\x29\xf0"));
  return guest.regs.rax;
}

}  // namespace

TEST("an instruction takes a tick") { CHECK_EQUAL(ticksOf(BYTES("\x90\x90\x90")), 5u); }

TEST("an access to a port takes a microsecond's worth, and each item of a string") {
  CHECK_EQUAL(ticksOf(BYTES("\xe4\x80")), emulator::kDeviceTicks + 3);
  CHECK_EQUAL(ticksOf(BYTES("\xb9\x05\x00\x00\x00\xbf\x00\x00\x01\x00\xf3\x6c")), 5 * emulator::kDeviceTicks + 5);
}

TEST("an access to memory that is none takes as long as one to a port") {
  Guest guest(32);
  guest.run(kReadTime + BYTES("\x89\xc6\xa1\x00\x00\x00\xff") + kReadTime + BYTES("\x29\xf0"));
  CHECK_EQUAL(guest.regs.rax, emulator::kDeviceTicks + 3);
}

TEST("CPUID waits for what went before") {
  CHECK_EQUAL(ticksOf(BYTES("\x31\xc0\x0f\xa2")), emulator::kSerialTicks + 4);
}
