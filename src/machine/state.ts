/** The state of a machine, of either backend, as one value: what a snapshot is, and what restores it. */
import type { BackendKind, Irqchip } from './engine.ts';
import type { CpuidEntry } from './entries.ts';
import type { RegisterName } from './registers.ts';
import type { SystemRegisters } from './sregs.ts';

export const stateVersion = 1;

/** What software can see of one processor, in the structures that both backends have. */
export interface VcpuArchitecture {
  readonly registers: Readonly<Record<RegisterName, bigint>>;
  readonly sregs: SystemRegisters;
  readonly mpState: number;
  /** kvm_vcpu_events, kvm_debugregs, kvm_xcrs and kvm_xsave. */
  readonly events: Uint8Array;
  readonly debugRegs: Uint8Array;
  readonly xcrs: Uint8Array;
  readonly xsave: Uint8Array;
  readonly msrs: readonly (readonly [index: number, value: bigint])[];
  readonly cpuid: readonly CpuidEntry[];
}

/** One slot of memory: the pages that are not all zeros. */
export interface MemoryState {
  readonly guestPhysical: bigint;
  readonly bytes: bigint;
  /** Page numbers, in order. */
  readonly numbers: Uint32Array;
  /** 4096 bytes of each. */
  readonly contents: Uint8Array;
}

export interface MachineState {
  readonly version: typeof stateVersion;
  readonly backend: BackendKind;
  readonly irqchip: Irqchip;
  readonly vcpus: readonly VcpuArchitecture[];
  /** The PC's devices in C++, which are the same on both backends (native/state/archive.h). */
  readonly devices: Uint8Array;
  /** What only the emulated processors keep: time, local APICs, VMX operation; null on KVM. */
  readonly engine: Uint8Array | null;
  /** What devices in JavaScript keep, by the names under which they were given to {@link Machine.keep}. */
  readonly kept: Readonly<Record<string, Kept>>;
  readonly memory: readonly MemoryState[];
}

/** Plain data: what JSON can say. */
export type Kept = null | boolean | number | string | readonly Kept[] | { readonly [name: string]: Kept };

/** A device in JavaScript that has a state. */
export interface Keeper {
  save(): Kept;
  /** @throws CorruptInputError or RangeError for what save() never gave; nothing has changed then */
  load(state: Kept): void;
}
