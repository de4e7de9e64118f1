// The interrupt controllers, against the 8259A data sheet.
#include "devices/pic.h"

#include <atomic>
#include <thread>

#include "test/native/devices/fixtures.h"

using namespace vtkit;
using namespace vtkit::test;
using devices::Pic;

namespace {

constexpr uint8_t kEoi = 0x20, kReadRequests = 0x0a, kReadService = 0x0b;

struct Pair {
  int changes = 0;
  Pic pic{[this] { changes++; }};

  explicit Pair(uint8_t icw4 = 0x01) {
    initialise(pic.master(), 0x20, 0x04, icw4);
    initialise(pic.slave(), 0x28, 0x02, icw4);
    setMasks(0, 0);
  }
  static void initialise(bus::Device& chip, uint8_t base, uint8_t icw3, uint8_t icw4) {
    chip.write(0, 1, 0x11);
    chip.write(1, 1, base);
    chip.write(1, 1, icw3);
    chip.write(1, 1, icw4);
  }
  void setMasks(uint8_t master, uint8_t slave) {
    pic.master().write(1, 1, master);
    pic.slave().write(1, 1, slave);
  }
  void raise(int line) { pic.line(line).set(true); }
  void lower(int line) { pic.line(line).set(false); }
  void pulse(int line) {
    lower(line);
    raise(line);
  }
  void master(uint8_t command) { pic.master().write(0, 1, command); }
  void slave(uint8_t command) { pic.slave().write(0, 1, command); }
  uint64_t masterReads(uint8_t command) {
    master(command);
    return readFrom(pic.master(), 0, 1);
  }
  uint64_t slaveReads(uint8_t command) {
    slave(command);
    return readFrom(pic.slave(), 0, 1);
  }
};

}  // namespace

TEST("delivers a line as its vector, once, and rests until the end of interrupt") {
  Pair pics;
  pics.raise(4);
  CHECK_EQUAL(pics.pic.asserted(), true);
  CHECK_EQUAL(pics.changes, 1);
  CHECK_EQUAL(pics.pic.acknowledge(), 0x24);
  CHECK_EQUAL(pics.pic.asserted(), false);
  CHECK_EQUAL(pics.masterReads(kReadService), 0x10);
  pics.master(kEoi);
  CHECK_EQUAL(pics.masterReads(kReadService), 0);
  CHECK_EQUAL(pics.pic.asserted(), false);
}

TEST("says nothing before it is initialised to the last command word") {
  Pair pics;
  for (const uint8_t word : {0x11, 0x20, 0x04}) {
    pics.pic.master().write(word == 0x11 ? 0 : 1, 1, word);
    pics.pulse(4);
    CHECK_EQUAL(pics.pic.asserted(), false);
  }
  pics.pic.master().write(1, 1, 0x01);
  CHECK_EQUAL(pics.pic.asserted(), true);
}

TEST("takes ICW2 and no ICW3 as a single chip, and no ICW4 unless announced") {
  Pair pics;
  pics.master(0x12);
  pics.pic.master().write(1, 1, 0x40);
  pics.pic.master().write(1, 1, 0xfe);
  CHECK_EQUAL(readFrom(pics.pic.master(), 1, 1), 0xfe);
  pics.raise(0);
  CHECK_EQUAL(pics.pic.acknowledge(), 0x40);
}

TEST("forgets masks, edges, priorities and service when it is initialised again") {
  Pair pics;
  pics.raise(3);
  pics.pic.acknowledge();
  pics.raise(5);
  pics.master(0xc2);  // set priority
  pics.setMasks(0x01, 0);
  Pair::initialise(pics.pic.master(), 0x30, 0x04, 0x01);
  CHECK_EQUAL(readFrom(pics.pic.master(), 1, 1), 0);
  CHECK_EQUAL(pics.masterReads(kReadRequests), 0);
  CHECK_EQUAL(pics.masterReads(kReadService), 0);
  pics.pulse(7);
  pics.pulse(0);
  CHECK_EQUAL(pics.pic.acknowledge(), 0x30);
}

TEST("serves the highest priority first and nests only what is higher") {
  Pair pics;
  pics.raise(5);
  pics.raise(3);
  CHECK_EQUAL(pics.pic.acknowledge(), 0x23);
  CHECK_EQUAL(pics.pic.asserted(), false);
  pics.raise(1);
  CHECK_EQUAL(pics.pic.acknowledge(), 0x21);
  CHECK_EQUAL(pics.masterReads(kReadService), 0x0a);
  pics.master(kEoi);  // ends the highest: 1
  CHECK_EQUAL(pics.masterReads(kReadService), 0x08);
  CHECK_EQUAL(pics.pic.asserted(), false);
  pics.master(kEoi);
  CHECK_EQUAL(pics.pic.acknowledge(), 0x25);
}

TEST("ends the level that a specific end of interrupt names") {
  Pair pics;
  pics.raise(5);
  pics.pic.acknowledge();
  pics.raise(1);
  pics.pic.acknowledge();
  pics.master(0x65);
  CHECK_EQUAL(pics.masterReads(kReadService), 0x02);
}

TEST("keeps the edge of a masked line until it is unmasked") {
  Pair pics;
  pics.setMasks(0x10, 0);
  pics.raise(4);
  CHECK_EQUAL(pics.pic.asserted(), false);
  CHECK_EQUAL(pics.masterReads(kReadRequests), 0x10);
  pics.setMasks(0, 0);
  CHECK_EQUAL(pics.changes, 1);
  CHECK_EQUAL(pics.pic.acknowledge(), 0x24);
}

TEST("wants a new edge of a line that stayed high") {
  Pair pics;
  pics.raise(4);
  pics.pic.acknowledge();
  pics.master(kEoi);
  pics.raise(4);
  CHECK_EQUAL(pics.pic.asserted(), false);
  pics.pulse(4);
  CHECK_EQUAL(pics.pic.acknowledge(), 0x24);
}

TEST("takes a pulse without a gap as a new edge and never withdraws the request") {
  Pair pics;
  pics.raise(0);
  pics.pic.line(0).edge();
  CHECK_EQUAL(pics.changes, 1);
  CHECK_EQUAL(pics.pic.acknowledge(), 0x20);
  pics.pic.line(0).edge();
  pics.master(kEoi);
  CHECK_EQUAL(pics.pic.acknowledge(), 0x20);
}

TEST("keeps the edge of a line that fell before INTA") {
  Pair pics;
  pics.raise(11);
  pics.lower(11);
  CHECK_EQUAL(pics.pic.asserted(), true);
  CHECK_EQUAL(pics.pic.acknowledge(), 0x2b);
  CHECK_EQUAL(pics.pic.asserted(), false);
}

TEST("is initialised to the vectors of real mode before anybody does it") {
  Pic pic([] {});
  pic.line(4).set(true);
  CHECK_EQUAL(pic.acknowledge(), 0x0c);
  pic.master().write(0, 1, kEoi);
  pic.line(11).set(true);
  CHECK_EQUAL(pic.acknowledge(), 0x73);
}

TEST("gives line 7, and nothing in service, for a level that went away before INTA") {
  Pair pics;
  pics.pic.edgeLevel().write(0, 1, 0x10);
  pics.raise(4);
  pics.lower(4);
  CHECK_EQUAL(pics.pic.asserted(), false);
  CHECK_EQUAL(pics.pic.acknowledge(), 0x27);
  CHECK_EQUAL(pics.masterReads(kReadService), 0);
}

TEST("gives line 15, with the cascade in service, for a level of the slave that went away") {
  Pair pics;
  pics.pic.edgeLevel().write(1, 1, 0x10);
  pics.raise(12);
  pics.lower(12);
  CHECK_EQUAL(pics.pic.acknowledge(), 0x2f);
  CHECK_EQUAL(pics.slaveReads(kReadService), 0);
  CHECK_EQUAL(pics.masterReads(kReadService), 0x04);
}

TEST("cascades the slave through line 2, and needs both ends of interrupt") {
  Pair pics;
  pics.raise(8);
  CHECK_EQUAL(pics.masterReads(kReadRequests), 0x04);
  CHECK_EQUAL(pics.pic.acknowledge(), 0x28);
  CHECK_EQUAL(pics.slaveReads(kReadService), 0x01);
  CHECK_EQUAL(pics.masterReads(kReadService), 0x04);
  pics.raise(3);
  CHECK_EQUAL(pics.pic.asserted(), false);
  pics.slave(kEoi);
  pics.master(kEoi);
  CHECK_EQUAL(pics.pic.acknowledge(), 0x23);
}

TEST("ranks the slave's lines between 1 and 3 of the master") {
  Pair pics;
  for (const int line : {3, 15, 8, 1}) pics.raise(line);
  for (const int vector : {0x21, 0x28, 0x2f, 0x23}) {
    CHECK_EQUAL(pics.pic.acknowledge(), vector);
    if (vector >= 0x28) pics.slave(kEoi);
    pics.master(kEoi);
  }
  CHECK_EQUAL(pics.pic.asserted(), false);
}

TEST("locks a slave out of its own service unless special fully nested") {
  for (const auto& [icw4, nests] : {std::pair{0x01, false}, {0x11, true}}) {
    Pair pics(static_cast<uint8_t>(icw4));
    pics.raise(12);
    pics.pic.acknowledge();
    pics.raise(9);
    pics.raise(5);
    CHECK_EQUAL(pics.pic.asserted(), nests);
    if (nests) CHECK_EQUAL(pics.pic.acknowledge(), 0x29);
    CHECK_EQUAL(pics.pic.asserted(), false);  // line 5 stays below the cascade
  }
}

TEST("asserts a level-triggered line for as long as it is high") {
  Pair pics;
  pics.pic.edgeLevel().write(0, 1, 0x20);
  pics.raise(5);
  CHECK_EQUAL(pics.pic.acknowledge(), 0x25);
  pics.master(kEoi);
  CHECK_EQUAL(pics.pic.acknowledge(), 0x25);
  pics.lower(5);
  pics.master(kEoi);
  CHECK_EQUAL(pics.pic.asserted(), false);
}

TEST("sees a line that is high already when it becomes level-triggered, and no edge when it ceases to be") {
  Pair pics;
  pics.raise(11);
  pics.pic.acknowledge();
  pics.slave(kEoi);
  pics.master(kEoi);
  pics.pic.edgeLevel().write(1, 1, 0x08);
  CHECK_EQUAL(pics.pic.asserted(), true);
  pics.pic.edgeLevel().write(1, 1, 0x00);
  CHECK_EQUAL(pics.pic.asserted(), false);
}

TEST("leaves the lines that a PC wires to edges alone") {
  Pair pics;
  pics.pic.edgeLevel().write(0, 2, 0xffff);
  CHECK_EQUAL(readFrom(pics.pic.edgeLevel(), 0, 2), 0xdef8);
}

TEST("ends by itself in automatic mode") {
  Pair pics(0x03);
  pics.raise(4);
  CHECK_EQUAL(pics.pic.acknowledge(), 0x24);
  CHECK_EQUAL(pics.masterReads(kReadService), 0);
  pics.pulse(4);
  CHECK_EQUAL(pics.pic.acknowledge(), 0x24);
}

TEST("gives the line just served the lowest priority when it rotates") {
  Pair pics;
  pics.raise(4);
  pics.pic.acknowledge();
  pics.master(0xa0);  // rotate on non-specific EOI
  pics.pulse(4);
  pics.raise(3);
  pics.raise(6);
  for (const int vector : {0x26, 0x23, 0x24}) {
    CHECK_EQUAL(pics.pic.acknowledge(), vector);
    pics.master(kEoi);
  }
}

TEST("rotates in automatic mode while told to") {
  Pair pics(0x03);
  pics.master(0x80);
  pics.raise(0);
  CHECK_EQUAL(pics.pic.acknowledge(), 0x20);
  pics.pulse(0);
  pics.raise(1);
  CHECK_EQUAL(pics.pic.acknowledge(), 0x21);
  pics.master(0x00);
  CHECK_EQUAL(pics.pic.acknowledge(), 0x20);
}

TEST("sets the lowest priority on command, alone or with an end of interrupt") {
  Pair pics;
  pics.master(0xc5);
  pics.raise(6);
  pics.raise(5);
  CHECK_EQUAL(pics.pic.acknowledge(), 0x26);
  pics.master(0xe6);  // rotate on specific EOI of 6
  CHECK_EQUAL(pics.masterReads(kReadService), 0);
  pics.pulse(6);
  CHECK_EQUAL(pics.pic.acknowledge(), 0x25);
}

TEST("lets lower priorities through a masked level in special mask mode, and no others") {
  Pair pics;
  pics.raise(3);
  pics.pic.acknowledge();
  pics.raise(6);
  pics.master(0x68);
  CHECK_EQUAL(pics.pic.asserted(), false);  // 3 is in service and not masked
  pics.setMasks(0x08, 0);
  CHECK_EQUAL(pics.pic.acknowledge(), 0x26);
  pics.master(kEoi);  // passes the masked level by
  CHECK_EQUAL(pics.masterReads(kReadService), 0x08);
  pics.master(0x48);
  pics.setMasks(0, 0);
  pics.pulse(6);
  CHECK_EQUAL(pics.pic.asserted(), false);
}

TEST("acknowledges by a poll") {
  Pair pics;
  pics.raise(6);
  CHECK_EQUAL(pics.masterReads(0x0c), 0x86);
  CHECK_EQUAL(pics.pic.asserted(), false);
  CHECK_EQUAL(pics.masterReads(kReadService), 0x40);
  CHECK_EQUAL(pics.masterReads(0x0c) & 0x80, 0);
}

TEST("reads the requests after initialisation, then the register asked for last") {
  Pair pics;
  pics.raise(1);
  CHECK_EQUAL(readFrom(pics.pic.master(), 0, 1), 0x02);
  pics.pic.acknowledge();
  CHECK_EQUAL(pics.masterReads(kReadService), 0x02);
  CHECK_EQUAL(readFrom(pics.pic.master(), 0, 1), 0x02);
}

TEST("takes a word as two bytes at consecutive ports") {
  Pair pics;
  pics.pic.master().write(0, 2, 0x5a0b);
  CHECK_EQUAL(readFrom(pics.pic.master(), 0, 4), 0xffff'5a00u);
}

TEST("serves every edge of a line that another thread pulses") {
  std::atomic<bool> over{false};
  Pair pics(0x03);
  std::thread device([&] {
    for (int i = 0; i < 20000; i++) pics.pic.line(0).edge();
    over.store(true);
  });
  int served = 0, strange = 0;
  while (!over.load() || pics.pic.asserted()) {
    if (!pics.pic.asserted()) continue;
    const int vector = pics.pic.acknowledge();
    strange += vector != 0x20;
    served++;
  }
  device.join();
  CHECK_EQUAL(strange, 0);
  CHECK_EQUAL(served > 0 && served <= 20000, true);
}
