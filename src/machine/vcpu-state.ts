/** The state of a vCPU beside its general registers: each part with the KVM ioctl that it stands for. */
import { KernelError, NotSupportedError } from '../errors.ts';
import type { Cell } from './cell.ts';
import type { EngineMachine } from './engine.ts';
import { type CpuidEntry, decodeCpuid, decodeMsrs, encodeCpuid, encodeMsrs } from './entries.ts';
import { decodeSregs, encodeSregs, type SystemRegisterChanges, type SystemRegisters } from './sregs.ts';
import { debugRegisters, events, fpu, mpState, stateKind } from './state-structs.ts';

type StateName = keyof typeof stateKind;

export abstract class VcpuState {
  readonly index: number;
  readonly #engine: EngineMachine;
  readonly #cell: Cell;

  constructor(index: number, engine: EngineMachine, cell: Cell) {
    this.index = index;
    this.#engine = engine;
    this.#cell = cell;
  }

  /** Exits so far, by kind number (src/machine/exits.ts). @internal */
  exitCounts(): BigUint64Array {
    return this.#cell.exitCounts();
  }

  /** @internal Brings the vCPU to an instruction boundary, or throws. */
  abstract settle(): void;

  /** Segments, descriptor tables, control registers (KVM_GET_SREGS). A copy. */
  getSregs(): SystemRegisters {
    this.#call(() => this.#engine.native.loadSregs(this.index));
    return decodeSregs(this.#cell.sregs);
  }

  /** Changes the parts that are given (KVM_SET_SREGS). @throws KernelError EINVAL if no processor could be in that state */
  setSregs(changes: SystemRegisterChanges): void {
    this.#call(() => {
      this.#engine.native.loadSregs(this.index);
      encodeSregs(this.#cell.sregs, changes);
      this.#engine.native.storeSregs(this.index);
    });
  }

  /** Debug registers (KVM_GET_DEBUGREGS). */
  getDebugRegs() {
    return debugRegisters.decode(this.#get('debugRegs'));
  }
  setDebugRegs(changes: Partial<ReturnType<typeof debugRegisters.decode>>): void {
    this.#change('debugRegs', (view) => debugRegisters.encode(view, changes));
  }

  /** Exceptions, interrupts and NMIs that are pending or blocked (KVM_GET_VCPU_EVENTS). */
  getEvents() {
    return events.decode(this.#get('events'));
  }
  setEvents(changes: Partial<ReturnType<typeof events.decode>>): void {
    this.#change('events', (view) => events.encode(view, changes));
  }

  /** x87 control registers and MXCSR (KVM_GET_FPU); `getState('fpu')` has the data registers too. */
  getFpu() {
    return fpu.decode(this.#get('fpu'));
  }
  setFpu(changes: Partial<ReturnType<typeof fpu.decode>>): void {
    this.#change('fpu', (view) => fpu.encode(view, changes));
  }

  /** Whether the vCPU is runnable, halted, or waits for its start (KVM_GET_MP_STATE: KVM_MP_STATE_*). */
  getMpState(): number {
    return mpState.decode(this.#get('mpState')).state;
  }
  setMpState(state: number): void {
    this.#change('mpState', (view) => mpState.encode(view, { state }));
  }

  /** A state structure as the kernel lays it out: `fpu`, `xsave`, `xcrs`, `lapic`, `events`, `mpState`, `debugRegs`. */
  getState(name: StateName): Uint8Array {
    const view = this.#get(name);
    return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  }
  setState(name: StateName, bytes: Uint8Array): void {
    this.#requireState(name);
    this.#call(() => this.#engine.native.setState(this.index, stateKind[name], bytes));
  }

  /** Reads MSRs (KVM_GET_MSRS). @throws NotSupportedError naming the first that the vCPU does not have */
  getMsrs(indices: readonly number[]): Map<number, bigint> {
    const bytes = encodeMsrs(indices.map((index) => [index, 0n]));
    const taken = this.#call(() => this.#engine.native.getMsrs(this.index, bytes));
    requireAll(taken, indices, 'read');
    return new Map(decodeMsrs(bytes));
  }

  /** Writes MSRs in order (KVM_SET_MSRS). Those before one that is refused have been written. */
  setMsrs(values: Iterable<readonly [number, bigint]>): void {
    const rows = [...values];
    const taken = this.#call(() => this.#engine.native.setMsrs(this.index, encodeMsrs(rows)));
    requireAll(
      taken,
      rows.map(([index]) => index),
      'written',
    );
  }

  /** What CPUID tells the guest (KVM_GET_CPUID2). */
  getCpuid(): CpuidEntry[] {
    return decodeCpuid(this.#call(() => this.#engine.native.getCpuid(this.index)));
  }
  setCpuid(entries: readonly CpuidEntry[]): void {
    this.#call(() => this.#engine.native.setCpuid(this.index, encodeCpuid(entries)));
  }

  /**
   * Queues an external interrupt past any controller (KVM_INTERRUPT); the guest takes it when it can. May be called
   * while the vCPU runs. False if one is queued already.
   */
  interrupt(vector: number): boolean {
    return this.#engine.native.interrupt(this.index, vector);
  }

  /** Queues an NMI (KVM_NMI). */
  nmi(): void {
    this.#call(() => this.#engine.native.nmi(this.index));
  }

  /** Makes every run end with a `debug` exit after one instruction (KVM_SET_GUEST_DEBUG). */
  setSingleStep(on: boolean): void {
    this.#call(() => this.#engine.native.setSingleStep(this.index, on));
  }

  /**
   * Makes every run end with a `debug` exit before an INT3 of the guest (0xcc), which then raises no exception: a debugger
   * writes such bytes over code (KVM_SET_GUEST_DEBUG).
   */
  setBreakpointExits(on: boolean): void {
    this.#call(() => this.#engine.native.setBreakpointExits(this.index, on));
  }

  #get(name: StateName): DataView {
    const bytes = new Uint8Array(this.#requireState(name));
    this.#call(() => this.#engine.native.getState(this.index, stateKind[name], bytes));
    return new DataView(bytes.buffer);
  }

  #change(name: StateName, edit: (view: DataView) => void): void {
    const view = this.#get(name);
    edit(view);
    this.setState(name, new Uint8Array(view.buffer));
  }

  #requireState(name: StateName): number {
    const bytes = this.#call(() => this.#engine.native.stateBytes(this.index, stateKind[name]));
    if (bytes === 0) {
      throw new NotSupportedError(`the ${this.#engine.kind} backend has no '${name}' state`, {
        requires: 'backend: kvm',
      });
    }
    return bytes;
  }

  #call<T>(body: () => T): T {
    this.settle();
    return KernelError.guard(body);
  }
}

function requireAll(taken: number, indices: readonly number[], verb: string): void {
  const refused = indices[taken];
  if (refused === undefined) return;
  throw new NotSupportedError(`MSR 0x${refused.toString(16)} cannot be ${verb} on this vCPU`, {
    requires: 'an MSR that the vCPU has, and a value that it takes',
  });
}
