/** One of the two that go in step: an engine, here or in another process, with one processor and no devices. */
import type { RegisterName } from '../machine/registers.ts';
import type { SystemRegisters } from '../machine/sregs.ts';

/** An access that the guest makes to what is no memory. `values` are what it writes; of a read, one entry an item. */
export interface Access {
  readonly space: 'ports' | 'memory';
  readonly write: boolean;
  readonly address: bigint;
  /** Bytes of one item; a string instruction has several items. */
  readonly size: number;
  readonly values: readonly bigint[];
}

export type Stop =
  | { readonly kind: 'access'; readonly access: Access }
  /** One instruction was executed. */
  | { readonly kind: 'stepped' }
  | { readonly kind: 'halt' }
  /** Nothing happened for the time that a side may be silent. */
  | { readonly kind: 'silent' }
  /** The guest cannot go on: `what` is the exit's name. */
  | { readonly kind: 'end'; readonly what: string };

/** What is compared of a processor between two instructions. */
export interface CpuState {
  readonly registers: Readonly<Record<RegisterName, bigint>>;
  readonly system: SystemRegisters;
  /** x87, SSE and AVX, as XSAVE writes them. */
  readonly xsave: Uint8Array;
  /** Interrupts wait behind STI or MOV SS. */
  readonly shadow: boolean;
}

export interface Page {
  readonly address: bigint;
  readonly bytes: Uint8Array;
}

/** The same for both, before the first instruction. */
export interface Start {
  readonly memoryBytes: number;
  readonly pages: readonly Page[];
  readonly state: CpuState;
}

/** What another process gives takes a while. */
export type Given<T> = T | Promise<T>;

export interface Side {
  readonly name: string;
  load(start: Start): Given<void>;
  /** Runs until the guest leaves: by an access, HLT, or for good. */
  run(): Given<Stop>;
  /**
   * One instruction, as far as an access lets it. With an address it is one that is not completed: its exception, or an
   * interrupt before it, leads there, and the stack must not show how it is stepped.
   */
  step(to?: bigint): Given<Stop>;
  /** Answers the access. False: its instruction makes another one, and has no state before that. */
  answer(values: readonly bigint[]): Given<boolean>;
  state(): Given<CpuState>;
  /** Pages that were written since the last call. */
  dirtied(): Given<readonly Page[]>;
  /** Brings back a state, and the contents of pages. An access that waits for its answer is given up. */
  restore(state: CpuState, pages: readonly Page[]): Given<void>;
  interrupt(vector: number): Given<void>;
  close(): Given<void>;
}
