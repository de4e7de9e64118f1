/** The ring in which devices leave what nobody has to answer (native/bus/outbox.h): drained without a native call. */
import type { Layout } from '../native/contract.ts';
import type { CodeBits } from './disassemble.ts';
import { type ExitName, exitNames } from './exits.ts';
import type { ExecutedInstruction, InputTaken } from './timeline.ts';

export interface OutboxReader {
  serial(port: number, byte: number): void;
  posted(space: 'ports' | 'memory', address: number, size: number, value: bigint): void;
  traced(event: TraceEvent): void;
  received(input: InputTaken): void;
  executed(instruction: ExecutedInstruction): void;
}

/** One line of a trace. */
export interface TraceEvent {
  readonly kind: ExitName;
  readonly rip: bigint;
  /** Port or guest-physical address. */
  readonly address: bigint;
  readonly size: number;
  readonly value: bigint;
  /** Since the machine was created. */
  readonly nanoseconds: bigint;
}

const recordKind = { serial: 1, postedPort: 2, postedMemory: 3, traced: 4, received: 5, executed: 6 } as const;

export class Outbox {
  readonly #words: Int32Array;
  readonly #view: DataView;
  readonly #layout: Layout;
  readonly #reader: OutboxReader;
  readonly #drained: () => void;
  #tail = 0;

  constructor(buffer: ArrayBuffer, layout: Layout, reader: OutboxReader, drained: () => void) {
    this.#words = new Int32Array(buffer);
    this.#view = new DataView(buffer);
    this.#layout = layout;
    this.#reader = reader;
    this.#drained = drained;
  }

  drain(): void {
    const { ringHead, ringTail, ringProducerWaits } = this.#layout;
    while (this.#tail !== Atomics.load(this.#words, ringHead / 4)) {
      this.#deliver(this.#tail >>> 0);
      this.#tail = (this.#tail + 1) | 0;
      Atomics.store(this.#words, ringTail / 4, this.#tail);
    }
    if (Atomics.load(this.#words, ringProducerWaits / 4) !== 0) this.#drained();
  }

  #deliver(index: number): void {
    const { ringRecords, ringCapacity, recordBytes } = this.#layout;
    const at = ringRecords + (index % ringCapacity) * recordBytes;
    const kind = this.#view.getUint32(at, true);
    const detail = this.#view.getUint32(at + 4, true);
    const address = this.#view.getBigUint64(at + 8, true);
    const value = this.#view.getBigUint64(at + 16, true);
    if (kind === recordKind.serial) {
      this.#reader.serial(detail, Number(value));
    } else if (kind === recordKind.traced) {
      this.#reader.traced({
        kind: exitNames[(detail & 0xff) as keyof typeof exitNames],
        rip: this.#view.getBigUint64(at + 24, true),
        address,
        size: (detail >>> 8) & 0xff,
        value,
        nanoseconds: this.#view.getBigUint64(at + 32, true),
      });
    } else if (kind === recordKind.received) {
      const [instructions, tick] = [this.#view.getBigUint64(at + 24, true), this.#view.getBigUint64(at + 32, true)];
      this.#reader.received({ port: detail, bytes: Number(value), instructions, tick });
    } else if (kind === recordKind.executed) {
      const bytes = new Uint8Array(this.#view.buffer.slice(at + 16, at + 16 + ((detail >>> 8) & 0xff)));
      const count = this.#view.getBigUint64(at + 32, true);
      const bits = (detail >>> 16) as CodeBits;
      this.#reader.executed({ count, cpu: detail & 0xff, rip: address, bits, bytes });
    } else {
      this.#reader.posted(kind === recordKind.postedPort ? 'ports' : 'memory', Number(address), detail, value);
    }
  }
}
