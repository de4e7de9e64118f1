// Offsets of the shared structures, exported so that src/machine reads them where C++ put them.
#include "napi/layout.h"

#include <cstddef>

#include "bus/outbox.h"
#include "vcpu/cell.h"

namespace vtkit::napi {

Napi::Object layout(Napi::Env env) {
  using bus::Record;
  using bus::Ring;
  using vcpu::Cell;
  using vcpu::ExitRecord;
  const struct {
    const char* name;
    size_t value;
  } rows[] = {
      {"phase", offsetof(Cell, phase)},
      {"threadSleeps", offsetof(Cell, threadSleeps)},
      {"command", offsetof(Cell, command)},
      {"readerSleeps", offsetof(Cell, readerSleeps)},
      {"stopRequested", offsetof(Cell, stopRequested)},
      {"regsDirty", offsetof(Cell, regsDirty)},
      {"exitCounts", offsetof(Cell, exitCounts)},
      {"instructions", offsetof(Cell, instructions)},
      {"regs", offsetof(Cell, regs)},
      {"sregs", offsetof(Cell, sregs)},
      {"exitKind", offsetof(Cell, exit) + offsetof(ExitRecord, kind)},
      {"exitSize", offsetof(Cell, exit) + offsetof(ExitRecord, size)},
      {"exitCount", offsetof(Cell, exit) + offsetof(ExitRecord, count)},
      {"exitReason", offsetof(Cell, exit) + offsetof(ExitRecord, reason)},
      {"exitAddress", offsetof(Cell, exit) + offsetof(ExitRecord, address)},
      {"exitRip", offsetof(Cell, exit) + offsetof(ExitRecord, rip)},
      {"exitDetail", offsetof(Cell, exit) + offsetof(ExitRecord, detail)},
      {"exitData", offsetof(Cell, exit) + offsetof(ExitRecord, data)},
      {"cellBytes", sizeof(Cell)},
      {"ringHead", offsetof(Ring, head)},
      {"ringTail", offsetof(Ring, tail)},
      {"ringProducerWaits", offsetof(Ring, producerWaits)},
      {"ringRecords", offsetof(Ring, records)},
      {"ringCapacity", Ring::kRecords},
      {"recordBytes", sizeof(Record)},
  };
  Napi::Object result = Napi::Object::New(env);
  for (const auto& row : rows) result.Set(row.name, static_cast<double>(row.value));
  return result;
}

}  // namespace vtkit::napi
