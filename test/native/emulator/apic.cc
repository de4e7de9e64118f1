// The local APIC by itself: modes, x2APIC registers, errors and the timer (SDM Vol. 3A, chapter 11).
#include "emulator/apic.h"

#include <random>
#include <vector>

#include "test/native/check.h"

using namespace vtkit;
using namespace vtkit::test;
using emulator::kApicEnabled;
using emulator::kApicExtended;
using emulator::LocalApic;

namespace {

struct Host final : emulator::ApicHost {
  uint64_t ticks() const override { return now; }
  uint64_t tscOffset() const override { return offset; }
  void look() override { looks++; }
  void nonMaskable() override { nmis++; }
  void init() override {}
  void startup(uint8_t) override {}
  void send(const bus::InterruptMessage& message, bool) override { sent.push_back(message); }
  void endOfInterrupt(uint8_t vector) override { ended.push_back(vector); }

  uint64_t now = 1000, offset = 0;
  unsigned looks = 0, nmis = 0;
  std::vector<bus::InterruptMessage> sent;
  std::vector<uint8_t> ended;
};

constexpr uint64_t kMask = (uint64_t{1} << 46) - 1, kBase = 0xfee00000;

/** Enabled by software, as firmware leaves it. */
struct Fixture {
  Fixture() { apic.write(0xf0, 0x1ff); }
  void enterX2apic() { apic.setBase(kBase | kApicEnabled | kApicExtended, kMask); }
  bool writes(uint32_t msr, uint64_t value) { return apic.writeMsr(msr, value); }
  void accept(uint8_t vector, bool level = false) {
    bus::InterruptMessage message;
    message.vector = vector;
    message.level = level;
    apic.accept(message);
  }
  /** Lets time pass as the run loop does. */
  void runTo(uint64_t tick) {
    while (apic.nextEvent() <= tick) {
      host.now = apic.nextEvent();
      apic.expire();
    }
    host.now = tick;
  }
  Host host;
  LocalApic apic{host, 0};
};

}  // namespace

TEST("modes change only as figure 11-27 allows") {
  Fixture f;
  const uint64_t off = kBase, on = kBase | kApicEnabled, x2 = on | kApicExtended, invalid = kBase | kApicExtended;
  CHECK_EQUAL(f.apic.setBase(invalid, kMask), false);
  CHECK_EQUAL(f.apic.setBase(x2, kMask), true);
  CHECK_EQUAL(f.apic.setBase(on, kMask), false);
  CHECK_EQUAL(f.apic.setBase(invalid, kMask), false);
  CHECK_EQUAL(f.apic.setBase(off, kMask), true);
  CHECK_EQUAL(f.apic.setBase(x2, kMask), false);
  CHECK_EQUAL(f.apic.setBase(on, kMask), true);
  CHECK_EQUAL(f.apic.setBase(on | 1, kMask), false);
  CHECK_EQUAL(f.apic.setBase(on | uint64_t{1} << 46, kMask), false);
}

TEST("disabling it resets it, and its page is gone then and in x2APIC mode") {
  Fixture f;
  f.apic.write(0x80, 0x30);
  CHECK_EQUAL(f.apic.page(), kBase);
  f.apic.setBase(kBase, kMask);
  CHECK_EQUAL(f.apic.page(), LocalApic::kNever);
  f.apic.setBase(kBase | kApicEnabled, kMask);
  CHECK_EQUAL(f.apic.read(0xf0), 0xffu);
  CHECK_EQUAL(f.apic.read(0x80), 0u);
  f.enterX2apic();
  CHECK_EQUAL(f.apic.page(), LocalApic::kNever);
}

TEST("firmware leaves the 8259 wired to LINT0 of the first processor; what is reset later is masked (11.4.7)") {
  Fixture first;
  LocalApic second(first.host, 1);
  CHECK_EQUAL(first.apic.read(0x350), 0x8700u);
  CHECK_EQUAL(second.read(0x350), 0x10000u);
  first.apic.setBase(kBase, kMask);
  first.apic.setBase(kBase | kApicEnabled, kMask);
  for (uint32_t entry = 0x320; entry <= 0x370; entry += 0x10) CHECK_EQUAL(first.apic.read(entry), 0x10000u);
  first.apic.powerOn();
  CHECK_EQUAL(first.apic.takesExternal(), true);
  first.apic.reset();  // INIT
  CHECK_EQUAL(first.apic.takesExternal(), false);
}

TEST("x2APIC registers exist, and are read and written, as table 11-6 says") {
  Fixture f;
  uint64_t value;
  CHECK_EQUAL(f.apic.readMsr(0x802, value), false);  // not in xAPIC mode
  f.enterX2apic();
  const uint32_t readable[] = {0x802, 0x803, 0x808, 0x80a, 0x80d, 0x80f, 0x810,
                               0x827, 0x828, 0x830, 0x832, 0x839, 0x83e};
  for (const uint32_t msr : readable) CHECK_EQUAL(f.apic.readMsr(msr, value), true);
  const uint32_t absent[] = {0x800, 0x809, 0x80b, 0x80c, 0x80e, 0x829, 0x82f, 0x831, 0x83a, 0x83f, 0x840, 0x8ff};
  for (const uint32_t msr : absent) CHECK_EQUAL(f.apic.readMsr(msr, value), false);
  CHECK_EQUAL(f.writes(0x802, 1), false);
  CHECK_EQUAL(f.writes(0x80b, 0), true);
  CHECK_EQUAL(f.writes(0x80b, 1), false);  // EOI takes only 0
  CHECK_EQUAL(f.writes(0x828, 1), false);  // and so does the ESR
  CHECK_EQUAL(f.writes(0x808, 0x100), false);
  CHECK_EQUAL(f.writes(0x832, 0x80000), false);
  CHECK_EQUAL(f.writes(0x832, 0x400f0), true);
}

TEST("the logical identity of x2APIC mode follows from the identity") {
  Host host;
  LocalApic apic(host, 0x25);
  apic.setBase(kBase | kApicEnabled | kApicExtended, kMask);
  uint64_t ldr;
  CHECK_EQUAL(apic.readMsr(0x80d, ldr), true);
  CHECK_EQUAL(ldr, 0x00020020u);
  bus::InterruptMessage message;
  message.logical = true;
  message.destination = 0x00020021;
  CHECK_EQUAL(apic.matches(message), true);
  message.destination = 0x00010020;
  CHECK_EQUAL(apic.matches(message), false);
}

TEST("logical destinations of xAPIC mode match by bits or by cluster, as DFR says, and all ones match everybody") {
  Fixture f;
  const auto matches = [&](uint32_t destination) {
    bus::InterruptMessage message;
    message.logical = true;
    message.destination = destination;
    return f.apic.matches(message);
  };
  CHECK_EQUAL(matches(0xff), true);
  CHECK_EQUAL(matches(0x7f), false);
  f.apic.write(0xd0, 0x12000000);
  for (const uint32_t hit : {0x02u, 0x10u, 0x93u, 0xffu}) CHECK_EQUAL(matches(hit), true);
  for (const uint32_t miss : {0x00u, 0x0du, 0x81u}) CHECK_EQUAL(matches(miss), false);
  f.apic.write(0xe0, 0x0fffffff);
  for (const uint32_t hit : {0x12u, 0x13u, 0x1fu, 0xffu}) CHECK_EQUAL(matches(hit), true);
  for (const uint32_t miss : {0x11u, 0x10u, 0x22u, 0x02u, 0xf2u}) CHECK_EQUAL(matches(miss), false);
}

TEST("the self-IPI register and the command register of one write") {
  Fixture f;
  f.enterX2apic();
  CHECK_EQUAL(f.writes(0x83f, 0x55), true);
  CHECK_EQUAL(f.apic.pending(), 0x55);
  CHECK_EQUAL(f.writes(0x830, uint64_t{7} << 32 | 0x4041), true);
  CHECK_EQUAL(f.host.sent.size(), 1u);
  CHECK_EQUAL(f.host.sent[0].destination, 7u);
  CHECK_EQUAL(f.host.sent[0].vector, 0x41u);
}

TEST("a vector below 16 is an error of who sends it and of who receives it") {
  Fixture f;
  f.apic.write(0x370, 0xfe);
  f.apic.write(0x300, 0x4005);
  CHECK_EQUAL(f.host.sent.size(), 0u);
  CHECK_EQUAL(f.apic.read(0x280), 0u);  // not before it is written
  f.apic.write(0x280, 0);
  CHECK_EQUAL(f.apic.read(0x280), 0x20u);
  CHECK_EQUAL(f.apic.pending(), 0xfe);
  f.accept(3);
  f.apic.read(0x40);
  f.apic.write(0x280, 0);
  CHECK_EQUAL(f.apic.read(0x280), 0xc0u);
}

TEST("an error interrupt that is an error itself ends there") {
  Fixture f;
  f.apic.write(0x370, 0x05);
  f.accept(3);
  f.apic.write(0x280, 0);
  CHECK_EQUAL(f.apic.read(0x280), 0x40u);
}

TEST("a software-disabled APIC masks its entries and takes no vectors, but NMIs") {
  Fixture f;
  f.apic.write(0x320, 0x40);
  f.apic.write(0xf0, 0xff);
  CHECK_EQUAL(f.apic.read(0x320), 0x10040u);
  f.apic.write(0x320, 0x40);
  CHECK_EQUAL(f.apic.read(0x320), 0x10040u);
  f.accept(0x60);
  CHECK_EQUAL(f.apic.pending(), -1);
  bus::InterruptMessage nmi;
  nmi.mode = bus::DeliveryMode::nmi;
  f.apic.accept(nmi);
  CHECK_EQUAL(f.host.nmis, 1u);
}

TEST("the end of a level-triggered interrupt is told, of an edge not") {
  Fixture f;
  f.accept(0x60, true);
  f.apic.acknowledge(f.apic.pending());
  f.accept(0x70);
  f.apic.acknowledge(f.apic.pending());
  f.apic.write(0xb0, 0);
  CHECK_EQUAL(f.host.ended.size(), 0u);
  f.apic.write(0xb0, 0);
  CHECK_EQUAL(f.host.ended.size(), 1u);
  CHECK_EQUAL(f.host.ended[0], 0x60);
}

TEST("the one-shot timer counts down by its divider, and fires once") {
  Fixture f;
  f.apic.write(0x320, 0x31);
  f.apic.write(0x3e0, 1);  // by 4
  f.apic.write(0x380, 100);
  f.runTo(1000 + 200);
  CHECK_EQUAL(f.apic.read(0x390), 50u);
  CHECK_EQUAL(f.apic.pending(), -1);
  f.runTo(1000 + 400);
  CHECK_EQUAL(f.apic.read(0x390), 0u);
  CHECK_EQUAL(f.apic.pending(), 0x31);
  f.apic.acknowledge(0x31);
  f.runTo(100000);
  CHECK_EQUAL(f.apic.pending(), -1);
}

TEST("a periodic timer starts over, and goes on from where it was when one-shot becomes periodic") {
  Fixture f;
  f.apic.write(0x320, 0x31);
  f.apic.write(0x3e0, 0xb);
  f.apic.write(0x380, 100);
  f.runTo(1000 + 70);
  f.apic.write(0x320, 0x20031);
  CHECK_EQUAL(f.apic.read(0x390), 30u);
  f.runTo(1000 + 110);
  CHECK_EQUAL(f.apic.pending(), 0x31);
  CHECK_EQUAL(f.apic.read(0x390), 90u);
  f.apic.write(0x380, 0);
  CHECK_EQUAL(f.apic.nextEvent(), LocalApic::kNever);
}

TEST("a TSC deadline fires when the counter gets there, at once if it has been there, and reads 0 then") {
  Fixture f;
  f.host.offset = 5000;
  f.apic.setTscDeadline(7000);
  CHECK_EQUAL(f.apic.tscDeadline(), 0u);  // not in this mode
  f.apic.write(0x320, 0x40031);
  f.apic.setTscDeadline(6500);
  CHECK_EQUAL(f.apic.nextEvent(), 1500u);
  f.runTo(1499);
  CHECK_EQUAL(f.apic.pending(), -1);
  f.runTo(1500);
  CHECK_EQUAL(f.apic.pending(), 0x31);
  CHECK_EQUAL(f.apic.tscDeadline(), 0u);
  f.apic.acknowledge(0x31);
  f.apic.write(0xb0, 0);
  f.apic.setTscDeadline(1);
  f.runTo(1500);
  CHECK_EQUAL(f.apic.pending(), 0x31);
}

TEST("a counter that software moves brings the deadline along") {
  Fixture f;
  f.apic.write(0x320, 0x40031);
  f.apic.setTscDeadline(3000);
  f.host.offset = 1500;
  f.apic.tscMoved();
  CHECK_EQUAL(f.apic.nextEvent(), 1500u);
}

TEST("a masked timer asks for nothing, and goes on all the same") {
  Fixture f;
  f.apic.write(0x320, 0x30031);
  f.apic.write(0x3e0, 0xb);
  f.apic.write(0x380, 100);
  CHECK_EQUAL(f.apic.nextEvent(), LocalApic::kNever);
  f.host.now = 1000 + 330;
  CHECK_EQUAL(f.apic.read(0x390), 70u);
  f.apic.write(0x320, 0x20031);
  CHECK_EQUAL(f.apic.nextEvent(), 1400u);
  f.apic.write(0x320, 0x10031);
  f.host.now = 2000;
  f.apic.write(0x320, 0x31);
  CHECK_EQUAL(f.apic.nextEvent(), LocalApic::kNever);  // it was one-shot when it ended
}

TEST("the registers stand a million random accesses, and the timer never stands still") {
  std::mt19937_64 random(4);
  Fixture f;
  for (int i = 0; i < 1000000; i++) {
    const uint64_t bits = random();
    const auto offset = static_cast<uint32_t>(bits & 0xff0);
    if ((bits & 1) != 0) {
      f.apic.write(offset, static_cast<uint32_t>(random()));
    } else {
      f.apic.read(offset);
    }
    if (f.apic.nextEvent() <= f.host.now) f.apic.expire();
    if (!CHECK_EQUAL(f.apic.nextEvent() > f.host.now, true)) return;
    f.host.now += random() % 1000;
    f.accept(static_cast<uint8_t>(random()), (bits & 2) != 0);
    if (f.apic.pending() >= 0) f.apic.acknowledge(f.apic.pending());
    f.host.sent.clear();
    f.host.ended.clear();
  }
}
