/** MSI-X: vectors in a table that lies in a BAR, masked one by one or together (PCI Local Bus 3.0, 6.8.2). */
import type { AccessHandler } from '../ranges.ts';

const entryBytes = 16;
const masked = 1;

/** One vector of the table as the guest wrote it. */
export interface Message {
  readonly address: bigint;
  readonly data: number;
}

export interface MsixEvents {
  /** A vector that was silent may be sent now, or one that was not is silent. `undefined`: masked, or MSI-X is off. */
  changed?(vector: number, message: Message | undefined): void;
  /** A vector that was signalled while it was masked is sent now. */
  send(message: Message): void;
}

export class MsixTable {
  readonly count: number;
  readonly #events: MsixEvents;
  readonly #words: DataView;
  readonly #pending: Uint8Array;
  #enabled = false;
  #allMasked = false;

  constructor(count: number, events: MsixEvents) {
    if (!Number.isInteger(count) || count < 1 || count > 2048) throw new RangeError('MSI-X has 1 to 2048 vectors');
    this.count = count;
    this.#events = events;
    this.#words = new DataView(new ArrayBuffer(count * entryBytes));
    this.#pending = new Uint8Array(Math.ceil(count / 64) * 8);
    for (let vector = 0; vector < count; vector++) this.#words.setUint32(vector * entryBytes + 12, masked, true);
  }

  get tableBytes(): number {
    return this.#words.byteLength;
  }
  get pendingBytes(): number {
    return this.#pending.length;
  }
  get enabled(): boolean {
    return this.#enabled;
  }

  /** What the guest wrote to message control (6.8.2.3). */
  control(enabled: boolean, allMasked: boolean): void {
    if (enabled === this.#enabled && allMasked === this.#allMasked) return;
    this.#enabled = enabled;
    this.#allMasked = allMasked;
    for (let vector = 0; vector < this.count; vector++) this.#settle(vector);
  }

  /** The message of a vector that may be sent, or undefined. */
  message(vector: number): Message | undefined {
    const at = vector * entryBytes;
    const silent = !this.#enabled || this.#allMasked || (this.#words.getUint32(at + 12, true) & masked) !== 0;
    if (silent) return undefined;
    return { address: this.#words.getBigUint64(at, true), data: this.#words.getUint32(at + 8, true) };
  }

  /** The function has an interrupt: it is sent, or pends until the guest unmasks it. */
  signal(vector: number): void {
    if (vector < 0 || vector >= this.count) throw new RangeError(`there is no vector ${vector}`);
    const message = this.message(vector);
    if (message !== undefined) this.#events.send(message);
    else if (this.#enabled) this.#pending[vector >> 3] = (this.#pending[vector >> 3] as number) | (1 << (vector & 7));
  }

  /** Accesses to the table: aligned dwords and quadwords (6.8.2.1); others read ones. */
  readonly table: AccessHandler = {
    read: (offset, size) => {
      if (!this.#aligned(offset, size)) return size === 8 ? 0xffff_ffff_ffff_ffffn : 0xffff_ffff;
      return size === 8 ? this.#words.getBigUint64(offset, true) : this.#words.getUint32(offset, true);
    },
    write: (offset, size, value) => {
      if (!this.#aligned(offset, size)) return;
      const before = JSON.stringify(this.#shown(Math.floor(offset / entryBytes)));
      if (size === 8) this.#words.setBigUint64(offset, BigInt.asUintN(64, BigInt(value)), true);
      else this.#words.setUint32(offset, Number(value), true);
      const vector = Math.floor(offset / entryBytes);
      if (JSON.stringify(this.#shown(vector)) !== before) this.#settle(vector);
    },
  };

  /** Accesses to the pending bits: read only. */
  readonly pending: AccessHandler = {
    read: (offset, size) => {
      let value = 0n;
      for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.#pending[offset + i] ?? 0);
      return size === 8 ? value : Number(value);
    },
    write: () => {},
  };

  #aligned(offset: number, size: number): boolean {
    return (size === 4 || size === 8) && offset % size === 0 && offset + size <= this.#words.byteLength;
  }

  #shown(vector: number): readonly [string, number] | undefined {
    const message = this.message(vector);
    return message === undefined ? undefined : [message.address.toString(), message.data];
  }

  #settle(vector: number): void {
    const message = this.message(vector);
    this.#events.changed?.(vector, message);
    const bit = 1 << (vector & 7);
    if (message === undefined || ((this.#pending[vector >> 3] as number) & bit) === 0) return;
    this.#pending[vector >> 3] = (this.#pending[vector >> 3] as number) & ~bit;
    this.#events.send(message);
  }
}
