// The JavaScript object that holds a machine: converts arguments, and ends the machine with its environment.
#pragma once

#include <napi.h>

#include <atomic>
#include <memory>

#include "machine/machine.h"

namespace vtkit::napi {

class Machine final : public Napi::ObjectWrap<Machine> {
 public:
  static void init(Napi::Env env, Napi::Object exports);

  explicit Machine(const Napi::CallbackInfo& info);
  ~Machine() override;

 private:
  using Info = const Napi::CallbackInfo&;

  // Life and wake-ups
  void close(Info info);
  void ref(Info info);
  void unref(Info info);
  Napi::Value ring(Info info);
  void drained(Info info);
  Napi::Value eventsPending(Info info);

  // Memory
  void addMemory(Info info);
  void removeMemory(Info info);
  Napi::Value readMemory(Info info);
  Napi::Value writeMemory(Info info);
  Napi::Value viewMemory(Info info);
  Napi::Value dirtyLog(Info info);

  // Board
  void setDefault(Info info);
  void setTracing(Info info);
  void mapOutside(Info info);
  void unmap(Info info);
  void addPc(Info info);
  Napi::Value nanoseconds(Info info);
  Napi::Value access(Info info);
  Napi::Value acknowledge(Info info);
  Napi::Value interruptAsserted(Info info);
  void advance(Info info);
  Napi::Value nextEvent(Info info);
  void addFirmware(Info info);
  Napi::Value wakeMoment(Info info);
  void wakeUp(Info info);
  void addUart(Info info);
  void receive(Info info);
  void setIrqLine(Info info);
  void connectIrqfd(Info info);
  void connectIoeventfd(Info info);

  // Messages, and devices that the host gives
  void setMsiRoute(Info info);
  void signalMsi(Info info);
  void attachVfio(Info info);
  void addDeviceMemory(Info info);
  void removeDeviceMemory(Info info);
  void hideMemory(Info info);
  void addWindow(Info info);
  void removeWindow(Info info);
  void mapForDma(Info info);

  // vCPUs
  Napi::Value createVcpu(Info info);
  void wake(Info info);
  void stop(Info info);
  Napi::Value waitForExit(Info info);
  void loadSregs(Info info);
  void storeSregs(Info info);
  Napi::Value stateBytes(Info info);
  void getState(Info info);
  void setState(Info info);
  Napi::Value getMsrs(Info info);
  Napi::Value setMsrs(Info info);
  Napi::Value getCpuid(Info info);
  void setCpuid(Info info);
  Napi::Value interrupt(Info info);
  void nmi(Info info);
  void setSingleStep(Info info);
  void setBreakpointExits(Info info);

  // State, and how far the machine has come
  Napi::Value saveState(Info info);
  Napi::Value loadState(Info info);
  Napi::Value usedPages(Info info);
  void setPages(Info info);
  void forget(Info info);
  void storeRegs(Info info);
  Napi::Value pause(Info info);
  Napi::Value pauseAt(Info info);
  Napi::Value traceInstructions(Info info);
  void scheduleInput(Info info);
  void clearInput(Info info);

  machine::Machine& open();
  vcpu::Thread& vcpuOf(Info info);
  void end();
  void notify();
  static void endWithEnvironment(void* self);

  Napi::ThreadSafeFunction onWake_;
  std::shared_ptr<std::atomic<bool>> notified_ = std::make_shared<std::atomic<bool>>(false);
  std::unique_ptr<machine::Machine> machine_;
  struct Board;  // the devices that JavaScript still talks to
  std::unique_ptr<Board> devices_;
  bool hooked_ = false;
};

}  // namespace vtkit::napi
