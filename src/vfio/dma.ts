/** Memory that a device reaches by DMA: allocated, mapped at an address of its own choosing, and given back. */
import { KernelError, UsageError } from '../errors.ts';
import type { NativeAddressSpace } from '../native/contract.ts';

const page = 4096;

/** Bytes that a device reaches at `iova`. */
export class DmaBuffer {
  readonly iova: bigint;
  readonly bytes: number;
  readonly #native: NativeAddressSpace;
  readonly #release: () => void;
  #viewed: ArrayBuffer | undefined;
  #mapped = true;

  constructor(native: NativeAddressSpace, iova: bigint, bytes: number, release: () => void) {
    this.iova = iova;
    this.bytes = bytes;
    this.#native = native;
    this.#release = release;
  }

  /** Its bytes, shared with the device. A view that was taken before unmap() stays readable; the device sees it no more. */
  get data(): DataView {
    return new DataView(this.#memory);
  }

  /** A copy of a part. */
  read(offset: number, bytes: number): Uint8Array {
    return Uint8Array.from(new Uint8Array(this.#memory, offset, bytes));
  }

  write(offset: number, data: Uint8Array): void {
    if (offset < 0 || offset + data.length > this.bytes) {
      throw new RangeError(`bytes ${offset} to ${offset + data.length} lie outside of a buffer of ${this.bytes}`);
    }
    new Uint8Array(this.#memory).set(data, offset);
  }

  /** The device's address of a byte. */
  at(offset: number): bigint {
    if (!Number.isInteger(offset) || offset < 0 || offset >= this.bytes) throw new RangeError(`no byte ${offset}`);
    return this.iova + BigInt(offset);
  }

  /** Takes it from the device, and gives its memory back once no view of it is left. */
  unmap(): void {
    if (!this.#mapped) return;
    this.#mapped = false;
    this.#release();
  }

  [Symbol.dispose](): void {
    this.unmap();
  }

  /** Made when somebody looks: an ArrayBuffer over foreign memory costs more than the mapping. */
  get #memory(): ArrayBuffer {
    if (!this.#mapped) throw new UsageError(`the buffer at iova 0x${this.iova.toString(16)} was unmapped`);
    this.#viewed ??= this.#native.view(this.iova);
    return this.#viewed;
  }
}

export interface AllocateOptions {
  /** A multiple of 4096. */
  readonly bytes: number;
  /** Where the device finds it; a free place, unless told. */
  readonly iova?: bigint;
  /** False keeps the device from writing. */
  readonly writable?: boolean;
}

/** What the devices of one container or Iommufd reach. */
export class DmaSpace {
  readonly #native: NativeAddressSpace;
  readonly #mapped = new Map<bigint, number>();

  constructor(native: NativeAddressSpace) {
    this.#native = native;
  }

  /** Whether anything is mapped. */
  get isUsed(): boolean {
    return this.#mapped.size > 0;
  }

  /** Where mappings may lie: what is missing is reserved, such as the MSI window, or above the unit's width. */
  get ranges(): readonly { readonly first: bigint; readonly last: bigint }[] {
    return KernelError.guard(() => this.#native.ranges()).map(([first, last]) => ({ first, last }));
  }

  /**
   * Zeroed memory, pinned and mapped.
   * @throws KernelError EEXIST where something is mapped, EINVAL in a reserved range, ENOMEM over RLIMIT_MEMLOCK
   */
  allocate({ bytes, iova, writable = true }: AllocateOptions): DmaBuffer {
    if (!Number.isInteger(bytes) || bytes <= 0 || bytes % page !== 0) {
      throw new RangeError(`bytes must be a multiple of ${page}, and ${bytes} is none`);
    }
    const place = iova ?? this.#free(bytes);
    if (place % BigInt(page) !== 0n) throw new RangeError(`iova 0x${place.toString(16)} is not at a page`);
    try {
      this.#native.allocate(bytes, place, writable);
    } catch (error) {
      throw KernelError.from(error, hints[(error as { code?: string }).code ?? '']);
    }
    this.#mapped.set(place, bytes);
    return new DmaBuffer(this.#native, place, bytes, () => {
      this.#mapped.delete(place);
      KernelError.guard(() => this.#native.unmap(place, bytes));
    });
  }

  /** First fit above 1 MiB: devices of old habits take low addresses for something else. */
  #free(bytes: number): bigint {
    const taken = [...this.#mapped].sort(([a], [b]) => (a < b ? -1 : 1));
    for (const { first, last } of this.ranges) {
      let at = first > 0x10_0000n ? first : 0x10_0000n;
      for (const [from, length] of taken) {
        if (from >= at + BigInt(bytes)) break;
        if (from + BigInt(length) > at) at = from + BigInt(length);
      }
      if (at + BigInt(bytes) - 1n <= last) return at;
    }
    throw new UsageError(`no ${bytes} bytes of I/O addresses are free`);
  }
}

const hints: Readonly<Record<string, string>> = {
  EEXIST: 'something is mapped there already',
  EINVAL:
    'the address is reserved (the MSI window at 0xfee00000) or above what the remapping unit translates: see ranges',
  ENOMEM: 'pinned memory counts against RLIMIT_MEMLOCK: raise it (ulimit -l), or run with CAP_IPC_LOCK',
};
