/** How far a machine has come, counted in instructions, and what happens on the way. */
import { NotSupportedError } from '../errors.ts';
import type { NativeMachine } from '../native/contract.ts';
import type { CodeBits } from './disassemble.ts';
import type { Vcpu } from './vcpu.ts';

/** An instruction that was executed. */
export interface ExecutedInstruction {
  /** How many were retired by all processors, this one included. */
  readonly count: bigint;
  readonly cpu: number;
  readonly rip: bigint;
  readonly bits: CodeBits;
  readonly bytes: Uint8Array;
}

/** When the guest's UART took what {@link Machine.addUart} was given to receive. */
export interface InputTaken {
  readonly port: number;
  readonly bytes: number;
  /** Instructions retired by then. */
  readonly instructions: bigint;
  /** The moment, in nanoseconds of virtual time. */
  readonly tick: bigint;
}

/** The emulated backend only: KVM counts no instructions. */
export class Timeline {
  readonly #native: NativeMachine;
  readonly #vcpus: () => readonly Vcpu[];
  readonly #inputs = new Set<(input: InputTaken) => void>();
  #trace: ((instruction: ExecutedInstruction) => void) | undefined;

  /** @internal */
  constructor(native: NativeMachine, vcpus: () => readonly Vcpu[]) {
    this.#native = native;
    this.#vcpus = vcpus;
  }

  /** Instructions that all vCPUs have retired; undefined on KVM. */
  get instructions(): bigint | undefined {
    let sum = 0n;
    for (const { instructions } of this.#vcpus()) {
      if (instructions === undefined) return undefined;
      sum += instructions;
    }
    return sum;
  }

  /**
   * Runs end, as `interrupted`, as soon as so many instructions are retired by all vCPUs; with undefined no more.
   * Processors, devices and time stand still there, and the next run goes on as if there had been no stop.
   */
  pauseAt(instructions: bigint | undefined): void {
    if (!this.#native.pauseAt(instructions)) throw unknown('a pause at an instruction');
  }

  /** Calls for each instruction, in order; with undefined no more. The guest cannot tell, but takes longer. */
  traceInstructions(trace: ((instruction: ExecutedInstruction) => void) | undefined): void {
    if (!this.#native.traceInstructions(trace !== undefined)) throw unknown('a trace of instructions');
    this.#trace = trace;
  }

  /** Calls when input is taken. Gives what ends that. */
  onInput(taken: (input: InputTaken) => void): () => void {
    this.#inputs.add(taken);
    return () => this.#inputs.delete(taken);
  }

  /** Gives bytes to the UART at a port at a tick at which it took them in an earlier run: in the order of the ticks. */
  scheduleInput(tick: bigint, port: number, data: Uint8Array): void {
    this.#native.scheduleInput(tick, port, data);
  }

  /** Forgets what was scheduled and has not been taken. */
  clearInput(): void {
    this.#native.clearInput();
  }

  /** Drops translations and decoded code, as every snapshot does. */
  forget(): void {
    this.#native.forget();
  }

  /** @internal */
  executed(instruction: ExecutedInstruction): void {
    this.#trace?.(instruction);
  }
  /** @internal */
  taken(input: InputTaken): void {
    for (const each of this.#inputs) each(input);
  }
}

function unknown(what: string): NotSupportedError {
  return new NotSupportedError(`${what} needs a processor whose instructions are counted`, {
    requires: "backend: 'emulated'",
  });
}
