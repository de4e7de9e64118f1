/** Guest-physical memory: slots, and copying reads and writes as the door to them. */
import { KernelError, UsageError } from '../errors.ts';
import type { Address, NativeMachine } from '../native/contract.ts';

export interface MemorySlot {
  readonly guestPhysical: Address;
  /** A multiple of 4096. */
  readonly bytes: Address;
  /** Guest writes become `mmio-write` exits; the host may still write. */
  readonly readOnly?: boolean;
  /** Keeps a log of the pages that the guest writes; see {@link GuestMemory.takeDirtyLog}. */
  readonly logDirty?: boolean;
}

/** Who has to follow changes of memory: devices that reach it themselves. */
export interface MemoryWatcher {
  added(slot: number): void;
  removed(range: { readonly guestPhysical: bigint; readonly bytes: bigint }): void;
}

const pageBytes = 4096;

export class GuestMemory {
  readonly #native: NativeMachine;
  readonly #assertIdle: () => void;
  readonly #slots = new Map<number, { readonly guestPhysical: bigint; readonly bytes: bigint }>();
  readonly #watchers = new Set<MemoryWatcher>();
  #next = 0;

  /** @internal */
  constructor(native: NativeMachine, assertIdle: () => void) {
    this.#native = native;
    this.#assertIdle = assertIdle;
  }

  /** The slots by number, in the order in which they were added. */
  get slots(): ReadonlyMap<number, { readonly guestPhysical: bigint; readonly bytes: bigint }> {
    return this.#slots;
  }

  /**
   * Backs a range with zeroed memory, which costs what is touched (KVM_SET_USER_MEMORY_REGION). Gives the slot's number.
   * @throws RangeError if the range is misaligned, empty, or overlaps another; UsageError while a vCPU runs
   */
  addSlot(slot: MemorySlot): number {
    this.#assertIdle();
    const number = this.#next;
    KernelError.guard(() =>
      this.#native.addMemory(number, slot.guestPhysical, slot.bytes, slot.readOnly === true, slot.logDirty === true),
    );
    this.#next++;
    this.#slots.set(number, { guestPhysical: BigInt(slot.guestPhysical), bytes: BigInt(slot.bytes) });
    try {
      for (const watcher of this.#watchers) watcher.added(number);
    } catch (error) {
      this.removeSlot(number);
      throw error;
    }
    return number;
  }

  removeSlot(number: number): void {
    this.#assertIdle();
    const range = this.#slots.get(number);
    if (range !== undefined) for (const watcher of this.#watchers) watcher.removed(range);
    KernelError.guard(() => this.#native.removeMemory(number));
    this.#slots.delete(number);
  }

  /** @internal Gives what ends the watching. */
  watch(watcher: MemoryWatcher): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  /** Guest-physical addresses of the pages that the guest wrote since the last call (KVM_GET_DIRTY_LOG). */
  takeDirtyLog(number: number): bigint[] {
    const slot = this.#slots.get(number);
    if (slot === undefined) throw new RangeError(`no memory slot has the number ${number}`);
    const pages: bigint[] = [];
    for (const [word, bits] of KernelError.guard(() => this.#native.dirtyLog(number)).entries()) {
      for (let bit = 0, rest = bits; rest !== 0n; bit++, rest >>= 1n) {
        if (rest & 1n) pages.push(slot.guestPhysical + BigInt((word * 64 + bit) * pageBytes));
      }
    }
    return pages;
  }

  /** Copies `bytes` bytes out. @throws RangeError if any of them has no memory */
  read(address: Address, bytes: number): Uint8Array {
    if (!Number.isSafeInteger(bytes) || bytes < 0) throw new RangeError('bytes must be a whole number, at least 0');
    const limit = this.#largest();
    if (bytes > limit) throw this.#outside(address, bytes);
    const result = new Uint8Array(bytes);
    this.readInto(address, result);
    return result;
  }

  /** Copies into an array of the caller's. */
  readInto(address: Address, to: Uint8Array): void {
    if (!this.#native.readMemory(address, bytesOf(to))) throw this.#outside(address, to.byteLength);
  }

  /** Copies `data` in. @throws RangeError if any byte has no memory; nothing is written then */
  write(address: Address, data: Uint8Array): void {
    if (!(data instanceof Uint8Array)) throw new TypeError('data must be a Uint8Array');
    if (!this.#native.writeMemory(address, bytesOf(data))) throw this.#outside(address, data.byteLength);
  }

  readUint8(address: Address): number {
    return this.#word(address, 1).getUint8(0);
  }
  readUint16(address: Address): number {
    return this.#word(address, 2).getUint16(0, true);
  }
  readUint32(address: Address): number {
    return this.#word(address, 4).getUint32(0, true);
  }
  readBigUint64(address: Address): bigint {
    return this.#word(address, 8).getBigUint64(0, true);
  }

  writeUint8(address: Address, value: number): void {
    this.#put(address, 1, value, (view) => view.setUint8(0, value));
  }
  writeUint16(address: Address, value: number): void {
    this.#put(address, 2, value, (view) => view.setUint16(0, value, true));
  }
  writeUint32(address: Address, value: number): void {
    this.#put(address, 4, value, (view) => view.setUint32(0, value, true));
  }
  writeBigUint64(address: Address, value: bigint): void {
    this.#put(address, 8, value, (view) => view.setBigUint64(0, value, true));
  }

  /**
   * A view of guest memory inside one slot: no copy, and the guest may change it at any time. It stays valid after
   * close(), as memory that nobody else sees.
   */
  view(address: Address, bytes: number): Uint8Array {
    return new Uint8Array(KernelError.guard(() => this.#native.viewMemory(address, bytes)));
  }

  #word(address: Address, bytes: number): DataView {
    const data = new Uint8Array(bytes);
    this.readInto(address, data);
    return new DataView(data.buffer);
  }

  #put(address: Address, bytes: number, value: number | bigint, set: (view: DataView) => void): void {
    if (BigInt.asUintN(bytes * 8, BigInt(value)) !== BigInt(value)) {
      throw new RangeError(`value must fit ${bytes * 8} bits`);
    }
    const data = new Uint8Array(bytes);
    set(new DataView(data.buffer));
    this.write(address, data);
  }

  #largest(): number {
    let sum = 0n;
    for (const { bytes } of this.#slots.values()) sum += bytes;
    return Number(sum);
  }

  #outside(address: Address, bytes: number): RangeError {
    const start = BigInt(address);
    return new RangeError(
      `guest memory does not cover 0x${start.toString(16)}..0x${(start + BigInt(bytes)).toString(16)}: ${this.#describe()}`,
    );
  }

  #describe(): string {
    if (this.#slots.size === 0) return 'the machine has no memory';
    const ranges = [...this.#slots.values()].map(
      ({ guestPhysical, bytes }) => `0x${guestPhysical.toString(16)}..0x${(guestPhysical + bytes).toString(16)}`,
    );
    return `there is memory at ${ranges.join(', ')}`;
  }
}

function bytesOf(array: Uint8Array): Uint8Array {
  // A Buffer is a Uint8Array too; native code takes both, but not views of other element types.
  if (!(array instanceof Uint8Array)) throw new UsageError('bytes must be a Uint8Array');
  return array;
}
