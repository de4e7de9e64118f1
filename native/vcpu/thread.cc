// The thread of one vCPU.
#include "vcpu/thread.h"

#include <immintrin.h>
#include <pthread.h>

#include <chrono>
#include <csignal>
#include <cstring>

#include "os/error.h"

namespace vtkit::vcpu {

namespace {

// Long enough to bridge the time in which JavaScript answers an exit, short enough not to be seen as load.
constexpr auto kSpin = std::chrono::microseconds(100);

constexpr uint64_t kInterruptFlag = 0x200;  // RFLAGS.IF

// On a host of one processor who polls keeps the other side from running.
const bool alone = std::thread::hardware_concurrency() == 1;

template <typename Ready>
bool spinUntil(Ready ready) {
  if (alone) return ready();
  const auto end = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 64; i++) {
      if (ready()) return true;
      _mm_pause();
    }
  } while (std::chrono::steady_clock::now() < end);
  return false;
}

}  // namespace

Thread::Thread(Cell& cell, std::unique_ptr<Processor> processor, bool waitsInHalt, Notify notify)
    : cell_(cell), processor_(std::move(processor)), waitsInHalt_(waitsInHalt), notify_(std::move(notify)) {
  cell_.threadSleeps.store(1);  // until the first command: wake() starts it
}

Thread::~Thread() { quit(); }

void Thread::wake() {
  if (thread_.joinable()) {
    notifyThread();
    return;
  }
  // Signals belong to the threads of the process that expect them; a new thread inherits the mask.
  sigset_t all, old;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  thread_ = std::thread([this] { loop(); });
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
}

void Thread::notifyThread() {
  const std::lock_guard<std::mutex> lock(mutex_);
  wake_.notify_all();
}

void Thread::requestStop() {
  cell_.stopRequested.store(1);
  processor_->kick();
  notifyThread();
}

void Thread::interruptChanged() {
  processor_->kick();
  notifyThread();
}

bool Thread::waitForExit(uint32_t milliseconds) {
  std::unique_lock<std::mutex> lock(mutex_);
  cell_.readerSleeps.store(2);
  const bool done = published_.wait_for(lock, std::chrono::milliseconds(milliseconds),
                                        [this] { return cell_.phase.load() != Phase::running; });
  cell_.readerSleeps.store(0);
  return done;
}

void Thread::requestQuit() {
  quit_.store(true);
  requestStop();
}

void Thread::quit() {
  requestQuit();
  if (thread_.joinable()) thread_.join();
}

void Thread::loop() {
  cell_.threadSleeps.store(0);
  while (waitForCommand() != Command::none) {
    ExitKind kind;
    try {
      kind = runOnce();
    } catch (const os::SystemError& error) {
      kind = ExitKind::failed;
      cell_.exit.reason = static_cast<uint32_t>(error.error);
      std::strncpy(reinterpret_cast<char*>(cell_.exit.data), error.operation.c_str(), kExitDataBytes - 1);
    }
    cell_.exit.kind = kind;
    cell_.exitCounts[static_cast<uint32_t>(kind)]++;
    publish(Phase::stopped);
  }
}

ExitKind Thread::runOnce() {
  if (cell_.regsDirty != 0) {
    processor_->storeRegs();
    cell_.regsDirty = 0;
    halted_ = false;  // who moves a halted processor's registers wants it to go on
  }
  for (;;) {
    if (halted_ && !waitForInterrupt()) return ExitKind::interrupted;
    halted_ = false;
    const ExitKind kind = processor_->run(*this);
    const bool interruptible = (cell_.regs.rflags & kInterruptFlag) != 0;
    if (kind != ExitKind::halt || !interruptible || !waitsInHalt_) return kind;
    halted_ = true;
    cell_.exitCounts[static_cast<uint32_t>(kind)]++;
  }
}

bool Thread::waitForInterrupt() {
  std::unique_lock<std::mutex> lock(mutex_);
  wake_.wait(lock, [this] { return stopRequested() || processor_->interruptWaits(); });
  return !stopRequested();
}

Command Thread::waitForCommand() {
  const auto posted = [this] { return quit_.load() || cell_.command.load() != Command::none; };
  if (!spinUntil(posted)) {
    std::unique_lock<std::mutex> lock(mutex_);
    cell_.threadSleeps.store(1);
    wake_.wait(lock, posted);
    cell_.threadSleeps.store(0);
  }
  return quit_.load() ? Command::none : cell_.command.exchange(Command::none);
}

void Thread::publish(Phase phase) {
  cell_.phase.store(phase);
  const uint32_t sleeps = cell_.readerSleeps.load();
  if (sleeps == 0) return;
  if (sleeps == 1 && cell_.readerSleeps.exchange(0) == 1) notify_();
  const std::lock_guard<std::mutex> lock(mutex_);
  published_.notify_all();
}

Continuation Thread::deliver() {
  cell_.exitCounts[static_cast<uint32_t>(cell_.exit.kind)]++;
  publish(Phase::exited);
  switch (waitForCommand()) {
    case Command::run:
      return Continuation::resume;
    case Command::complete:
      return Continuation::complete;
    default:
      return Continuation::quit;
  }
}

bool Thread::stopRequested() { return cell_.stopRequested.load() != 0; }

}  // namespace vtkit::vcpu
