// Whatever a guest does to the devices' registers, they stay within themselves. Of use under sanitizers.
#include "devices/io-apic.h"
#include "devices/pic.h"
#include "devices/pit.h"
#include "devices/uart.h"
#include "test/native/devices/fixtures.h"

using namespace vtkit;
using namespace vtkit::test;

namespace {

constexpr int kAccesses = 1000000;

struct ErraticClock final : devices::Clock {
  uint64_t nanoseconds() override { return time; }
  uint64_t time = 0;
};

struct DeafAlarm final : devices::Alarm {
  void at(uint64_t) override {}
  void cancel() override {}
  uint64_t due() override { return kNever; }
};

}  // namespace

TEST("the UART stands a million random accesses between bytes of the host") {
  std::mt19937_64 random(1);
  Terminal terminal;
  FakeLine line;
  devices::Uart uart(terminal.outbox, 0x3f8, line);
  for (int i = 0; i < kAccesses; i++) {
    accessAnyhow(random, uart, devices::Uart::kPorts);
    const auto byte = static_cast<uint8_t>(random());
    if (i % 64 == 0) uart.receive(&byte, 1);
    terminal.drain();
  }
}

TEST("the interrupt controllers stand a million random accesses and answer INTA with a vector each time") {
  std::mt19937_64 random(2);
  devices::Pic pic([] {});
  bus::Device* const parts[] = {&pic.master(), &pic.slave(), &pic.edgeLevel()};
  int strange = 0;
  for (int i = 0; i < kAccesses; i++) {
    accessAnyhow(random, *parts[random() % 3], 2);
    pic.line(static_cast<int>(random() % 16)).set((random() & 1) != 0);
    if (!pic.asserted() && i % 16 != 0) continue;
    const int vector = pic.acknowledge();
    strange += vector < 0 || vector > 0xff;
  }
  CHECK_EQUAL(strange, 0);
}

TEST("the I/O APIC stands a million random accesses while its lines change") {
  struct Sink final : bus::MessageSink {
    bool deliver(const bus::InterruptMessage&) override { return true; }
  };
  std::mt19937_64 random(5);
  Sink sink;
  devices::IoApic ioApic(sink);
  for (int i = 0; i < kAccesses; i++) {
    accessAnyhow(random, ioApic, 0x20);
    ioApic.line(static_cast<unsigned>(random() % devices::IoApic::kLines)).set((random() & 1) != 0);
    if (i % 8 == 0) ioApic.endOfInterrupt(static_cast<uint8_t>(random()));
  }
}

TEST("the timer stands a million random accesses at random moments") {
  std::mt19937_64 random(3);
  ErraticClock clock;
  FakeLine line;
  devices::Pit pit(clock, line);
  pit.setAlarm(std::make_unique<DeafAlarm>());
  for (int i = 0; i < kAccesses; i++) {
    if ((random() & 3) == 0) {
      accessAnyhow(random, pit.control(), 1);
    } else {
      accessAnyhow(random, pit.counters(), 4);
    }
    clock.time += random() >> (24 + random() % 40);
    pit.expired();
  }
}
