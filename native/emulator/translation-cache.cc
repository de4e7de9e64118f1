// Translations that live until the architecture ends them.
#include "emulator/translation-cache.h"

#include "emulator/vmx/controls.h"

namespace vtkit::emulator {

uint16_t vpidOf(const Cpu& cpu) {
  using namespace vmx;
  if (!cpu.guest || !secondaryBased(cpu, secondary::kEnableVpid)) return 0;
  return static_cast<uint16_t>(field(cpu, Field::virtualProcessorIdentifier));
}

uint16_t pcidOf(const Cpu& cpu) { return (cpu.cr4 & kCr4Pcide) != 0 ? static_cast<uint16_t>(cpu.cr3 & 0xfff) : 0; }

TranslationCache::Tag TranslationCache::tagOf(const Cpu& cpu, uint16_t pcid) {
  return {vpidOf(cpu), pcid, cpu.ept ? rootOf(vmx::field(cpu, vmx::Field::eptPointer)) : kLinear};
}

const LinearPage* TranslationCache::page(const Cpu& cpu, uint64_t linear) const {
  for (const uint16_t pcid : {pcidOf(cpu), kGlobal}) {
    const auto mappings = linear_.find(tagOf(cpu, pcid));
    if (mappings == linear_.end()) continue;
    if (const LinearPage* page = mappings->second.page(linear)) return page;
  }
  return nullptr;
}

const Mappings<LinearPage>::Structure* TranslationCache::structure(const Cpu& cpu, uint64_t linear,
                                                                   unsigned bits) const {
  const auto mappings = linear_.find(tagOf(cpu, pcidOf(cpu)));
  return mappings == linear_.end() ? nullptr : mappings->second.structure(linear, bits);
}

/** The architecture lets a processor drop what it likes (SDM Vol. 3A, 4.10.4.1). */
void TranslationCache::makeRoom() {
  if (count_ < kMost && linear_.size() + guestPhysical_.size() < kMostContexts) return;
  endAll();
  overflows_++;
}

void TranslationCache::keep(const Cpu& cpu, uint64_t linear, const LinearPage& page) {
  makeRoom();
  Mappings<LinearPage>& mappings = linear_[tagOf(cpu, page.global ? kGlobal : pcidOf(cpu))];
  count_ -= mappings.count();
  mappings.keep(linear, page);
  count_ += mappings.count();
}

void TranslationCache::keepStructure(const Cpu& cpu, uint64_t linear, unsigned bits,
                                     const Mappings<LinearPage>::Structure& structure) {
  makeRoom();
  Mappings<LinearPage>& mappings = linear_[tagOf(cpu, pcidOf(cpu))];
  count_ -= mappings.count();
  mappings.keepStructure(linear, bits, structure);
  count_ += mappings.count();
}

const Mappings<GuestPhysicalPage>* TranslationCache::guestPhysical(uint64_t root) const {
  const auto found = guestPhysical_.find(root);
  return found == guestPhysical_.end() ? nullptr : &found->second;
}

void TranslationCache::keep(uint64_t root, uint64_t address, const GuestPhysicalPage& page) {
  makeRoom();
  Mappings<GuestPhysicalPage>& mappings = guestPhysical_[root];
  count_ -= mappings.count();
  mappings.keep(address, page);
  count_ += mappings.count();
}

void TranslationCache::keepStructure(uint64_t root, uint64_t address, unsigned bits,
                                     const Mappings<GuestPhysicalPage>::Structure& structure) {
  makeRoom();
  Mappings<GuestPhysicalPage>& mappings = guestPhysical_[root];
  count_ -= mappings.count();
  mappings.keepStructure(address, bits, structure);
  count_ += mappings.count();
}

void TranslationCache::end(const Scope& scope) {
  auto at = linear_.lower_bound({scope.firstVpid, 0, 0});
  while (at != linear_.end() && std::get<0>(at->first) <= scope.lastVpid) {
    const auto [vpid, pcid, root] = at->first;
    Mappings<LinearPage>& mappings = at->second;
    const bool ofPcid = pcid == kGlobal ? scope.globals : !scope.pcid || *scope.pcid == pcid;
    if (!ofPcid || (scope.root && *scope.root != root)) {
      ++at;
      continue;
    }
    count_ -= mappings.count();
    if (scope.linear) {
      mappings.endPages(*scope.linear);
      scope.structures ? mappings.endStructures() : mappings.endStructures(*scope.linear);
      count_ += mappings.count();
    }
    if (!scope.linear || mappings.count() == 0) {
      at = linear_.erase(at);
    } else {
      ++at;
    }
  }
}

void TranslationCache::endUnderEpt(std::optional<uint64_t> root) {
  const auto endIn = [&](auto& all, auto rootIn) {
    for (auto at = all.begin(); at != all.end();) {
      const uint64_t table = rootIn(at->first);
      const bool ends = root ? *root == table : table != kLinear;
      if (ends) count_ -= at->second.count();
      at = ends ? all.erase(at) : std::next(at);
    }
  };
  endIn(guestPhysical_, [](uint64_t table) { return table; });
  endIn(linear_, [](const Tag& tag) { return std::get<2>(tag); });
}

void TranslationCache::endGuestPhysical(uint64_t root, uint64_t address) {
  const auto found = guestPhysical_.find(root);
  if (found == guestPhysical_.end()) return;
  count_ -= found->second.count();
  found->second.endPages(address);
  found->second.endStructures(address);
  count_ += found->second.count();
  if (found->second.count() == 0) guestPhysical_.erase(found);
}

void TranslationCache::endAll() {
  linear_.clear();
  guestPhysical_.clear();
  count_ = 0;
}

}  // namespace vtkit::emulator
