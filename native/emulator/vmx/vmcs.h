// The contents of a VMCS.
#pragma once

#include <cstdint>

#include "emulator/vmx/fields.h"
#include "state/archive.h"

namespace vtkit::emulator::vmx {

/** Of the regions that this model makes (IA32_VMX_BASIC). */
inline constexpr uint32_t kRevision = 0x11e57ed0;

class Vmcs {
 public:
  uint64_t get(Field field) const { return values_[slotOf(static_cast<uint32_t>(field))]; }
  void set(Field field, uint64_t value) {
    const auto encoding = static_cast<uint32_t>(field);
    constexpr uint64_t kMasks[] = {0xffff, ~uint64_t{0}, 0xffffffff, ~uint64_t{0}};
    values_[slotOf(encoding)] = value & kMasks[widthOf(encoding)];
  }

  void visit(state::Archive& archive);

  bool launched = false;
  bool shadow = false;

 private:
  static constexpr unsigned kIndices = 32;
  static constexpr unsigned slotOf(uint32_t encoding) {
    return (widthOf(encoding) << 2 | typeOf(encoding)) * kIndices + (indexOf(encoding) & (kIndices - 1));
  }
  uint64_t values_[16 * kIndices] = {};
};

/** Whether an encoding names a field; the odd ones are the upper halves of 64-bit fields. */
bool isField(uint64_t encoding);

}  // namespace vtkit::emulator::vmx
