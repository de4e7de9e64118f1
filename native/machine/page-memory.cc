// The one mapping that is kept, of all that snapshots let go.
#include "machine/page-memory.h"

#include <algorithm>
#include <mutex>

namespace vtkit::machine {

namespace {

constexpr size_t kSmallest = size_t{2} << 20, kMostKept = size_t{128} << 20;

// Never destroyed: V8 may let memory go when the process ends already.
std::mutex& spareLock = *new std::mutex;
os::Mapping& spare = *new os::Mapping;

/** The one kept if it is large enough, and not so large that most of it would lie idle; or an empty one. */
os::Mapping takeSpare(size_t bytes) {
  const std::lock_guard<std::mutex> guard(spareLock);
  return spare.bytes() >= bytes && spare.bytes() / 2 <= bytes ? std::move(spare) : os::Mapping();
}

void letGo(os::Mapping* mapping) {
  const std::unique_ptr<os::Mapping> gone(mapping);
  if (gone->bytes() > kMostKept) return;
  const std::lock_guard<std::mutex> guard(spareLock);
  if (gone->bytes() >= spare.bytes()) std::swap(spare, *gone);
}

}  // namespace

std::shared_ptr<os::Mapping> pageMemory(size_t bytes) {
  const size_t wanted = std::max(bytes, kSmallest);
  os::Mapping mapping = takeSpare(wanted);
  if (mapping.data() == nullptr) mapping = os::Mapping::anonymous(wanted).inHugePages();
  return {new os::Mapping(std::move(mapping)), letGo};
}

}  // namespace vtkit::machine
