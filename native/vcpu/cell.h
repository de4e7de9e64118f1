// The page that a vCPU shares with JavaScript: who runs, the exit to be answered, the registers.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "vcpu/state.h"

namespace vtkit::vcpu {

/** Where a vCPU is. JavaScript moves stopped or exited to running; the vCPU's thread does the rest. */
enum class Phase : uint32_t {
  stopped = 0,  // between two instructions: registers are valid and may be changed
  running = 1,
  exited = 2,  // inside an instruction: waits for the answer to `exit`
};

/** What JavaScript asks of a vCPU's thread. */
enum class Command : uint32_t {
  none = 0,
  run = 1,
  complete = 2,  // finish the instruction of the pending exit, then stop
};

/** Why a vCPU exited or stopped. src/machine/exits.ts has one row for each. */
enum class ExitKind : uint32_t {
  none = 0,
  // Phase::exited: part of an instruction, to be answered.
  ioIn = 1,
  ioOut = 2,
  mmioRead = 3,
  mmioWrite = 4,
  hypercall = 5,
  // Phase::stopped.
  halt = 16,
  shutdown = 17,
  debug = 18,
  failedEntry = 19,
  internalError = 20,
  systemEvent = 21,
  interrupted = 22,  // somebody asked for it
  completed = 23,    // the answer to Command::complete
  unknownInstruction = 24,
  unsupported = 25,  // an exit that vtkit has no name for: `reason` is the engine's number
  failed = 26,       // a system call failed: `reason` is the errno, `data` the operation's name
  vmExit = 27,       // of a VM entry from outside; `reason` is the VM-instruction error of one that failed, or 0
};

inline constexpr size_t kExitDataBytes = 4096;  // one page: the most that KVM transfers in one string I/O exit

struct ExitRecord {
  ExitKind kind;
  uint32_t size;   // bytes of one item
  uint32_t count;  // items; over 1 for string I/O only
  uint32_t reason;
  uint64_t address;  // port or guest-physical address
  uint64_t rip;      // as the engine reports it at the exit: of the instruction or the one after it
  uint64_t detail[4];
  uint8_t data[kExitDataBytes];
};

struct Cell {
  // Written by the vCPU's thread.
  alignas(64) std::atomic<Phase> phase;
  std::atomic<uint32_t> threadSleeps;  // JavaScript must call wake() after posting a command
  // Written by JavaScript.
  alignas(64) std::atomic<Command> command;
  std::atomic<uint32_t> readerSleeps;  // JavaScript left its polling loop: the thread must notify it
  std::atomic<uint32_t> stopRequested;
  uint32_t regsDirty;                   // JavaScript changed `regs`
  alignas(64) uint64_t exitCounts[32];  // by ExitKind, those that devices in C++ answered included
  uint64_t instructions;                // retired, where the engine counts them
  alignas(64) Regs regs;
  alignas(64) Sregs sregs;
  alignas(64) ExitRecord exit;
};

}  // namespace vtkit::vcpu
