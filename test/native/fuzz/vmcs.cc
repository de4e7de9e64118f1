// Random VMCSs, EPT tables and lists of MSRs, entered from outside: whatever they say, the processor comes back, and
// touches only its memory.
#define VTKIT_OWN_MAIN  // not that of sentences

#include <algorithm>
#include <iterator>

#include "emulator/vmx/outside.h"
#include "test/native/emulator/vmx-guest.h"
#include "test/native/fuzz/fuzz.h"

using namespace vtkit;
using namespace vtkit::test;
namespace vmx = vtkit::emulator::vmx;

namespace {

constexpr uint64_t kEpt = 0x30000, kLists = 0x38000, kPages = 0x40000;
constexpr unsigned kTables = 4;

/** Something that is near what a field had, or that makes a difference somewhere. */
uint64_t mutated(Random& random, uint64_t value) {
  switch (random() % 6) {
    case 0:
      return value ^ uint64_t { 1 } << random() % 64;
    case 1:
      return random() & 0xfff;
    case 2:
      return kPages + (random() % 64) * 4096;
    case 3:
      return random();
    case 4:
      return ~uint64_t{0};
    default:
      return value + 1;
  }
}

/** Tables of which most entries lead somewhere, and some nowhere or wrong. */
void fillTables(VmxGuest& guest, Random& random) {
  for (unsigned level = 0; level < kTables; level++) {
    for (unsigned i = 0; i < 512; i++) {
      const uint64_t address = level + 1 < kTables && random() % 8 != 0 ? kEpt + 4096 * (level + 1) : i * 4096;
      const uint64_t type = level + 1 < kTables ? 0 : 6u << 3;
      const uint64_t wrong = random() % 64 == 0 ? uint64_t{1} << random() % 64 : 0;
      guest.put<uint64_t>(kEpt + 4096 * level + 8 * i,
                          (address | type | (random() % 16 == 0 ? random() % 8 : 7)) ^ wrong);
    }
  }
  static constexpr uint32_t kMsrs[] = {0x10,  0x1b,       0x174,      0x277,      0x480,
                                       0x808, 0xc0000080, 0xc0000100, 0xc0000103, 0x12345};
  for (unsigned i = 0; i < 64; i++) {
    guest.put<uint64_t>(kLists + 16 * i,
                        kMsrs[random() % std::size(kMsrs)] | (random() % 16 == 0 ? random() << 32 : 0));
    guest.put<uint64_t>(kLists + 16 * i + 8, random() % 2 == 0 ? random() : 0);
  }
}

void prepare(VmxGuest& guest, Random& random) {
  using namespace vmx;
  guest.control(Field::primaryControls,
                random() & (primary::kActivateSecondaryControls | primary::kHltExiting | primary::kUseTprShadow |
                            primary::kMonitorTrapFlag | primary::kUseMsrBitmaps | primary::kUseIoBitmaps));
  guest.field(Field::secondaryControls, random() & random() & 0x037fffff);
  guest.field(Field::eptPointer, kEpt | 0x1e | (random() % 2) << 6);
  for (const Field page : {Field::ioBitmapA, Field::ioBitmapB, Field::msrBitmap, Field::virtualApicAddress,
                           Field::apicAccessAddress, Field::pmlAddress, Field::vmreadBitmap, Field::vmwriteBitmap,
                           Field::virtualizationExceptionAddress, Field::eptpListAddress}) {
    guest.field(page, kPages + (random() % 64) * 4096);
  }
  guest.field(Field::virtualProcessorIdentifier, 1);
  guest.field(Field::tscMultiplier, random());
  guest.field(Field::pmlIndex, random() % 520);
  for (const Field list : {Field::entryMsrLoadAddress, Field::exitMsrLoadAddress, Field::exitMsrStoreAddress}) {
    guest.field(list, kLists);
  }
  if (random() % 4 == 0) guest.field(Field::entryMsrLoadCount, random() % 8);
  if (random() % 4 == 0) guest.field(Field::exitMsrStoreCount, random() % 8);
  if (random() % 8 == 0) guest.field(Field::exitMsrLoadCount, random() % 8);
}

/** One case is one machine with one set of tables, and 64 VMCSs in it; or some VMLAUNCHs inside a machine each. */
class Vmcss final : public Fuzzer {
 public:
  static constexpr unsigned kEntries = 64, kLaunches = 16;

  const char* name() const override { return "vmcs"; }

  /** The seed: nothing else decides what a case is. */
  Input make(uint64_t seed) override {
    Input input(sizeof(seed));
    std::memcpy(input.data(), &seed, sizeof(seed));
    return input;
  }

  const char* run(const Input& input) override {
    uint64_t seed = 0;
    std::memcpy(&seed, input.data(), std::min(input.size(), sizeof(seed)));
    Random random(seed);
    if (seed % 4 == 0) {
      for (unsigned i = 0; i < kLaunches; i++) launch(random);
      return nullptr;
    }
    VmxGuest guest;
    fillTables(guest, random);
    vcpu::VmcsField fresh[vmx::kFieldCount];
    vmx::getFields(guest.processor->cpu(), fresh);
    guest.processor->cpu().vmx.on = false;  // the hypervisor in the guest gives up its place
    for (unsigned i = 0; i < kEntries; i++) {
      if (const char* wrong = enter(guest, random, fresh)) return wrong;
    }
    return nullptr;
  }

  bool summary() override {
    std::printf("vmcs: %llu entries refused, %llu failed, %llu exits, %llu other ends; %llu launches\n",
                static_cast<unsigned long long>(refused_), static_cast<unsigned long long>(failed_),
                static_cast<unsigned long long>(left_), static_cast<unsigned long long>(other_),
                static_cast<unsigned long long>(launched_));
    const uint64_t all = refused_ + failed_ + left_ + other_;
    return refused_ > all / 50 && failed_ > all / 50 && left_ > all / 50;
  }

 private:
  /** The hypervisor is in the guest, and goes on wherever the exit loads. */
  void launch(Random& random) {
    VmxGuest guest;
    fillTables(guest, random);
    if (random() % 2 == 0) prepare(guest, random);
    for (uint64_t i = random() % 6; i > 0; i--) {
      const Field field = vmx::kFields[random() % vmx::kFieldCount];
      guest.field(field, mutated(random, guest.field(field)));
    }
    guest.platform.patience = 50;
    guest.processor->setLimit(guest.processor->instructionsRetired() + 2000);
    guest.enter("\x0f\xa2\xf4");
    launched_++;
  }

  const char* enter(VmxGuest& guest, Random& random, const vcpu::VmcsField* fresh) {
    vcpu::VmcsField fields[vmx::kFieldCount];
    emulator::Cpu& cpu = guest.processor->cpu();
    for (unsigned i = 0; i < vmx::kFieldCount; i++) {
      cpu.vmx.vmcs.set(static_cast<Field>(fresh[i].encoding), fresh[i].value);
    }
    prepare(guest, random);
    vmx::getFields(cpu, fields);
    for (uint64_t i = random() % 4; i > 0; i--) {
      vcpu::VmcsField& field = fields[random() % vmx::kFieldCount];
      field.value = mutated(random, field.value);
    }
    for (unsigned i = 0; i < 32; i++) guest.put<uint64_t>(VmxGuest::kGuestCode + 8 * i, random());
    for (vcpu::VmcsField& field : fields) {
      if (static_cast<Field>(field.encoding) == Field::guestRip) field.value = VmxGuest::kGuestCode;
    }
    if (const char* why = vmx::setFields(cpu, fields)) return why;
    guest.platform.patience = 50;
    guest.processor->setLimit(guest.processor->instructionsRetired() + 2000);
    const Emulator::Stop stop = guest.processor->run();
    vmx::interruptFromOutside(cpu);
    if (stop != Emulator::Stop::left) {
      other_++;
    } else if (guest.processor->entryError() != 0) {
      refused_++;
    } else {
      (cpu.vmx.vmcs.get(Field::exitReason) >> 31 != 0 ? failed_ : left_)++;
    }
    if (cpu.guest) return "the processor did not come back";
    cpu.vmx.on = cpu.vmx.outside = false;  // behind a VMX abort too
    return nullptr;
  }

  uint64_t refused_ = 0, failed_ = 0, left_ = 0, other_ = 0, launched_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  constexpr uint64_t kCasesOfTestRun = 64;
  Vmcss vmcss;
  return fuzz(vmcss, kCasesOfTestRun, argc, argv);
}
