// Translations that live until the architecture ends them: a test mode (SDM Vol. 3A, 4.10; Vol. 3C, 29.4).
#pragma once

#include <map>
#include <optional>
#include <tuple>

#include "emulator/cpu.h"
#include "emulator/mappings.h"

namespace vtkit::emulator {

/** Which linear and combined mappings an operation ends. */
struct Scope {
  uint16_t firstVpid, lastVpid;
  std::optional<uint16_t> pcid = {};    // else every one
  bool globals = true;                  // global translations too
  std::optional<uint64_t> linear = {};  // the address that they translate; else every one
  bool structures = false;              // the paging-structure caches of every address
  std::optional<uint64_t> root = {};    // combined mappings of one EPTRTA; else linear mappings and combined of all

  Scope ofPcid(uint16_t number) const {
    Scope scope = *this;
    scope.pcid = number;
    return scope;
  }
  Scope butGlobals() const {
    Scope scope = *this;
    scope.globals = false;
    return scope;
  }
  Scope at(uint64_t address) const {
    Scope scope = *this;
    scope.linear = address;
    return scope;
  }
  Scope withStructures() const {
    Scope scope = *this;
    scope.structures = true;
    return scope;
  }
  Scope ofRoot(uint64_t table) const {
    Scope scope = *this;
    scope.root = table;
    return scope;
  }
};

inline constexpr Scope vpidAlone(uint16_t vpid) { return {vpid, vpid}; }

// What the processor translates for at the moment.
uint16_t vpidOf(const Cpu& cpu);
uint16_t pcidOf(const Cpu& cpu);
/** The EPTRTA: bits 51:12 of an EPT pointer. */
inline uint64_t rootOf(uint64_t eptPointer) { return eptPointer & 0x000ffffffffff000; }
inline Scope currentVpid(const Cpu& cpu) { return vpidAlone(vpidOf(cpu)); }
inline Scope currentPcid(const Cpu& cpu) { return currentVpid(cpu).ofPcid(pcidOf(cpu)); }

/** Ends none by itself, but for all at once where there are too many. */
class TranslationCache {
 public:
  static constexpr size_t kMost = 1 << 16, kMostContexts = 512;

  // Of a linear address, with the tags that the processor has now: linear mappings, or under EPT combined ones. Null,
  // or valid until something is kept or ended.
  const LinearPage* page(const Cpu& cpu, uint64_t linear) const;
  const Mappings<LinearPage>::Structure* structure(const Cpu& cpu, uint64_t linear, unsigned bits) const;
  void keep(const Cpu& cpu, uint64_t linear, const LinearPage& page);
  void keepStructure(const Cpu& cpu, uint64_t linear, unsigned bits, const Mappings<LinearPage>::Structure& structure);

  // Of a guest-physical address, under one EPTRTA.
  const Mappings<GuestPhysicalPage>* guestPhysical(uint64_t root) const;
  void keep(uint64_t root, uint64_t address, const GuestPhysicalPage& page);
  void keepStructure(uint64_t root, uint64_t address, unsigned bits,
                     const Mappings<GuestPhysicalPage>::Structure& structure);

  void end(const Scope& scope);
  /** Guest-physical and combined mappings, of one EPTRTA or all. */
  void endUnderEpt(std::optional<uint64_t> root);
  /** Guest-physical mappings of one address. */
  void endGuestPhysical(uint64_t root, uint64_t address);
  void endAll();

  size_t count() const { return count_; }
  /** How often there were too many. */
  uint64_t overflows() const { return overflows_; }

 private:
  /** VPID, PCID or kGlobal, EPTRTA or kLinear. */
  using Tag = std::tuple<uint16_t, uint16_t, uint64_t>;
  static constexpr uint16_t kGlobal = 0x1000;
  static constexpr uint64_t kLinear = ~uint64_t{0};

  static Tag tagOf(const Cpu& cpu, uint16_t pcid);
  void makeRoom();

  std::map<Tag, Mappings<LinearPage>> linear_;
  std::map<uint64_t, Mappings<GuestPhysicalPage>> guestPhysical_;  // by EPTRTA
  size_t count_ = 0;
  uint64_t overflows_ = 0;
};

/** Of a processor that keeps them; any other has none to end. */
inline void endTranslations(Cpu& cpu, const Scope& scope) {
  if (cpu.kept != nullptr) cpu.kept->end(scope);
}

}  // namespace vtkit::emulator
