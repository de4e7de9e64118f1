// What ends HLT, shutdown and the wait for a startup message in a guest and in its host, and what does not (SDM Vol.
// 3C, 24.8, 26.2 and 27.7).
#include "test/native/emulator/vmx-breaks.h"

using namespace vtkit;
using namespace vtkit::test;
using namespace vtkit::emulator::vmx;

namespace {

constexpr uint64_t kHlt = 1, kShutdown = 2, kWaitForSipi = 3, kNmiBlocked = 8, kInterruptFlag = 0x200;
constexpr uint64_t kApicPage = 0x50000;

const Break kNothing = [](VmxGuest&) {};
const Break kNmi = [](VmxGuest& guest) { guest.processor->nmi(); };
const Break kInterrupt = [](VmxGuest& guest) { guest.processor->interrupt(0x55); };
const Break kTime = [](VmxGuest& guest) { guest.processor->advanceTo(guest.processor->nextEvent()); };
Break signal(bus::DeliveryMode mode, uint8_t vector = 0) {
  return [=](VmxGuest& guest) { guest.send(mode, vector); };
}
Break pins(uint32_t bits) { return add(Field::pinBasedControls, bits); }
Break timer(uint64_t value) { return both(pins(pin::kPreemptionTimer), set(Field::vmxPreemptionTimerValue, value)); }
const Break kNmiWindow =
    both(pins(pin::kNmiExiting | pin::kVirtualNmis), add(Field::primaryControls, primary::kNmiWindowExiting));
const Break kInterruptWindow = add(Field::primaryControls, primary::kInterruptWindowExiting);
const Break kVirtualInterrupt = [](VmxGuest& guest) {
  delivery()(guest);
  guest.field(Field::guestInterruptStatus, 0x51);
  guest.put<uint32_t>(kPage + 0x220, 1u << 17);
};
const Break kThreshold = both(tprShadow(secondary::kVirtualizeApicAccesses), set(Field::tprThreshold, 1));
const Break kDebug = set(Field::guestPendingDebugExceptions, 1u << 12 | 1);

/** Rests on with what there was before, unless an exit is told; kDelivered stands for the handler's VMCALL. */
constexpr uint64_t kRests = 0x1000, kDelivered = 18;
struct Inactive {
  const char* what;
  uint64_t state;
  Break before, then;
  uint64_t reason;
  uint64_t flags = 2;
};

void hold(const Inactive& row) {
  VmxGuest guest;
  guest.write(VmxGuest::kHandler, kVmcall);
  row.before(guest);
  guest.field(Field::guestRflags, row.flags);
  guest.field(Field::guestActivityState, row.state);
  guest.enter("\x90");
  const bool waited = guest.inGuest();
  bool woke = false;
  if (waited) {
    CHECK_EQUAL(guest.processor->wakes(), false);
    row.then(guest);
    woke = guest.processor->wakes();
    guest.processor->run();
  }
  const uint64_t found = guest.inGuest() ? kRests : guest.reason();
  // Who runs the processor does so when it wakes, and only then.
  if (!CHECK_EQUAL(found, row.reason) || (waited && !CHECK_EQUAL(woke, row.reason != kRests))) {
    std::printf("  of %s\n", row.what);
  }
  if (row.reason == kRests) return;
  CHECK_EQUAL(guest.field(Field::guestActivityState), row.reason == kDelivered ? 0 : row.state);
  CHECK_EQUAL(guest.field(Field::guestRip), row.reason == kDelivered ? VmxGuest::kHandler : VmxGuest::kGuestCode);
}

}  // namespace

TEST("HLT ends by what is due at entry, and by what comes") {
  const Inactive rows[] = {
      {"nothing", kHlt, kNothing, kNothing, kRests},
      {"an NMI that exits", kHlt, pins(pin::kNmiExiting), kNmi, 0},
      {"an NMI", kHlt, kNothing, kNmi, kDelivered},
      {"an NMI while they are blocked", kHlt, set(Field::guestInterruptibilityState, kNmiBlocked), kNmi, kRests},
      {"an NMI while virtual ones are blocked", kHlt,
       both(pins(pin::kNmiExiting | pin::kVirtualNmis), set(Field::guestInterruptibilityState, kNmiBlocked)), kNmi, 0},
      {"an NMI window", kHlt, kNmiWindow, kNothing, 8},
      {"an NMI window that is closed", kHlt, both(kNmiWindow, set(Field::guestInterruptibilityState, kNmiBlocked)),
       kNothing, kRests},
      {"an interrupt that exits", kHlt, pins(pin::kExternalInterruptExiting), kInterrupt, 1},
      {"an interrupt", kHlt, kNothing, kInterrupt, kDelivered, 2 | kInterruptFlag},
      {"an interrupt while they are off", kHlt, kNothing, kInterrupt, kRests},
      {"interrupts on, and none", kHlt, kNothing, kNothing, kRests, 2 | kInterruptFlag},
      {"an interrupt window", kHlt, kInterruptWindow, kNothing, 7, 2 | kInterruptFlag},
      {"an interrupt window that is closed", kHlt, kInterruptWindow, kNothing, kRests},
      {"a virtual interrupt", kHlt, kVirtualInterrupt, kNothing, kDelivered, 2 | kInterruptFlag},
      {"a virtual interrupt while they are off", kHlt, kVirtualInterrupt, kNothing, kRests},
      {"the timer", kHlt, timer(100), kTime, 52},
      {"the timer at once", kHlt, timer(0), kNothing, 52},
      {"INIT", kHlt, kNothing, signal(bus::DeliveryMode::init), 3},
      {"a priority below the threshold", kHlt, kThreshold, kNothing, 43},
      {"a debug exception", kHlt, kDebug, kNothing, kDelivered},
      {"a debug exception that exits", kHlt, both(kDebug, set(Field::exceptionBitmap, 1u << 1)), kNothing, 0},
  };
  for (const Inactive& row : rows) hold(row);
}

TEST("shutdown ends by NMIs, their window, INIT and the timer, and by nothing else") {
  const Inactive rows[] = {
      {"nothing", kShutdown, kNothing, kNothing, kRests},
      {"an NMI that exits", kShutdown, pins(pin::kNmiExiting), kNmi, 0},
      {"an NMI", kShutdown, kNothing, kNmi, kDelivered},
      {"an NMI window", kShutdown, kNmiWindow, kNothing, 8},
      {"INIT", kShutdown, kNothing, signal(bus::DeliveryMode::init), 3},
      {"the timer", kShutdown, timer(100), kTime, 52},
      {"an interrupt that would exit", kShutdown, pins(pin::kExternalInterruptExiting), kInterrupt, kRests},
      {"an interrupt", kShutdown, kNothing, kInterrupt, kRests, 2 | kInterruptFlag},
      {"an interrupt window", kShutdown, kInterruptWindow, kNothing, kRests, 2 | kInterruptFlag},
      {"a virtual interrupt", kShutdown, kVirtualInterrupt, kNothing, kRests, 2 | kInterruptFlag},
      {"a priority below the threshold", kShutdown, kThreshold, kNothing, kRests},
      {"a debug exception", kShutdown, kDebug, kNothing, kRests},
  };
  for (const Inactive& row : rows) hold(row);
}

TEST("the wait for a startup message ends by one, and by nothing else") {
  const Inactive rows[] = {
      {"nothing", kWaitForSipi, kNothing, kNothing, kRests},
      {"a startup message", kWaitForSipi, kNothing, signal(bus::DeliveryMode::startup, 0x9a), 4},
      {"INIT", kWaitForSipi, kNothing, signal(bus::DeliveryMode::init), kRests},
      {"an NMI", kWaitForSipi, pins(pin::kNmiExiting), kNmi, kRests},
      {"an NMI window", kWaitForSipi, kNmiWindow, kNothing, kRests},
      {"the timer", kWaitForSipi, timer(100), kTime, kRests},
      {"an interrupt", kWaitForSipi, pins(pin::kExternalInterruptExiting), kInterrupt, kRests, 2 | kInterruptFlag},
      {"a priority below the threshold", kWaitForSipi, kThreshold, kNothing, kRests},
      {"a debug exception", kWaitForSipi, kDebug, kNothing, kRests},
  };
  for (const Inactive& row : rows) hold(row);
}

TEST("an INIT that comes while a startup message is waited for leaves at the next entry (26.2)") {
  const Break init = signal(bus::DeliveryMode::init), startup = signal(bus::DeliveryMode::startup, 0x9a);
  for (const auto& [first, second] : {std::pair(init, startup), std::pair(startup, init)}) {
    VmxGuest guest;
    guest.field(Field::guestActivityState, kWaitForSipi);
    guest.enter("\x90");
    first(guest);
    second(guest);
    guest.processor->run();
    CHECK_EQUAL(guest.reason(), number(ExitReason::startupIpi));
    CHECK_EQUAL(guest.field(Field::exitQualification), 0x9au);
    guest.field(Field::guestActivityState, 0);
    guest.again();
    CHECK_EQUAL(guest.reason(), number(ExitReason::initSignal));
    CHECK_EQUAL(guest.field(Field::guestRip), VmxGuest::kGuestCode);
    guest.enter(kVmcall);
    CHECK_EQUAL(guest.reason(), number(ExitReason::vmcall));  // once
  }
}

TEST("neither INIT nor a startup message ends HLT in root operation, where INIT waits for VMXOFF (24.8)") {
  VmxGuest guest;
  for (const bus::DeliveryMode mode : {bus::DeliveryMode::init, bus::DeliveryMode::startup}) {
    guest.run("\xf4");
    guest.send(mode, 0x9a);
    CHECK_EQUAL(guest.processor->wakes(), false);
  }
  guest.processor->setLimit(guest.processor->instructionsRetired() + 1);
  guest.run(BYTES("\x0f\x01\xc4"));  // VMXOFF
  CHECK_EQUAL(guest.processor->cpu().cr0, 0x60000010u);
  CHECK_EQUAL(guest.processor->cpu().rip(), 0xfff0u);
}

TEST("a startup message does not end HLT of a processor that waits for none, and INIT does (Vol. 3A, 9.4)") {
  Guest guest(64);
  bus::InterruptMessage message;
  message.broadcast = true;
  message.mode = bus::DeliveryMode::startup;
  guest.run("\xf4");
  guest.processor->apic().accept(message);
  CHECK_EQUAL(guest.processor->wakes(), false);
  message.mode = bus::DeliveryMode::init;
  guest.processor->apic().accept(message);
  CHECK_EQUAL(guest.processor->wakes(), true);
  guest.processor->waitForStartup();
  CHECK_EQUAL(guest.processor->wakes(), false);
  message.mode = bus::DeliveryMode::startup;
  guest.processor->apic().accept(message);
  CHECK_EQUAL(guest.processor->wakes(), true);
}

TEST("debug exceptions that pend are lost in shutdown and in the wait for a startup message (27.7.3)") {
  for (const uint64_t state : {kShutdown, kWaitForSipi}) {
    VmxGuest guest;
    guest.control(Field::pinBasedControls, pin::kNmiExiting);
    kDebug(guest);
    guest.field(Field::guestActivityState, state);
    guest.enter("\x90");
    (state == kShutdown ? kNmi : signal(bus::DeliveryMode::startup))(guest);
    guest.processor->run();
    CHECK_EQUAL(guest.inGuest(), false);
    CHECK_EQUAL(guest.field(Field::guestPendingDebugExceptions), 0u);
  }
}

TEST("a priority below the threshold exits when an NMI has ended shutdown (27.7.7)") {
  VmxGuest guest;
  kThreshold(guest);
  guest.field(Field::guestActivityState, kShutdown);
  guest.enter("\x90");
  kNmi(guest);
  guest.processor->run();
  CHECK_EQUAL(guest.reason(), static_cast<uint64_t>(ExitReason::tprBelowThreshold));
  CHECK_EQUAL(guest.field(Field::guestRip), VmxGuest::kHandler);
}

TEST("HLT that the monitor trap or what is due behind it ends at once saves the state that it was in") {
  const struct {
    Break prepare;
    uint64_t reason;
  } rows[] = {
      {add(Field::primaryControls, primary::kMonitorTrapFlag), 37},
      {timer(1), 52},
  };
  for (const auto& row : rows) {
    VmxGuest guest;
    row.prepare(guest);
    guest.enter("\xf4");
    CHECK_EQUAL(guest.reason(), row.reason);
    CHECK_EQUAL(guest.field(Field::guestActivityState), kHlt);
    CHECK_EQUAL(guest.field(Field::guestRip), VmxGuest::kGuestCode + 1);
  }
}

TEST("an interrupt ends HLT from wherever it comes: a script, the APIC, or the line that the APIC lets through") {
  const auto wakes = [](const Break& comes) {
    VmxGuest guest;
    guest.processor->apic().write(0xf0, 0x1ff);     // enabled
    guest.processor->apic().write(0x350, 0x10000);  // LINT0: masked
    guest.control(Field::pinBasedControls, pin::kExternalInterruptExiting);
    guest.field(Field::guestActivityState, kHlt);
    guest.enter("\x90");
    comes(guest);
    return guest.processor->wakes();
  };
  const Break line = [](VmxGuest& guest) { guest.platform.asserted = 0x30; };
  const Break open = [](VmxGuest& guest) { guest.processor->apic().write(0x350, 0x700); };  // ExtINT
  CHECK_EQUAL(wakes(kNothing), false);
  CHECK_EQUAL(wakes(kInterrupt), true);
  CHECK_EQUAL(wakes(signal(bus::DeliveryMode::fixed, 0x60)), true);
  CHECK_EQUAL(wakes(line), false);
  CHECK_EQUAL(wakes(open), false);
  CHECK_EQUAL(wakes(both(open, line)), true);
}
