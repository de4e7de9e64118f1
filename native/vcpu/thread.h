// The thread of one vCPU: takes commands from the cell, runs the processor, hands exits over.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "vcpu/processor.h"

namespace vtkit::vcpu {

/**
 * One thread for the whole life of a vCPU (a change of the thread that enters KVM_RUN costs an RCU grace period).
 *
 * The hand-off is a word in shared memory: both sides spin for a moment, then sleep. Whoever sleeps says so in the
 * cell first and looks once more, so that no wake-up is lost.
 */
class Thread final : private Outside {
 public:
  using Notify = std::function<void()>;

  /**
   * `waitsInHalt`: HLT with interrupts enabled sleeps until an interrupt comes. Without it HLT always stops the vCPU.
   */
  Thread(Cell& cell, std::unique_ptr<Processor> processor, bool waitsInHalt, Notify notify);
  ~Thread();

  Processor& processor() { return *processor_; }

  /** A command was posted while the thread slept, or before there was one. On the thread that posts commands. */
  void wake();
  /** Asks a running vCPU to stop; no effect on one that is stopped. */
  void requestStop();
  /** The interrupt line changed, or an NMI waits: a running or halted processor has to look. */
  void interruptChanged();
  /** Waits until the vCPU exits or stops. False on timeout. */
  bool waitForExit(uint32_t milliseconds);
  /** Asks the thread to end, whatever it does: one processor of a machine may wait in the run of another. */
  void requestQuit();
  /** Waits for the end of the thread. Idempotent. */
  void quit();

 private:
  void loop();
  void notifyThread();
  ExitKind runOnce();
  Command waitForCommand();
  void publish(Phase phase);
  /** False if somebody asked the vCPU to stop. */
  bool waitForInterrupt();

  Continuation deliver() override;
  bool stopRequested() override;
  bool waitsInHalt() override { return waitsInHalt_; }

  Cell& cell_;
  std::unique_ptr<Processor> processor_;
  const bool waitsInHalt_;
  const Notify notify_;

  std::mutex mutex_;
  std::condition_variable wake_;       // the thread sleeps here: for a command, or halted
  std::condition_variable published_;  // waitForExit sleeps here
  std::atomic<bool> quit_{false};
  bool halted_ = false;  // in HLT with interrupts enabled: the processor goes on only with an interrupt
  std::thread thread_;   // last: starts when all else is ready
};

}  // namespace vtkit::vcpu
