// The run loop of a KVM vCPU.
#include "kvm/vcpu.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "os/error.h"
#include "os/ioctl.h"

namespace vtkit::kvm {

using vcpu::Continuation;
using vcpu::ExitKind;

namespace {

// Interrupts KVM_RUN. Blocked in vCPU threads except inside KVM_RUN (KVM_SET_SIGNAL_MASK), so it needs no handler.
int kickSignal() { return SIGRTMIN; }

void setKickMask(const os::Fd& fd) {
  struct {
    uint32_t len;       // kvm_signal_mask, which ends in an array:
    uint8_t sigset[8];  // the kernel's own set, shorter than the C library's
  } mask = {sizeof(mask.sigset), {}};
  const uint64_t blocked = ~(uint64_t{1} << (kickSignal() - 1));
  std::memcpy(mask.sigset, &blocked, sizeof(blocked));
  os::ioctl(fd, KVM_SET_SIGNAL_MASK, "KVM_SET_SIGNAL_MASK", &mask);
}

void drainKickSignal() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, kickSignal());
  const timespec now = {0, 0};
  while (sigtimedwait(&set, nullptr, &now) > 0) {
  }
}

}  // namespace

Vcpu::Vcpu(os::Fd fd, size_t runBytes, vcpu::Cell& cell, machine::Board& board, bool kernelIrqchip)
    : fd_(std::move(fd)),
      mapping_(os::Mapping::shared(fd_, runBytes)),
      run_(reinterpret_cast<kvm_run*>(mapping_.data())),
      cell_(cell),
      board_(board),
      kernelIrqchip_(kernelIrqchip) {
  setKickMask(fd_);
  run_->kvm_valid_regs = KVM_SYNC_X86_REGS;
  loadRegs();
}

void Vcpu::kick() noexcept {
  __atomic_store_n(&run_->immediate_exit, 1, __ATOMIC_SEQ_CST);
  const int thread = thread_.load();
  if (thread != 0) ::syscall(SYS_tgkill, ::getpid(), thread, kickSignal());
}

ExitKind Vcpu::run(vcpu::Outside& outside) {
  thread_.store(static_cast<int>(::syscall(SYS_gettid)));
  nmiQueued_.store(false);
  bool completing = false;
  if (stepping_) armSingleStep();
  for (;;) {
    const bool leave = completing || outside.stopRequested();
    __atomic_store_n(&run_->immediate_exit, leave ? 1 : 0, __ATOMIC_SEQ_CST);
    // A stop that was asked for between the two lines above left its signal pending: KVM_RUN returns at once.
    if (!kernelIrqchip_ && !leave) injectInterrupt();

    if (::ioctl(fd_.get(), KVM_RUN, 0) < 0) {
      if (errno != EINTR && errno != EAGAIN) throw os::SystemError(errno, "KVM_RUN");
      drainKickSignal();
      if (!leave) continue;
      syncRegsToCell();
      return completing ? ExitKind::completed : ExitKind::interrupted;
    }

    const ExitKind kind = describeExit();
    if (kind == ExitKind::none) continue;
    if (kind >= ExitKind::halt) {
      syncRegsToCell();
      return kind;
    }
    if (!board_.answer(cell_, cell_.exit)) {
      const Continuation next = outside.deliver();
      if (next == Continuation::quit) return ExitKind::interrupted;
      completing = next == Continuation::complete;
      uint64_t value = 0;
      std::memcpy(&value, cell_.exit.data, cell_.exit.size <= 8 ? cell_.exit.size : 8);
      board_.trace(cell_.exit, kind, value);
    }
    giveAnswer();
  }
}

void Vcpu::injectInterrupt() {
  bus::InterruptSource* controller = board_.interrupts();
  const bool queued = queuedVector_.load() >= 0;
  const bool asserted = queued || (controller != nullptr && controller->asserted());
  run_->request_interrupt_window = asserted ? 1 : 0;
  if (!asserted || run_->ready_for_interrupt_injection == 0 || run_->if_flag == 0) return;
  kvm_interrupt interrupt = {};
  const int vector = queued ? queuedVector_.exchange(-1) : controller->acknowledge();
  if (vector < 0) return;
  interrupt.irq = static_cast<uint32_t>(vector);
  os::ioctl(fd_, KVM_INTERRUPT, "KVM_INTERRUPT", &interrupt);
  run_->ready_for_interrupt_injection = 0;  // one at a time: KVM says when it takes the next
  run_->request_interrupt_window = controller != nullptr && controller->asserted() ? 1 : 0;
}

ExitKind Vcpu::describeExit() {
  vcpu::ExitRecord& exit = cell_.exit;
  exit.rip = run_->s.regs.regs.rip;
  exit.size = exit.count = exit.reason = 0;
  exit.address = 0;
  switch (run_->exit_reason) {
    case KVM_EXIT_IO:
      describeIo();
      return exit.kind;
    case KVM_EXIT_MMIO:
      describeMmio();
      return exit.kind;
    case KVM_EXIT_HYPERCALL:
      exit.kind = ExitKind::hypercall;
      exit.address = run_->hypercall.nr;
      std::memcpy(exit.detail, run_->hypercall.args, sizeof(exit.detail));
      return exit.kind;
    case KVM_EXIT_IRQ_WINDOW_OPEN:
    case KVM_EXIT_INTR:
      return ExitKind::none;
    case KVM_EXIT_HLT:
      return ExitKind::halt;
    case KVM_EXIT_SHUTDOWN:
      return ExitKind::shutdown;
    case KVM_EXIT_DEBUG:
      exit.reason = run_->debug.arch.exception;
      exit.detail[0] = run_->debug.arch.pc;
      exit.detail[1] = run_->debug.arch.dr6;
      exit.detail[2] = run_->debug.arch.dr7;
      return ExitKind::debug;
    case KVM_EXIT_FAIL_ENTRY:
      exit.detail[0] = run_->fail_entry.hardware_entry_failure_reason;
      return ExitKind::failedEntry;
    case KVM_EXIT_INTERNAL_ERROR:
      exit.reason = run_->internal.suberror;
      exit.count = run_->internal.ndata;
      std::memcpy(exit.data, run_->internal.data, sizeof(run_->internal.data));
      return ExitKind::internalError;
    case KVM_EXIT_SYSTEM_EVENT:
      exit.reason = run_->system_event.type;
      exit.detail[0] = run_->system_event.ndata > 0 ? run_->system_event.data[0] : 0;
      return ExitKind::systemEvent;
    default:
      exit.reason = run_->exit_reason;
      return ExitKind::unsupported;
  }
}

void Vcpu::describeIo() {
  vcpu::ExitRecord& exit = cell_.exit;
  const bool out = run_->io.direction == KVM_EXIT_IO_OUT;
  exit.kind = out ? ExitKind::ioOut : ExitKind::ioIn;
  exit.address = run_->io.port;
  exit.size = run_->io.size;
  exit.count = run_->io.count;
  // KVM transfers at most one page; a larger count would be a kernel that breaks its own interface.
  if (size_t{exit.size} * exit.count > vcpu::kExitDataBytes) throw os::SystemError(EOVERFLOW, "KVM_RUN");
  if (out) std::memcpy(exit.data, mapping_.data() + run_->io.data_offset, size_t{exit.size} * exit.count);
}

void Vcpu::describeMmio() {
  vcpu::ExitRecord& exit = cell_.exit;
  exit.kind = run_->mmio.is_write != 0 ? ExitKind::mmioWrite : ExitKind::mmioRead;
  exit.address = run_->mmio.phys_addr;
  exit.size = run_->mmio.len;
  exit.count = 1;
  std::memcpy(exit.data, run_->mmio.data, sizeof(run_->mmio.data));
}

void Vcpu::giveAnswer() {
  const vcpu::ExitRecord& exit = cell_.exit;
  if (exit.kind == ExitKind::ioIn) {
    std::memcpy(mapping_.data() + run_->io.data_offset, exit.data, size_t{exit.size} * exit.count);
  } else if (exit.kind == ExitKind::mmioRead) {
    std::memcpy(run_->mmio.data, exit.data, sizeof(run_->mmio.data));
  } else if (exit.kind == ExitKind::hypercall) {
    std::memcpy(&run_->hypercall.ret, exit.data, sizeof(run_->hypercall.ret));
  }
}

void Vcpu::syncRegsToCell() { std::memcpy(&cell_.regs, &run_->s.regs.regs, sizeof(cell_.regs)); }

}  // namespace vtkit::kvm
