/** A machine's devices as a processor reaches them, for who runs the guest elsewhere: lockstep with another engine. */
import type { NativeMachine } from '../native/contract.ts';
import type { Ranges } from './ranges.ts';

interface BusOptions {
  readonly native: NativeMachine;
  readonly ranges: { readonly ports: Ranges; readonly memory: Ranges };
  readonly drain: () => void;
  readonly assertIdle: () => void;
}

export class Bus {
  readonly #options: BusOptions;

  /** @internal */
  constructor(options: BusOptions) {
    this.#options = options;
  }

  /** One access: devices in C++ answer, mapped ranges, or nobody (all ones). A write if there is a value. */
  access(space: 'ports' | 'memory', address: bigint, size: number, value?: bigint): bigint {
    const { native, ranges, drain, assertIdle } = this.#options;
    assertIdle();
    const ones = BigInt.asUintN(8 * size, -1n);
    const answer = native.access(space, address, size, value);
    drain();
    if (answer !== null) return answer & ones;
    const handler = ranges[space].find(Number(address));
    if (value === undefined) return BigInt(handler?.read?.(Number(address), size) ?? ones) & ones;
    handler?.write?.(Number(address), size, size === 8 ? value : Number(value));
    return value;
  }

  /** Whether the 8259 asks for an interrupt. */
  interruptAsserted(): boolean {
    return this.#options.native.interruptAsserted();
  }

  /** The vector that it asks for: the INTA cycle. -1 if the request is gone. */
  acknowledge(): number {
    this.#options.assertIdle();
    return this.#options.native.acknowledge();
  }

  /** Takes virtual time to a moment. */
  advance(moment: bigint): void {
    this.#options.assertIdle();
    this.#options.native.advance(moment);
  }

  /** The moment of the next alarm of a device. */
  nextEvent(): bigint | undefined {
    return this.#options.native.nextEvent() ?? undefined;
  }
}
