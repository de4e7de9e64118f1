// Accesses to device memory under a SIGBUS guard.
#include "vfio/guarded-access.h"

#include <csetjmp>
#include <csignal>
#include <mutex>

namespace vtkit::vfio {

namespace {

/** Where this thread goes on if its access faults; none outside of an access. */
thread_local sigjmp_buf* guard = nullptr;

// A signal's disposition belongs to the process, as this does; it is set once and stays.
struct sigaction previous;
std::once_flag installed;

void onBus(int signal, siginfo_t* info, void* context) {
  if (guard != nullptr) siglongjmp(*guard, 1);
  if (previous.sa_flags & SA_SIGINFO) {
    previous.sa_sigaction(signal, info, context);
    return;
  }
  if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
    previous.sa_handler(signal);
    return;
  }
  // Nobody's: the fault repeats on return, and then ends the process as it would have without us.
  sigaction(SIGBUS, &previous, nullptr);
}

void install() {
  std::call_once(installed, [] {
    struct sigaction action = {};
    action.sa_sigaction = onBus;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, &previous);
  });
}

template <typename Access>
bool guarded(Access access) {
  install();
  sigjmp_buf place;
  // SA_NODEFER leaves the signal unblocked, so its mask need not be saved: a system call less for each access.
  if (sigsetjmp(place, 0) != 0) {
    guard = nullptr;
    return false;
  }
  guard = &place;
  access();
  guard = nullptr;
  return true;
}

}  // namespace

bool guardedRead(const volatile void* address, unsigned width, uint64_t* value) {
  // Volatile: what the access read is used only where it did not jump away.
  volatile uint64_t read = 0;
  const bool answered = guarded([&read, address, width] {
    switch (width) {
      case 1:
        read = *static_cast<const volatile uint8_t*>(address);
        break;
      case 2:
        read = *static_cast<const volatile uint16_t*>(address);
        break;
      case 4:
        read = *static_cast<const volatile uint32_t*>(address);
        break;
      default:
        read = *static_cast<const volatile uint64_t*>(address);
    }
  });
  if (answered) *value = read;
  return answered;
}

bool guardedWrite(volatile void* address, unsigned width, uint64_t value) {
  return guarded([=] {
    switch (width) {
      case 1:
        *static_cast<volatile uint8_t*>(address) = static_cast<uint8_t>(value);
        break;
      case 2:
        *static_cast<volatile uint16_t*>(address) = static_cast<uint16_t>(value);
        break;
      case 4:
        *static_cast<volatile uint32_t*>(address) = static_cast<uint32_t>(value);
        break;
      default:
        *static_cast<volatile uint64_t*>(address) = value;
    }
  });
}

namespace {

// Functions of their own: where sigsetjmp is called, a compiler keeps what it needs later in memory, the loop's count
// among it.
[[gnu::noinline]] void reads(const volatile uint8_t* base, const uint32_t* offsets, uint32_t* values, size_t count) {
#pragma GCC unroll 8
  for (size_t i = 0; i < count; i++) values[i] = *reinterpret_cast<const volatile uint32_t*>(base + offsets[i]);
}

[[gnu::noinline]] void writes(volatile uint8_t* base, const uint32_t* pairs, size_t count) {
#pragma GCC unroll 8
  for (size_t i = 0; i < count; i++) *reinterpret_cast<volatile uint32_t*>(base + pairs[2 * i]) = pairs[2 * i + 1];
}

}  // namespace

// Under one guard: what it costs is no more than an access.
bool guardedReads(const volatile uint8_t* base, const uint32_t* offsets, uint32_t* values, size_t count) {
  return guarded([=] { reads(base, offsets, values, count); });
}

bool guardedWrites(volatile uint8_t* base, const uint32_t* pairs, size_t count) {
  return guarded([=] { writes(base, pairs, count); });
}

}  // namespace vtkit::vfio
