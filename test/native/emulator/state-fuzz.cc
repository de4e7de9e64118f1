// States that no machine was ever in, loaded into devices and processors that then run: they are refused or stood.
#include <algorithm>
#include <iterator>
#include <random>

#include "devices/hpet.h"
#include "devices/interrupt-lines.h"
#include "devices/pit.h"
#include "devices/power-management.h"
#include "devices/rtc.h"
#include "devices/uart.h"
#include "emulator/virtual-clock.h"
#include "test/native/check.h"
#include "test/native/devices/fixtures.h"
#include "test/native/devices/hand-clock.h"
#include "test/native/emulator/vmx-guest.h"

using namespace vtkit;
using namespace vtkit::test;
using Bytes = std::vector<uint8_t>;
using Random = std::mt19937_64;

namespace {

/** Bytes near those of a real state, or of none. */
Bytes mutated(Random& random, Bytes state) {
  if (random() % 16 == 0) state.resize(random() % (state.size() + 1));
  for (uint64_t changes = 1 + random() % 8; changes > 0 && !state.empty(); changes--) {
    const size_t at = random() % state.size();
    // Whole words of ones and zeros too: lengths, moments, counts.
    const size_t bytes = std::min<size_t>(random() % 2 == 0 ? 1 : 8, state.size() - at);
    const uint64_t kind = random() % 4;
    for (size_t i = 0; i < bytes; i++) {
      state[at + i] = kind == 0 ? 0xff : kind == 1 ? 0 : static_cast<uint8_t>(random());
    }
  }
  return state;
}

struct Sink final : bus::MessageSink {
  bool deliver(const bus::InterruptMessage&) override { return true; }
};

struct Devices {
  Sink sink;
  HandClock clock;
  Terminal terminal;
  devices::InterruptLines lines{[] {}, &sink};
  devices::GatedLine irq0{lines.line(0)}, irq8{lines.line(8)};
  devices::Pit pit{clock, irq0};
  devices::Hpet hpet{clock, [this](unsigned pin) -> devices::EdgeLine& { return lines.line(pin); }, irq0, irq8};
  devices::PowerManagement power{clock, lines.line(9)};
  devices::Rtc rtc{clock, irq8, {}, 0};
  devices::Uart uart{terminal.outbox, 0x3f8, lines.line(4)};

  void visit(state::Archive& archive) {
    lines.pic().visit(archive);
    lines.ioApic()->visit(archive);
    pit.visit(archive);
    hpet.visit(archive);
    power.visit(archive);
    rtc.visit(archive);
    uart.visit(archive);
  }
  Bytes saved() {
    Bytes bytes;
    state::Archive archive(bytes);
    visit(archive);
    return bytes;
  }
  bool load(const Bytes& bytes) {
    state::Archive archive(bytes.data(), bytes.size());
    visit(archive);
    archive.end();
    return !archive.failed();
  }
  void touch(Random& random) {
    bus::Device* const all[] = {&lines.pic().master(),
                                &lines.pic().slave(),
                                &lines.pic().edgeLevel(),
                                lines.ioApic(),
                                &pit.counters(),
                                &pit.control(),
                                &hpet,
                                &power,
                                &rtc,
                                &uart};
    bus::Device& device = *all[random() % std::size(all)];
    const unsigned size = 1u << random() % 4;
    const uint64_t offset = random() % (&device == &hpet ? 0x400 : &device == lines.ioApic() ? 0x20 : 8);
    uint64_t value = random();
    if (random() % 2 == 0) {
      device.read(offset, size, value);
    } else {
      device.write(offset, size, value);
    }
    if (random() % 8 == 0) lines.pic().acknowledge();
    if (random() % 8 == 0) clock.now += random() % 100000;
  }
};

}  // namespace

TEST("devices give back the state that they were given") {
  Random random(1);
  Devices used, fresh;
  for (int i = 0; i < 2000; i++) used.touch(random);
  const Bytes state = used.saved();
  CHECK_EQUAL(fresh.load(state), true);
  CHECK_EQUAL(fresh.saved() == state, true);
}

TEST("devices refuse or stand 5,000 damaged states") {
  Random random(2);
  unsigned taken = 0;
  for (int round = 0; round < 5000; round++) {
    Devices devices;
    for (int i = 0; i < 20; i++) devices.touch(random);
    if (devices.load(mutated(random, devices.saved()))) taken++;
    for (int i = 0; i < 40; i++) devices.touch(random);
  }
  CHECK_EQUAL(taken > 250 && taken < 4750, true);
}

TEST("a processor refuses or stands 200 damaged states, in VMX operation too") {
  Random random(3);
  unsigned taken = 0, inside = 0;
  for (int round = 0; round < 200; round++) {
    VmxGuest guest;
    emulator::Emulator& processor = *guest.processor;
    if (round % 2 == 0) {
      guest.write(VmxGuest::kGuestCode, "\xeb\xfe");  // JMP to itself
      guest.field(Field::guestRip, VmxGuest::kGuestCode);
      processor.setLimit(processor.instructionsRetired() + 100);
      guest.again();
      inside += guest.inGuest();
    }
    Bytes state;
    state::Archive writer(state);
    processor.visit(writer);
    for (const uint64_t code : {VmxGuest::kHostCode, VmxGuest::kGuestCode}) {
      for (unsigned i = 0; i < 32; i++) guest.put<uint64_t>(code + 8 * i, random());
    }
    const Bytes damaged = mutated(random, std::move(state));
    state::Archive reader(damaged.data(), damaged.size());
    processor.visit(reader);
    if (!reader.failed()) taken++;
    guest.platform.patience = 50;
    processor.setLimit(processor.instructionsRetired() + 500);
    for (int i = 0; i < 4; i++) processor.run(processor.ticks() + 4000);
  }
  CHECK_EQUAL(taken > 20, true);
  CHECK_EQUAL(inside, 100u);
}
