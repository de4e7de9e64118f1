// Which encodings name fields, and a VMCS as a part of a state.
#include "emulator/vmx/vmcs.h"

namespace vtkit::emulator::vmx {

namespace {

// By index, one word for each width and type: the bits of those that there are.
struct Known {
  uint32_t types[16] = {};
  constexpr Known() {
    for (const Field field : kFields) {
      const auto encoding = static_cast<uint32_t>(field);
      types[widthOf(encoding) << 2 | typeOf(encoding)] |= 1u << indexOf(encoding);
    }
  }
};
constexpr Known kKnown;

}  // namespace

void Vmcs::visit(state::Archive& archive) {
  for (const Field field : kFields) {
    uint64_t content = get(field);
    archive.value(content);
    set(field, content);
  }
  archive.value(launched);
  archive.value(shadow);
}

bool isField(uint64_t encoding) {
  constexpr uint64_t kReserved = ~uint64_t{0x6fff};
  const bool high = (encoding & 1) != 0;
  const unsigned index = indexOf(encoding);
  if ((encoding & kReserved) != 0 || (high && !is64Bit(encoding)) || index >= 32) return false;
  return (kKnown.types[widthOf(encoding) << 2 | typeOf(encoding)] >> index & 1) != 0;
}

}  // namespace vtkit::emulator::vmx
