/** Smaller state structures of a vCPU, as the kernel lays them out, and their numbers in native/vcpu/processor.h. */
import { struct } from './struct.ts';

export const stateKind = { fpu: 0, xsave: 1, xcrs: 2, lapic: 3, events: 4, mpState: 5, debugRegs: 6, vmcs: 7 } as const;

/** kvm_debugregs. */
export const debugRegisters = struct({
  dr0: 'u64',
  dr1: 'u64',
  dr2: 'u64',
  dr3: 'u64',
  dr6: 'u64',
  dr7: 'u64',
  flags: 'u64',
});

/** kvm_vcpu_events, as far as both backends have it. */
export const events = struct({
  exceptionInjected: 'u8',
  exceptionNumber: 'u8',
  exceptionHasErrorCode: 'u8',
  exceptionPending: 'u8',
  exceptionErrorCode: 'u32',
  interruptInjected: 'u8',
  interruptNumber: 'u8',
  interruptSoft: 'u8',
  interruptShadow: 'u8',
  nmiInjected: 'u8',
  nmiPending: 'u8',
  nmiMasked: 'u8',
  _padding: 'u8',
  sipiVector: 'u32',
  flags: 'u32',
});

/** kvm_mp_state. */
export const mpState = struct({ state: 'u32' });

/** kvm_fpu without the data registers: 128 bytes of ST, the control words, 256 bytes of XMM, MXCSR. */
const gap = <const N extends number>(prefix: string, words: N) =>
  Object.fromEntries(Array.from({ length: words }, (_, i) => [`_${prefix}${i}`, 'u64'])) as Record<`_${string}`, 'u64'>;
export const fpu = struct({
  ...gap('st', 16),
  fcw: 'u16',
  fsw: 'u16',
  ftwx: 'u8',
  _pad: 'u8',
  lastOpcode: 'u16',
  lastIp: 'u64',
  lastDp: 'u64',
  ...gap('xmm', 32),
  mxcsr: 'u32',
});
