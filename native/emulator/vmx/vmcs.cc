// Which encodings name fields, and a VMCS as a part of a state.
#include "emulator/vmx/vmcs.h"

#include <algorithm>
#include <iterator>

namespace vtkit::emulator::vmx {

void Vmcs::visit(state::Archive& archive) {
  for (const Field field : kFields) {
    uint64_t content = get(field);
    archive.value(content);
    if (archive.reads()) set(field, content);
  }
  archive.value(launched);
  archive.value(shadow);
}

bool isField(uint64_t encoding) {
  const bool high = (encoding & 1) != 0;
  if (encoding >> 15 != 0 || (high && !is64Bit(encoding))) return false;
  const auto base = static_cast<Field>(encoding & ~uint64_t{1});
  return std::find(std::begin(kFields), std::end(kFields), base) != std::end(kFields);
}

}  // namespace vtkit::emulator::vmx
