// The serial port, against the PC16550D data sheet.
#include "devices/uart.h"

#include <string>
#include <thread>

#include "test/native/devices/fixtures.h"

using namespace vtkit;
using namespace vtkit::test;
using devices::Uart;

namespace {

enum Register : uint64_t { rbr, ier, iir, lcr, mcr, lsr, msr, scr, thr = rbr, fcr = iir };

struct Port {
  Terminal terminal;
  FakeLine line;
  Uart uart{terminal.outbox, 0x3f8, line};

  uint8_t in(uint64_t index) { return static_cast<uint8_t>(readFrom(uart, index, 1)); }
  void out(uint64_t index, uint8_t value) { uart.write(index, 1, value); }
  void type(const std::string& text) { uart.receive(reinterpret_cast<const uint8_t*>(text.data()), text.size()); }
};

}  // namespace

TEST("comes out of reset with an idle transmitter, no data, no interrupt and no FIFO") {
  Port port;
  CHECK_EQUAL(port.in(ier), 0);
  CHECK_EQUAL(port.in(iir), 0x01);
  CHECK_EQUAL(port.in(lcr), 0);
  CHECK_EQUAL(port.in(mcr), 0);
  CHECK_EQUAL(port.in(lsr), 0x60);
  CHECK_EQUAL(port.in(msr)&0x0f, 0);
  CHECK_EQUAL(port.line.level, false);
}

TEST("sends each byte at once and is ready for the next") {
  Port port;
  for (const char byte : std::string("Hello")) {
    CHECK_EQUAL(port.in(lsr)&0x20, 0x20);
    port.out(thr, static_cast<uint8_t>(byte));
  }
  CHECK_EQUAL(port.terminal.text(), "Hello");
}

TEST("names its port in what it sends") {
  Port port;
  port.out(thr, 'x');
  CHECK_EQUAL(port.terminal.ring.records[0].kind, uint32_t{bus::Record::serial});
  CHECK_EQUAL(port.terminal.ring.records[0].detail, 0x3f8u);
}

TEST("shows received bytes one by one with Data Ready") {
  Port port;
  port.type("ab");
  CHECK_EQUAL(port.in(lsr), 0x61);
  CHECK_EQUAL(port.in(rbr), 'a');
  CHECK_EQUAL(port.in(lsr), 0x61);
  CHECK_EQUAL(port.in(rbr), 'b');
  CHECK_EQUAL(port.in(lsr), 0x60);
}

TEST("loses nothing that was typed before the guest set up its FIFO, however much") {
  Port port;
  const std::string typed(10000, 'k');
  port.type(typed);
  port.in(lsr);
  port.out(fcr, 0xc7);
  std::string got;
  while ((port.in(lsr)&0x01) != 0) got += static_cast<char>(port.in(rbr));
  CHECK_EQUAL(got == typed, true);
}

TEST("keeps the divisor latch apart from data and interrupt enables") {
  Port port;
  port.out(ier, 0x05);
  port.out(lcr, 0x83);
  port.out(rbr, 0x34);
  port.out(ier, 0x12);
  CHECK_EQUAL(port.in(rbr), 0x34);
  CHECK_EQUAL(port.in(ier), 0x12);
  port.out(lcr, 0x03);
  CHECK_EQUAL(port.in(ier), 0x05);
  CHECK_EQUAL(port.terminal.text(), "");
}

TEST("keeps a scratch register and the writable bits of IER and MCR only") {
  Port port;
  port.out(scr, 0xa5);
  port.out(ier, 0xff);
  port.out(mcr, 0xff);
  CHECK_EQUAL(port.in(scr), 0xa5);
  CHECK_EQUAL(port.in(ier), 0x0f);
  CHECK_EQUAL(port.in(mcr), 0x1f);
}

TEST("tells of FIFOs in IIR while they are enabled") {
  Port port;
  port.out(fcr, 0x01);
  CHECK_EQUAL(port.in(iir), 0xc1);
  port.out(fcr, 0x00);
  CHECK_EQUAL(port.in(iir), 0x01);
}

TEST("interrupts for data until the guest has read it all") {
  Port port;
  port.out(ier, 0x01);
  CHECK_EQUAL(port.line.level, false);
  port.type("ab");
  CHECK_EQUAL(port.line.level, true);
  CHECK_EQUAL(port.in(iir), 0x04);
  port.in(rbr);
  CHECK_EQUAL(port.line.level, true);
  port.in(rbr);
  CHECK_EQUAL(port.line.level, false);
  CHECK_EQUAL(port.in(iir), 0x01);
}

TEST("calls a FIFO below its trigger level a character timeout") {
  for (const auto& [level, control] : {std::pair{1, 0x01}, {4, 0x41}, {8, 0x81}, {14, 0xc1}}) {
    Port port;
    port.out(fcr, static_cast<uint8_t>(control));
    port.out(ier, 0x01);
    port.type(std::string(static_cast<size_t>(level), 'x'));
    CHECK_EQUAL(port.in(iir), 0xc4);
    port.in(rbr);
    CHECK_EQUAL(port.in(iir), level == 1 ? 0xc1 : 0xcc);
  }
}

TEST("interrupts when the transmitter interrupt is enabled, and takes it back when IIR shows it") {
  Port port;
  port.out(ier, 0x02);
  CHECK_EQUAL(port.line.level, true);
  CHECK_EQUAL(port.in(iir), 0x02);
  CHECK_EQUAL(port.line.level, false);
  CHECK_EQUAL(port.in(iir), 0x01);
}

TEST("makes a new edge of the transmitter interrupt for every byte") {
  Port port;
  port.out(ier, 0x02);
  const int before = port.line.rises;
  port.out(thr, 'a');
  port.out(thr, 'b');
  CHECK_EQUAL(port.line.rises, before + 2);
  CHECK_EQUAL(port.in(iir), 0x02);
}

TEST("reports line status before data before transmitter before modem status") {
  Port port;
  port.out(mcr, 0x10);
  port.out(mcr, 0x12);  // CTS changes
  port.out(thr, 'a');
  port.out(thr, 'b');  // overruns the single register
  port.out(ier, 0x0f);
  CHECK_EQUAL(port.in(iir), 0x06);
  CHECK_EQUAL(port.in(lsr), 0x63);
  CHECK_EQUAL(port.in(iir), 0x04);
  CHECK_EQUAL(port.in(rbr), 'b');
  CHECK_EQUAL(port.in(iir), 0x02);
  CHECK_EQUAL(port.in(iir), 0x00);
  CHECK_EQUAL(port.line.level, true);
  port.in(msr);
  CHECK_EQUAL(port.in(iir), 0x01);
  CHECK_EQUAL(port.line.level, false);
}

TEST("does not take a transmitter interrupt back while IIR shows another") {
  Port port;
  port.out(ier, 0x03);
  port.type("a");
  CHECK_EQUAL(port.in(iir), 0x04);
  port.in(rbr);
  CHECK_EQUAL(port.in(iir), 0x02);
}

TEST("returns what it sends in loopback, to nobody else, and keeps the host waiting") {
  Port port;
  port.out(mcr, 0x10);
  port.type("host");
  CHECK_EQUAL(port.in(lsr), 0x60);
  port.out(thr, 'l');
  CHECK_EQUAL(port.in(lsr), 0x61);
  CHECK_EQUAL(port.in(rbr), 'l');
  CHECK_EQUAL(port.terminal.text(), "");
  port.out(mcr, 0x00);
  CHECK_EQUAL(port.in(rbr), 'h');
}

TEST("turns the modem outputs into inputs in loopback") {
  Port port;
  port.out(mcr, 0x10);
  for (const auto& [output, input] : {std::pair{0x01, 0x20}, {0x02, 0x10}, {0x04, 0x40}, {0x08, 0x80}}) {
    port.out(mcr, static_cast<uint8_t>(0x10 | output));
    CHECK_EQUAL(port.in(msr)&0xf0, input);
  }
}

TEST("remembers which modem inputs changed, RI by its trailing edge only, until MSR is read") {
  Port port;
  port.out(mcr, 0x10);
  port.in(msr);
  port.out(mcr, 0x17);  // DTR, RTS, OUT1
  CHECK_EQUAL(port.in(msr), 0x73);
  CHECK_EQUAL(port.in(msr), 0x70);
  port.out(mcr, 0x10);
  CHECK_EQUAL(port.in(msr), 0x07);
}

TEST("holds sixteen looped bytes, then reports an overrun once and keeps the sixteen") {
  Port port;
  port.out(fcr, 0x01);
  port.out(mcr, 0x10);
  for (uint8_t i = 0; i < 17; i++) port.out(thr, i);
  CHECK_EQUAL(port.in(lsr), 0x63);
  CHECK_EQUAL(port.in(lsr), 0x61);
  for (uint8_t i = 0; i < 16; i++) CHECK_EQUAL(port.in(rbr), i);
  CHECK_EQUAL(port.in(lsr), 0x60);
}

TEST("empties its receiver FIFO on command") {
  Port port;
  port.out(fcr, 0x01);
  port.out(mcr, 0x10);
  port.out(thr, 'x');
  port.out(fcr, 0x03);
  CHECK_EQUAL(port.in(lsr), 0x60);
}

TEST("takes a wide access as bytes at consecutive ports") {
  Port port;
  port.uart.write(lcr, 2, 0x1f03);
  CHECK_EQUAL(readFrom(port.uart, lcr, 4), 0xf060'1f03u);
  CHECK_EQUAL(readFrom(port.uart, scr, 8), 0xffff'ffff'ffff'ff00u);
}

TEST("gives every byte to the guest in order while the host types from another thread") {
  Port port;
  port.out(fcr, 0x01);
  port.out(ier, 0x01);
  constexpr int kBytes = 50000;
  std::thread host([&] {
    for (int i = 0; i < kBytes; i++) {
      const auto byte = static_cast<uint8_t>(i);
      port.uart.receive(&byte, 1);
    }
  });
  int got = 0, wrong = 0;
  while (got < kBytes) {
    if ((port.in(lsr)&0x01) == 0) {
      std::this_thread::yield();
      continue;
    }
    wrong += port.in(rbr) != static_cast<uint8_t>(got++);
  }
  host.join();
  CHECK_EQUAL(wrong, 0);
  CHECK_EQUAL(port.in(lsr), 0x60);
}
