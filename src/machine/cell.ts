/** The page that a vCPU shares with its thread, seen through typed arrays (native/vcpu/cell.h). */
import type { Layout } from '../native/contract.ts';

export const phase = { stopped: 0, running: 1, exited: 2 } as const;
export const command = { none: 0, run: 1, complete: 2 } as const;

const exitKinds = 32;

export class Cell {
  readonly #words: Int32Array;
  readonly #view: DataView;
  readonly #layout: Layout;
  readonly #phase: number;
  readonly #command: number;
  readonly #threadSleeps: number;
  readonly #readerSleeps: number;
  readonly #stopRequested: number;
  /** The eighteen general registers, in the order of kvm_regs. */
  readonly regs: BigUint64Array;
  readonly sregs: DataView;
  readonly data: Uint8Array;

  constructor(buffer: ArrayBuffer, layout: Layout) {
    this.#words = new Int32Array(buffer);
    this.#view = new DataView(buffer);
    this.#layout = layout;
    this.#phase = layout.phase / 4;
    this.#command = layout.command / 4;
    this.#threadSleeps = layout.threadSleeps / 4;
    this.#readerSleeps = layout.readerSleeps / 4;
    this.#stopRequested = layout.stopRequested / 4;
    this.regs = new BigUint64Array(buffer, layout.regs, 18);
    this.sregs = new DataView(buffer, layout.sregs, 312);
    this.data = new Uint8Array(buffer, layout.exitData, 4096);
  }

  get phase(): number {
    return Atomics.load(this.#words, this.#phase);
  }

  /** Posts a command. True if the thread sleeps and has to be woken. */
  post(value: number): boolean {
    Atomics.store(this.#words, this.#phase, phase.running);
    Atomics.store(this.#words, this.#command, value);
    return Atomics.load(this.#words, this.#threadSleeps) !== 0;
  }

  /** Says that nobody polls any more: the thread is to call. */
  set readerSleeps(sleeps: boolean) {
    Atomics.store(this.#words, this.#readerSleeps, sleeps ? 1 : 0);
  }

  clearStopRequest(): void {
    Atomics.store(this.#words, this.#stopRequested, 0);
  }

  get stopRequested(): boolean {
    return Atomics.load(this.#words, this.#stopRequested) !== 0;
  }

  set regsDirty(dirty: boolean) {
    this.#words[this.#layout.regsDirty / 4] = dirty ? 1 : 0;
  }

  get exitKind(): number {
    return this.#words[this.#layout.exitKind / 4] ?? 0;
  }
  get exitSize(): number {
    return this.#words[this.#layout.exitSize / 4] ?? 0;
  }
  get exitCount(): number {
    return this.#words[this.#layout.exitCount / 4] ?? 0;
  }
  get exitReason(): number {
    return this.#words[this.#layout.exitReason / 4] ?? 0;
  }
  /** The port of an I/O exit: an address that fits a number. */
  get exitPort(): number {
    return this.#words[this.#layout.exitAddress / 4] ?? 0;
  }
  get exitAddress(): bigint {
    return this.#view.getBigUint64(this.#layout.exitAddress, true);
  }
  get exitRip(): bigint {
    return this.#view.getBigUint64(this.#layout.exitRip, true);
  }
  exitDetail(index: number): bigint {
    return this.#view.getBigUint64(this.#layout.exitDetail + 8 * index, true);
  }

  item(index: number, size: number): bigint {
    const at = this.#layout.exitData + index * size;
    switch (size) {
      case 1:
        return BigInt(this.#view.getUint8(at));
      case 2:
        return BigInt(this.#view.getUint16(at, true));
      case 4:
        return BigInt(this.#view.getUint32(at, true));
      default: // MMIO has every size up to 8: an access that crosses pages comes in two parts
        return BigInt.asUintN(8 * size, this.#view.getBigUint64(at, true));
    }
  }

  setItem(index: number, size: number, value: bigint): void {
    const at = this.#layout.exitData + index * size;
    switch (size) {
      case 1:
        this.#view.setUint8(at, Number(value & 0xffn));
        break;
      case 2:
        this.#view.setUint16(at, Number(value & 0xffffn), true);
        break;
      case 4:
        this.#view.setUint32(at, Number(value & 0xffff_ffffn), true);
        break;
      default:
        this.#view.setBigUint64(at, BigInt.asUintN(64, value), true);
    }
  }

  /** Item 0 as a number, for handlers: exact up to 4 bytes. */
  numberItem(index: number, size: number): number {
    const at = this.#layout.exitData + index * size;
    if (size === 1) return this.#view.getUint8(at);
    if (size === 2) return this.#view.getUint16(at, true);
    const value = this.#view.getUint32(at, true);
    return size === 3 ? value & 0xff_ffff : value;
  }

  setNumberItem(index: number, size: number, value: number): void {
    const at = this.#layout.exitData + index * size;
    if (size === 1) this.#view.setUint8(at, value);
    else if (size === 2) this.#view.setUint16(at, value, true);
    else this.#view.setUint32(at, value, true);
  }

  /** Exits so far, by kind number, those that devices in C++ answered included. */
  exitCounts(): BigUint64Array {
    return new BigUint64Array(
      this.#view.buffer.slice(this.#layout.exitCounts, this.#layout.exitCounts + 8 * exitKinds),
    );
  }

  get instructions(): bigint {
    return this.#view.getBigUint64(this.#layout.instructions, true);
  }
}
