// Random VMCSs, EPT tables and lists of MSRs, entered from outside: whatever they say, the processor comes back, and
// touches only its memory.
#include <cstdio>
#include <cstdlib>
#include <random>

#include "emulator/vmx/outside.h"
#include "test/native/emulator/vmx-guest.h"

using namespace vtkit;
using namespace vtkit::test;
namespace vmx = vtkit::emulator::vmx;

namespace {

constexpr uint64_t kEpt = 0x30000, kLists = 0x38000, kPages = 0x40000;
constexpr unsigned kTables = 4;

using Random = std::mt19937_64;

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

}  // namespace

TEST("random VMCSs are refused, fail or run, and always come back") {
  const char* wanted = std::getenv("FUZZ_VMCS");
  const unsigned rounds = wanted == nullptr ? 4000 : static_cast<unsigned>(std::atoi(wanted));
  Random random(1);
  unsigned refused = 0, failed = 0, left = 0, other = 0;
  std::unique_ptr<VmxGuest> guest;
  vcpu::VmcsField fields[vmx::kFieldCount], fresh[vmx::kFieldCount];
  for (unsigned round = 0; round < rounds; round++) {
    if (round % 64 == 0) {
      guest = std::make_unique<VmxGuest>();
      fillTables(*guest, random);
      vmx::getFields(guest->processor->cpu(), fresh);
      guest->processor->cpu().vmx.on = false;  // the hypervisor in the guest gives up its place
    }
    emulator::Cpu& cpu = guest->processor->cpu();
    for (const vcpu::VmcsField& field : fresh) cpu.vmx.vmcs.set(static_cast<Field>(field.encoding), field.value);
    prepare(*guest, random);
    vmx::getFields(cpu, fields);
    for (uint64_t i = random() % 4; i > 0; i--) {
      vcpu::VmcsField& field = fields[random() % vmx::kFieldCount];
      field.value = mutated(random, field.value);
    }
    for (unsigned i = 0; i < 32; i++) guest->put<uint64_t>(VmxGuest::kGuestCode + 8 * i, random());
    for (vcpu::VmcsField& field : fields) {
      if (static_cast<Field>(field.encoding) == Field::guestRip) field.value = VmxGuest::kGuestCode;
    }
    if (!CHECK_EQUAL(vmx::setFields(cpu, fields) == nullptr, true)) return;
    guest->platform.patience = 50;
    guest->processor->setLimit(guest->processor->instructionsRetired() + 2000);
    const Emulator::Stop stop = guest->processor->run();
    vmx::interruptFromOutside(cpu);
    if (stop != Emulator::Stop::left) {
      other++;
    } else if (guest->processor->entryError() != 0) {
      refused++;
    } else {
      (cpu.vmx.vmcs.get(Field::exitReason) >> 31 != 0 ? failed : left)++;
    }
    if (!CHECK_EQUAL(cpu.guest, false)) return;
    cpu.vmx.on = cpu.vmx.outside = false;  // behind a VMX abort too
  }
  std::printf("%u VMCSs: %u refused, %u failed entries, %u exits, %u other ends\n", rounds, refused, failed, left,
              other);
  for (const unsigned count : {refused, failed, left}) CHECK_EQUAL(count > rounds / 50, true);
}
