// Segments, privilege and control transfer through the system's tables.
#pragma once

#include "emulator/mmu.h"

namespace vtkit::emulator {

/** A descriptor as it stands in a table (SDM Vol. 3A, 3.4.5). */
struct Descriptor {
  uint64_t raw = 0;
  uint64_t high = 0;  // upper half of a 16-byte system descriptor in IA-32e mode
  unsigned type() const { return raw >> 40 & 15; }
  /** Of the upper half, with its S bit: 0 unless software is at fault. */
  unsigned upperType() const { return high >> 40 & 31; }
  bool s() const { return (raw >> 44 & 1) != 0; }
  unsigned dpl() const { return raw >> 45 & 3; }
  bool present() const { return (raw >> 47 & 1) != 0; }
  bool isCode() const { return s() && (type() & 8) != 0; }
  bool conforming() const { return (type() & 4) != 0; }
  bool l() const { return (raw >> 53 & 1) != 0; }
  bool db() const { return (raw >> 54 & 1) != 0; }
  uint32_t limit() const {
    const auto value = static_cast<uint32_t>((raw & 0xffff) | (raw >> 32 & 0xf0000));
    return (raw >> 55 & 1) != 0 ? value << 12 | 0xfff : value;
  }
  uint64_t base() const { return (raw >> 16 & 0xffffff) | (raw >> 32 & 0xff000000) | high << 32; }
};

/** Reads the descriptor of a selector that is not null. False with #GP(selector), or `vector`, pending. */
bool readDescriptor(Cpu& cpu, uint16_t selector, Descriptor& descriptor, uint8_t vector = kGp);
bool setAccessed(Cpu& cpu, uint16_t selector, Descriptor& descriptor);
/** The hidden part of a segment register, from a descriptor. */
vcpu::Segment segmentOf(uint16_t selector, const Descriptor& descriptor, bool wideBase);

/** MOV, POP and LxS to a data segment register or SS, in every mode. */
bool loadSegment(Cpu& cpu, unsigned seg, uint16_t selector);
void loadRealSegment(Cpu& cpu, unsigned seg, uint16_t selector);
void loadCode(Cpu& cpu, uint16_t selector, const Descriptor& descriptor, unsigned cpl);

bool farJump(Cpu& cpu, uint16_t selector, uint64_t offset, unsigned operandBytes);
bool farCall(Cpu& cpu, uint16_t selector, uint64_t offset, unsigned operandBytes);
bool farReturn(Cpu& cpu, unsigned operandBytes, unsigned discard);
bool interruptReturn(Cpu& cpu, unsigned operandBytes);

enum class Source { hardware, software, exception };
/** Delivers through the IDT. False with a further fault pending. RIP is where the handler returns to. */
bool deliver(Cpu& cpu, uint8_t vector, Source source, bool hasError, uint32_t error);
/** Delivers the pending fault, and what comes of it: double fault, then shutdown. `first`: the exception on whose way
 * it came. */
void deliverFault(Cpu& cpu, Fault first = {});

/** Stack pointer of a privilege level from the task state. */
bool stackOfLevel(Cpu& cpu, unsigned level, uint16_t& ss, uint64_t& rsp);

bool setCr0(Cpu& cpu, uint64_t value);
bool setCr3(Cpu& cpu, uint64_t value);
/** Whether paging is PAE paging, which keeps its page-directory-pointer-table entries in the processor. */
bool usesPointers(const Cpu& cpu);
/** Takes them from where CR3 points, as state that is set from outside and VM transitions do. False: one is invalid. */
bool readPointers(Cpu& cpu);
/** Where a CR3 has one of the four (Vol. 3A 4.4.1). */
inline uint64_t pointerAddress(uint64_t cr3, unsigned i) { return (cr3 & 0xffffffe0) + 8 * i; }
uint64_t pointerAt(const Cpu& cpu, uint64_t physical);
bool isPointer(const Cpu& cpu, uint64_t entry);
bool setCr4(Cpu& cpu, uint64_t value);
/** Bits of CR4 that this model has. */
uint64_t cr4Bits(const Cpu& cpu);

/** Whether the code may use a port: IOPL, then the task's bitmap. False with #GP pending. */
bool mayUsePort(Cpu& cpu, uint16_t port, unsigned bytes);

}  // namespace vtkit::emulator
