/** Base address registers: how a guest learns their size, and where they lie (PCI Local Bus 3.0, 6.2.5). */
import type { AccessHandler } from '../ranges.ts';
import { type ConfigSpace, command, register } from './config-space.ts';

export interface BarOptions {
  readonly kind: 'io' | 'memory32' | 'memory64';
  /** A power of two: at least 4 ports, or 16 bytes. */
  readonly bytes: number;
  readonly prefetchable?: boolean;
  /** Answers accesses; addresses count from the start of the BAR. */
  readonly handler: AccessHandler;
}

export class Bar {
  readonly index: number;
  readonly kind: BarOptions['kind'];
  readonly bytes: number;
  readonly handler: AccessHandler;
  readonly #config: ConfigSpace;

  /** @throws RangeError for a size that no BAR can have */
  constructor(config: ConfigSpace, index: number, { kind, bytes, prefetchable = false, handler }: BarOptions) {
    const least = kind === 'io' ? 4 : 16;
    const most = kind === 'io' ? 256 : kind === 'memory32' ? 2 ** 31 : 2 ** 46;
    if (bytes < least || bytes > most || !Number.isInteger(Math.log2(bytes))) {
      throw new RangeError(`a BAR of kind ${kind} has ${least} to ${most} bytes, a power of two; ${bytes} is none`);
    }
    if (index < 0 || index > (kind === 'memory64' ? 4 : 5)) throw new RangeError(`there is no BAR ${index}`);
    this.index = index;
    this.kind = kind;
    this.bytes = bytes;
    this.handler = handler;
    this.#config = config;
    const flags = kind === 'io' ? 1 : (kind === 'memory64' ? 4 : 0) | (prefetchable ? 8 : 0);
    const mask = -BigInt(bytes);
    config.define(this.#offset, 4, flags, { writable: Number(BigInt.asUintN(32, mask)) });
    if (kind === 'memory64') {
      config.define(this.#offset + 4, 4, 0, { writable: Number(BigInt.asUintN(32, mask >> 32n)) });
    }
  }

  /** Where it lies now, or undefined while the function does not decode it. */
  get address(): number | undefined {
    const enabled = this.kind === 'io' ? command.io : command.memory;
    if ((this.#config.read(register.command, 2) & enabled) === 0) return undefined;
    const low = (this.#config.read(this.#offset, 4) & (this.kind === 'io' ? ~3 : ~15)) >>> 0;
    const high = this.kind === 'memory64' ? this.#config.read(this.#offset + 4, 4) : 0;
    const address = high * 2 ** 32 + low;
    // A register that holds nothing but ones is being sized.
    return Number.isSafeInteger(address + this.bytes) ? address : undefined;
  }

  get #offset(): number {
    return register.bar0 + 4 * this.index;
  }
}
