/** A receive and a transmit queue of the 82576: rings of advanced descriptors (datasheet 7.1.5, 7.2.2.3) in memory that the device reaches. */
import type { DmaBuffer, DmaSpace, Region } from '../../../src/index.ts';
import { DCTL, descriptorDone, queue, SRRCTL, transmit } from './registers.ts';
import { until } from './until.ts';

const descriptorBytes = 16;
const entries = 64;
const frameBytes = SRRCTL.kib * 1024;

/** Descriptors in the first page, a buffer for each behind it. */
class Ring {
  readonly memory: DmaBuffer;
  readonly #registers: Region;
  readonly #at: number;

  constructor(registers: Region, dma: DmaSpace, at: number) {
    this.#registers = registers;
    this.#at = at;
    this.memory = dma.allocate({ bytes: 4096 + entries * frameBytes });
    this.write(queue.BAL, Number(this.memory.iova & 0xffff_ffffn));
    this.write(queue.BAH, Number(this.memory.iova >> 32n));
    this.write(queue.LEN, entries * descriptorBytes);
  }

  write(register: number, value: number): void {
    this.#registers.write32(this.#at + register, value >>> 0);
  }

  enable(): void {
    this.write(queue.HEAD, 0);
    this.write(queue.TAIL, 0);
    this.write(queue.CTL, DCTL.enable);
  }

  descriptor(index: number): number {
    return index * descriptorBytes;
  }

  buffer(index: number): number {
    return 4096 + index * frameBytes;
  }
}

export class ReceiveQueue {
  readonly #ring: Ring;
  #next = 0;

  constructor(registers: Region, dma: DmaSpace, at: number) {
    this.#ring = new Ring(registers, dma, at);
    this.#ring.write(queue.SRRCTL, SRRCTL.kib | SRRCTL.oneBuffer | SRRCTL.drop);
    this.#ring.enable();
    for (let index = 0; index < entries; index++) this.#offer(index);
    this.#ring.write(queue.TAIL, entries - 1);
  }

  /** Frames that came since the last time. */
  take(): Uint8Array[] {
    const { data } = this.#ring.memory;
    const frames: Uint8Array[] = [];
    for (;;) {
      const at = this.#ring.descriptor(this.#next);
      if ((data.getUint32(at + 8, true) & descriptorDone) === 0) return frames;
      frames.push(this.#ring.memory.read(this.#ring.buffer(this.#next), data.getUint16(at + 12, true)));
      this.#offer(this.#next);
      // The tail is one behind: a ring whose head and tail meet is empty.
      this.#ring.write(queue.TAIL, this.#next);
      this.#next = (this.#next + 1) % entries;
    }
  }

  #offer(index: number): void {
    const { data } = this.#ring.memory;
    data.setBigUint64(this.#ring.descriptor(index), this.#ring.memory.at(this.#ring.buffer(index)), true);
    data.setBigUint64(this.#ring.descriptor(index) + 8, 0n, true);
  }
}

export class TransmitQueue {
  readonly #ring: Ring;
  #next = 0;

  constructor(registers: Region, dma: DmaSpace, at: number) {
    this.#ring = new Ring(registers, dma, at);
    this.#ring.enable();
  }

  /** Ends when the device has read the frame; the CRC is its part. */
  async send(frame: Uint8Array): Promise<void> {
    if (frame.length > frameBytes) throw new RangeError(`a frame of ${frame.length} bytes is too long`);
    const { memory } = this.#ring;
    const at = this.#ring.descriptor(this.#next);
    const { data, endOfFrame, addCrc, report, advanced, payloadShift } = transmit;
    memory.write(this.#ring.buffer(this.#next), frame);
    memory.data.setBigUint64(at, memory.at(this.#ring.buffer(this.#next)), true);
    memory.data.setUint32(at + 8, frame.length | data | endOfFrame | addCrc | report | advanced, true);
    memory.data.setUint32(at + 12, frame.length << payloadShift, true);
    this.#next = (this.#next + 1) % entries;
    this.#ring.write(queue.TAIL, this.#next);
    await until(
      () => (memory.data.getUint32(at + 12, true) & descriptorDone) !== 0,
      'the device does not send: may the function transmit?',
    );
  }
}
