// The state of an emulated processor, and the small operations that everything else is made of.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <vector>

#include "emulator/apic.h"
#include "emulator/extended-state.h"
#include "emulator/features.h"
#include "emulator/platform.h"
#include "emulator/vmx/state.h"
#include "memory/guest-memory.h"
#include "vcpu/state.h"

/** What every instruction passes through: inlined wherever the optimiser's own limits would stop it. */
#ifdef __OPTIMIZE__
#define VTKIT_HOT __attribute__((always_inline))
#else
#define VTKIT_HOT
#endif

namespace vtkit::emulator {

enum Gpr : unsigned { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, kZeroRegister = 16, kRip = 17 };
enum Seg : unsigned { ES, CS, SS, DS, FS, GS, LDTR, TR, kSegments };

// RFLAGS (SDM Vol. 1, 3.4.3)
inline constexpr uint64_t kCf = 1u << 0, kPf = 1u << 2, kAf = 1u << 4, kZf = 1u << 6, kSf = 1u << 7, kTf = 1u << 8,
                          kIf = 1u << 9, kDf = 1u << 10, kOf = 1u << 11, kIopl = 3u << 12, kNt = 1u << 14,
                          kRf = 1u << 16, kVm = 1u << 17, kAc = 1u << 18, kVif = 1u << 19, kVip = 1u << 20,
                          kId = 1u << 21;
inline constexpr uint64_t kArithmetic = kCf | kPf | kAf | kZf | kSf | kOf;

// Control registers (SDM Vol. 3A, 2.5)
inline constexpr uint64_t kCr0Pe = 1u << 0, kCr0Mp = 1u << 1, kCr0Em = 1u << 2, kCr0Ts = 1u << 3, kCr0Et = 1u << 4,
                          kCr0Ne = 1u << 5, kCr0Wp = 1u << 16, kCr0Am = 1u << 18, kCr0Nw = 1u << 29, kCr0Cd = 1u << 30,
                          kCr0Pg = 1u << 31;
inline constexpr uint64_t kCr4Vme = 1u << 0, kCr4Pvi = 1u << 1, kCr4Tsd = 1u << 2, kCr4De = 1u << 3, kCr4Pse = 1u << 4,
                          kCr4Pae = 1u << 5, kCr4Mce = 1u << 6, kCr4Pge = 1u << 7, kCr4Pce = 1u << 8,
                          kCr4Umip = 1u << 11, kCr4La57 = 1u << 12, kCr4Vmxe = 1u << 13, kCr4FsGsBase = 1u << 16,
                          kCr4Pcide = 1u << 17, kCr4Smep = 1u << 20, kCr4Smap = 1u << 21, kCr4Pke = 1u << 22,
                          kCr4Osfxsr = 1u << 9, kCr4Osxmmexcpt = 1u << 10, kCr4Osxsave = 1u << 18;
inline constexpr uint64_t kEferSce = 1u << 0, kEferLme = 1u << 8, kEferLma = 1u << 10, kEferNxe = 1u << 11;

enum Vector : uint8_t {
  kDe = 0,
  kDb = 1,
  kBp = 3,
  kOfTrap = 4,
  kBr = 5,
  kUd = 6,
  kNm = 7,
  kDf8 = 8,
  kTs = 10,
  kNp = 11,
  kSsFault = 12,
  kGp = 13,
  kPfFault = 14,
  kMf = 16,
  kAcFault = 17,
  kXm = 19,
  kVe = 20,
  kCp = 21,
};

/** What a processor is asked to look at between two instructions. */
enum Attention : uint32_t { kStop = 1, kInterrupt = 2, kNmi = 4, kInit = 8 };

/** Arithmetic flags that nobody has asked for yet: the operation's operands and result, zero-extended. */
struct LazyFlags {
  enum Kind : uint8_t {
    none,
    add,
    sub,
    logic,
    increment,  // like add and sub, with a CF that was there before
    decrement,
    given,  // CF and OF are known, AF is clear
  };
  Kind kind = none;
  uint8_t bits = 0;
  bool carry = false, overflow = false;
  uint64_t a = 0, b = 0, result = 0;
};

struct Fault {
  bool pending = false;
  uint8_t vector = 0;
  bool hasError = false;
  uint32_t error = 0;
  bool leaves = false;  // no fault: a VM exit is due (vmx/exit.h)
};

/** Half a cache line: what every access looks at. */
struct alignas(32) TlbEntry {
  // Page number << 12 | 1 for user accesses; all ones matches nothing.
  uint64_t readTag, writeTag, executeTag;
  uint64_t toHost;  // from a linear address of the page to its host address
  uint8_t* host(uint64_t linear) const { return reinterpret_cast<uint8_t*>(linear + toHost); }
};
/** The rest of an entry. */
struct TlbPage {
  uint64_t watchedTag;  // writes that somebody has to hear of: code, dirty pages
  uint64_t physical;    // of the page
};

/** What a walk of the page tables found, kept behind the TLB. */
struct Translation {
  uint64_t tag;       // page number << 12 | 1 for user accesses
  uint64_t physical;  // of the page; bit n: an access of kind n is allowed
  uint64_t flushes;   // of the TLB, when it was found
};

struct CpuidRow {
  uint32_t leaf, subleaf, flags, eax, ebx, ecx, edx;
};

struct Block;
struct Cpu;
struct MicroOp;
class Blocks;
class TranslationCache;

/** Where code goes on: a block by the linear address and the state of the processor that it was found for. */
struct Jump {
  uint64_t linear = 0, state = ~uint64_t{0};
  Block* block = nullptr;
};

struct Cpu {
  // Hot: registers by encoding, then a zero for "no register", then RIP, so that an address is three loads and a sum.
  uint64_t gpr[18];
  LazyFlags lazy;
  uint64_t rflags;  // arithmetic bits count only while lazy.kind is none
  uint64_t ipMask;
  uint64_t stackMask;
  // What an offset in a segment is added to where nothing but the TLB has to be asked; else an address that it never
  // has.
  uint64_t linearBase[8];
  uint64_t userTag;  // of the code's privilege, in the tags of the TLB
  uint8_t cpl;
  uint8_t codeBits;  // 16, 32 or 64
  uint8_t flat;      // bit per segment ES..GS: usable, writable, base 0, limit 4 GiB
  bool leaveBlock;   // decoded code changed, or a mode did: look again after this instruction
  bool shadow;       // the next instruction boundary takes no interrupt (after STI, MOV SS)
  bool shadowNext;
  uint8_t dataHits;  // data breakpoints that the instruction touched, as in DR6
  bool watchesData;  // a data breakpoint is enabled: every access is looked at
  bool watchesCode;  // an execution breakpoint is
  bool trapBlocked;  // MOV SS: no debug trap after it
  bool stepTaken;    // the instruction delivered an interrupt of its own: TF is gone
  bool singleStep;
  bool taskSwitched;     // the pending fault is the new task's: RIP is where it begins
  bool taskTraps;        // the new task's T flag
  bool stepNow;          // SYSRET: what it restores of TF traps behind it
  bool lastGuarded;      // the last translation was allowed by AC (SMAP)
  bool checksAlignment;  // CR0.AM and AC in ring 3: every access is looked at
  bool implicit;         // the access is to a system structure: SMAP looks at no AC
  Fault fault;
  uint64_t timeBase;  // what the time stamp counter has beside the instructions: time spent halted
  // Retired, with those of the running block counted when it is entered; a block that would pass the deadline is not
  // entered but returns to the run loop. Whoever wants attention sets it to 0.
  uint64_t instructions;
  std::atomic<uint64_t> deadline;
  uint64_t codeBase, codeLimit;  // of CS; 0 and all ones in 64-bit mode
  uint64_t epoch;
  uint64_t codeState;      // what a Jump holds beside the address: code size, privilege, epoch
  uint8_t way;             // 1 + the way out of `block` that led nowhere yet, or 0
  Block* block;            // that is executed; RIP stands at its start
  const MicroOp* current;  // that is executed, if RIP does not stand behind it yet
  vcpu::Segment seg[kSegments];
  vcpu::DescriptorTable gdt, idt;
  uint64_t cr0, cr2, cr3, cr4, efer;
  uint64_t pointers[4];  // PDPTEs of PAE paging: the processor has them since a control register was loaded
  uint64_t dr[4], dr6, dr7;
  uint64_t star, lstar, cstar, sfmask, kernelGsBase, tscAux, tscOffset;
  uint64_t sysenterCs, sysenterEsp, sysenterEip, pat, miscEnable, tscAdjust, debugControl;
  static constexpr unsigned kMsrSlots = 128;
  uint64_t msrs[kMsrSlots];  // those that have no other effect (msrs.cc)
  uint32_t pkru;
  uint8_t usable;  // registers that need no look at control registers (Usable)
  uint32_t mxcsr;
  uint64_t xcr0, xss;
  Features features;
  X87 x87;
  VectorRegister vectors[16];
  uint64_t randomState;  // of RDRAND and RDSEED
  bool guest;            // in VMX non-root operation
  bool ept;              // under extended page tables
  vmx::Vmx vmx;

  static constexpr unsigned kTlbEntries = 4096, kJumps = 1024;
  TlbEntry tlb[kTlbEntries];
  TlbPage tlbPages[kTlbEntries];
  uint64_t filled[kTlbEntries / 64];  // bit per entry that may hold something: flushes look at just these
  static constexpr unsigned kTranslations = 8192;
  Translation translations[kTranslations];
  // Flushes of the TLB since RESET, and besides those of one region of 2 MiB: what was found before counts no more.
  static constexpr unsigned kRegionShift = 21, kRegions = 64;
  uint64_t flushes, regionFlushes[kRegions];
  uint64_t codeRegions;  // bit per region: of code there, entries gave way to others since the TLB was flushed
  // Linear addresses among which large pages were found since the TLB was flushed, and the offsets in the largest.
  uint64_t largeFrom, largeTo, largeMask;
  Jump jumps[kJumps];  // where RET and indirect jumps went

  memory::GuestMemory* memory;
  Platform* platform;
  Blocks* blocks;
  TranslationCache* kept;  // in the test mode of stale translations; else null
  LocalApic* apic;
  const std::vector<Cpu*>* all;  // of the machine, this one included: they share the memory that code lies in
  std::vector<CpuidRow>* cpuid;
  uint64_t addressable;  // bits of a physical address that exist
  bool closing;          // the platform gave up: leave at once
  bool shutdown;         // triple fault
  bool halted;           // HLT was executed
  bool waits;            // for a startup message, after INIT
  bool pauses;           // PAUSE: somebody else's turn
  uint8_t pauseCount;    // since the turn began
  bool unknown;          // an instruction that is not known yet
  bool nmiMasked;
  std::atomic<uint8_t> nmis;          // that wait: one, and one more that would have been served already
  std::atomic<uint32_t> initSignals;  // INIT, startup and its vector (emulator.cc)
  int queuedVector;                   // an interrupt injected past any controller, or -1
  std::atomic<uint32_t> attention;

  uint64_t& rip() { return gpr[kRip]; }
  uint64_t rip() const { return gpr[kRip]; }
  bool longMode() const { return (efer & kEferLma) != 0; }
  bool code64() const { return codeBits == 64; }
  bool protectedMode() const { return (cr0 & kCr0Pe) != 0; }
  bool v86() const { return (rflags & kVm) != 0; }
  unsigned iopl() const { return static_cast<unsigned>(rflags >> 12 & 3); }
};

/** Records a fault and returns false, for handlers to pass on. The first one recorded stands. */
inline bool raise(Cpu& cpu, uint8_t vector) {
  cpu.fault = {true, vector, false, 0, false};
  return false;
}
inline bool raise(Cpu& cpu, uint8_t vector, uint32_t error) {
  cpu.fault = {true, vector, true, error, false};
  return false;
}
inline bool gp(Cpu& cpu, uint32_t error = 0) { return raise(cpu, kGp, error); }

inline bool canonical48(uint64_t address) {
  return static_cast<uint64_t>(static_cast<int64_t>(address << 16) >> 16) == address;
}
inline bool canonical57(uint64_t address) {
  return static_cast<uint64_t>(static_cast<int64_t>(address << 7) >> 7) == address;
}
/** Canonical for the paging that is on: 48 bits, or 57. */
inline bool canonical(const Cpu& cpu, uint64_t address) {
  if (__builtin_expect(canonical48(address), true)) return true;
  return (cpu.cr4 & kCr4La57) != 0 && canonical57(address);
}

// Flags ------------------------------------------------------------------------------------------------------------

inline uint64_t maskOf(unsigned bits) { return bits == 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1; }

inline bool carryOf(const LazyFlags& lazy) {
  const unsigned top = lazy.bits - 1u;
  switch (lazy.kind) {
    case LazyFlags::add:
      return (((lazy.a & lazy.b) | ((lazy.a | lazy.b) & ~lazy.result)) >> top & 1) != 0;
    case LazyFlags::sub:
      return (((~lazy.a & lazy.b) | ((~lazy.a | lazy.b) & lazy.result)) >> top & 1) != 0;
    case LazyFlags::logic:
      return false;
    default:
      return lazy.carry;
  }
}

inline bool overflowOf(const LazyFlags& lazy) {
  const unsigned top = lazy.bits - 1u;
  switch (lazy.kind) {
    case LazyFlags::add:
    case LazyFlags::increment:
      return ((lazy.a ^ lazy.result) & (lazy.b ^ lazy.result)) >> top & 1;
    case LazyFlags::sub:
    case LazyFlags::decrement:
      return ((lazy.a ^ lazy.b) & (lazy.a ^ lazy.result)) >> top & 1;
    case LazyFlags::logic:
      return false;
    default:
      return lazy.overflow;
  }
}

inline bool parityOf(uint64_t result) { return (__builtin_popcount(static_cast<unsigned>(result & 0xff)) & 1) == 0; }

inline bool cf(const Cpu& cpu) {
  return cpu.lazy.kind == LazyFlags::none ? (cpu.rflags & kCf) != 0 : carryOf(cpu.lazy);
}
inline bool zf(const Cpu& cpu) {
  return cpu.lazy.kind == LazyFlags::none ? (cpu.rflags & kZf) != 0 : (cpu.lazy.result & maskOf(cpu.lazy.bits)) == 0;
}
inline bool sf(const Cpu& cpu) {
  return cpu.lazy.kind == LazyFlags::none ? (cpu.rflags & kSf) != 0
                                          : (cpu.lazy.result >> (cpu.lazy.bits - 1u) & 1) != 0;
}
inline bool of(const Cpu& cpu) {
  return cpu.lazy.kind == LazyFlags::none ? (cpu.rflags & kOf) != 0 : overflowOf(cpu.lazy);
}
inline bool pf(const Cpu& cpu) {
  return cpu.lazy.kind == LazyFlags::none ? (cpu.rflags & kPf) != 0 : parityOf(cpu.lazy.result);
}
inline bool af(const Cpu& cpu) {
  if (cpu.lazy.kind == LazyFlags::none) return (cpu.rflags & kAf) != 0;
  return cpu.lazy.kind != LazyFlags::logic && cpu.lazy.kind != LazyFlags::given &&
         ((cpu.lazy.a ^ cpu.lazy.b ^ cpu.lazy.result) & 0x10) != 0;
}

/** Computes the flags that were put off, and gives all of RFLAGS. */
inline uint64_t flags(Cpu& cpu) {
  if (cpu.lazy.kind != LazyFlags::none) {
    cpu.rflags = (cpu.rflags & ~kArithmetic) | (cf(cpu) ? kCf : 0) | (pf(cpu) ? kPf : 0) | (af(cpu) ? kAf : 0) |
                 (zf(cpu) ? kZf : 0) | (sf(cpu) ? kSf : 0) | (of(cpu) ? kOf : 0);
    cpu.lazy.kind = LazyFlags::none;
  }
  return cpu.rflags;
}

inline void setFlags(Cpu& cpu, uint64_t mask, uint64_t values) {
  flags(cpu);
  cpu.rflags = (cpu.rflags & ~mask) | (values & mask);
}

/** Puts off the flags of an operation of T's size. */
template <typename T>
inline void keepFlags(Cpu& cpu, LazyFlags::Kind kind, T a, T b, T result) {
  cpu.lazy.kind = kind;
  cpu.lazy.bits = sizeof(T) * 8;
  cpu.lazy.a = a;
  cpu.lazy.b = b;
  cpu.lazy.result = result;
}

/** ZF, SF and PF of a result, CF and OF as given, AF clear: put off. */
template <typename T>
inline void keepResultFlags(Cpu& cpu, T result, bool carry, bool overflow) {
  cpu.lazy.kind = LazyFlags::given;
  cpu.lazy.bits = sizeof(T) * 8;
  cpu.lazy.carry = carry;
  cpu.lazy.overflow = overflow;
  cpu.lazy.result = result;
}

/** ZF, SF and PF of a result, CF, OF and AF as given. */
template <typename T>
inline void setResultFlags(Cpu& cpu, T result, bool carry, bool overflow, bool adjust = false) {
  cpu.lazy.kind = LazyFlags::none;
  cpu.rflags = (cpu.rflags & ~kArithmetic) | (carry ? kCf : 0) | (overflow ? kOf : 0) | (adjust ? kAf : 0) |
               (result == 0 ? kZf : 0) | (result >> (sizeof(T) * 8 - 1) & 1 ? kSf : 0) | (parityOf(result) ? kPf : 0);
}

/** The sixteen conditions of Jcc, SETcc and CMOVcc (SDM Vol. 1, appendix B). */
VTKIT_HOT inline bool condition(const Cpu& cpu, unsigned code) {
  bool holds;
  switch (code >> 1) {
    case 0:
      holds = of(cpu);
      break;
    case 1:
      holds = cf(cpu);
      break;
    case 2:
      holds = zf(cpu);
      break;
    case 3:
      holds = cf(cpu) || zf(cpu);
      break;
    case 4:
      holds = sf(cpu);
      break;
    case 5:
      holds = pf(cpu);
      break;
    case 6:
      holds = sf(cpu) != of(cpu);
      break;
    default:
      holds = zf(cpu) || sf(cpu) != of(cpu);
      break;
  }
  return holds != ((code & 1) != 0);
}

// Registers ----------------------------------------------------------------------------------------------------------

/** A register operand, by its byte offset in gpr: AH to BH are the second byte of theirs. */
template <typename T>
inline T readAt(const Cpu& cpu, unsigned offset) {
  T value;
  std::memcpy(&value, reinterpret_cast<const uint8_t*>(cpu.gpr) + offset, sizeof(T));
  return value;
}

template <typename T>
inline void writeAt(Cpu& cpu, unsigned offset, T value) {
  uint8_t* to = reinterpret_cast<uint8_t*>(cpu.gpr) + offset;
  if constexpr (sizeof(T) == 4) {
    const uint64_t wide = value;  // a 32-bit write clears the upper half
    std::memcpy(to, &wide, sizeof(wide));
  } else {
    std::memcpy(to, &value, sizeof(T));
  }
}

template <typename T>
inline T readGpr(const Cpu& cpu, unsigned index) {
  return static_cast<T>(cpu.gpr[index]);
}

template <typename T>
inline void writeGpr(Cpu& cpu, unsigned index, T value) {
  writeAt<T>(cpu, index * 8, value);
}

/** Takes DR7 up: what is watched from here on. */
void updateBreakpoints(Cpu& cpu);

/** Recomputes what decoding and addressing keep of the segments and control registers. */
void updateMode(Cpu& cpu);

/** What code lies at a linear address may have changed: nothing that was found before is followed without a look. */
void newEpoch(Cpu& cpu);

}  // namespace vtkit::emulator
