// Register state as it crosses to JavaScript: KVM's layouts, on both engines, without KVM's headers.
// native/kvm holds these structs against <linux/kvm.h> with static_asserts; src/machine has their codecs.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vtkit::vcpu {

/** General registers in the order of kvm_regs. */
struct Regs {
  uint64_t rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp;
  uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
  uint64_t rip, rflags;
};
static_assert(sizeof(Regs) == 144);

/** One segment register with its hidden part (SDM Vol. 3A, 3.4.3), as kvm_segment. */
struct Segment {
  uint64_t base;
  uint32_t limit;  // in bytes, granularity already applied
  uint16_t selector;
  uint8_t type;  // the four type bits of the descriptor
  uint8_t present, dpl, db, s, l, g, avl;
  uint8_t unusable;
  uint8_t padding;
};
static_assert(sizeof(Segment) == 24);

/** GDTR or IDTR, as kvm_dtable. */
struct DescriptorTable {
  uint64_t base;
  uint16_t limit;
  uint16_t padding[3];
};
static_assert(sizeof(DescriptorTable) == 16);

/** System registers, as kvm_sregs. */
struct Sregs {
  Segment cs, ds, es, fs, gs, ss, tr, ldt;
  DescriptorTable gdt, idt;
  uint64_t cr0, cr2, cr3, cr4, cr8, efer, apicBase;
  uint64_t interruptBitmap[4];
};
static_assert(sizeof(Sregs) == 312);

/** Debug registers, as kvm_debugregs. */
struct DebugRegs {
  uint64_t db[4], dr6, dr7, flags, reserved[9];
};
static_assert(sizeof(DebugRegs) == 128);

/** What is pending or blocked between two instructions, as kvm_vcpu_events. */
struct Events {
  struct {
    uint8_t injected, nr, hasErrorCode, pending;
    uint32_t errorCode;
  } exception;
  struct {
    uint8_t injected, nr, soft, shadow;  // shadow: 1 = after MOV SS, 2 = after STI (KVM_X86_SHADOW_INT_*)
  } interrupt;
  struct {
    uint8_t injected, pending, masked, padding;
  } nmi;
  uint32_t sipiVector;
  uint32_t flags;
  uint8_t rest[40];  // smi, triple_fault, reserved, exception payload
};
static_assert(sizeof(Events) == 64);

/** x87 and SSE registers, as kvm_fpu. */
struct Fpu {
  uint8_t fpr[8][16];
  uint16_t fcw, fsw;
  uint8_t ftwx, pad1;
  uint16_t lastOpcode;
  uint64_t lastIp, lastDp;
  uint8_t xmm[16][16];
  uint32_t mxcsr, pad2;
};
static_assert(sizeof(Fpu) == 416);

/** Extended control registers, as kvm_xcrs. */
struct Xcrs {
  uint32_t count, flags;
  struct {
    uint32_t number, reserved;
    uint64_t value;
  } registers[16];
  uint64_t padding[16];
};
static_assert(sizeof(Xcrs) == 392);

}  // namespace vtkit::vcpu
