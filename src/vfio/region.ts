/** Regions of a device: BARs, ROM and configuration space, accessed at exact width in native code. */
import { KernelError } from '../errors.ts';
import type { NativeVfioDevice } from '../native/contract.ts';

/** VFIO_PCI_*_REGION_INDEX. */
const regionIndex = { bar0: 0, bar1: 1, bar2: 2, bar3: 3, bar4: 4, bar5: 5, rom: 6, config: 7, vga: 8 } as const;
export type RegionName = keyof typeof regionIndex;

/** A region: each access is one access of its width, made in native code. What lies outside is a RangeError. */
export class Region {
  readonly name: RegionName;
  readonly bytes: bigint;
  readonly #native: NativeVfioDevice;
  readonly #index: number;
  readonly #end: number;

  constructor(name: RegionName, native: NativeVfioDevice) {
    this.name = name;
    this.#native = native;
    this.#index = regionIndex[name];
    this.bytes = KernelError.guard(() => native.region(this.#index)).bytes;
    this.#end = Number(this.bytes);
  }

  read8(offset: number): number {
    return this.#read(offset, 1) as number;
  }
  read16(offset: number): number {
    return this.#read(offset, 2) as number;
  }
  read32(offset: number): number {
    return this.#read(offset, 4) as number;
  }
  read64(offset: number): bigint {
    return this.#read(offset, 8) as bigint;
  }
  write8(offset: number, value: number): void {
    this.#write(offset, 1, value);
  }
  write16(offset: number, value: number): void {
    this.#write(offset, 2, value);
  }
  write32(offset: number, value: number): void {
    this.#write(offset, 4, value);
  }
  write64(offset: number, value: bigint): void {
    this.#write(offset, 8, value);
  }

  /**
   * What stands at these offsets, read in order, in one call: into `values`, if that is given. All offsets are looked at
   * before the first is read.
   * @example
   * const status = new Uint32Array(2);
   * for (;;) region.read32s(offsets, status); // allocates nothing
   */
  read32s(offsets: Uint32Array, values: Uint32Array = new Uint32Array(offsets.length)): Uint32Array {
    if (values.length < offsets.length) {
      throw new RangeError(`${values.length} values have no room for ${offsets.length} offsets`);
    }
    const inside = KernelError.guard(() => this.#native.read32s(this.#index, offsets, values));
    if (inside < offsets.length) throw this.#outside(offsets[inside] as number, 4);
    return values;
  }

  /** Offsets and values in turn, written in order, in one call. All offsets are looked at before the first is written. */
  write32s(pairs: Uint32Array): void {
    if (pairs.length % 2 !== 0) throw new RangeError('each offset needs a value');
    const inside = KernelError.guard(() => this.#native.write32s(this.#index, pairs));
    if (2 * inside < pairs.length) throw this.#outside(pairs[2 * inside] as number, 4);
  }

  #read(offset: number, width: number): number | bigint {
    this.#check(offset, width);
    return KernelError.guard(() => this.#native.read(this.#index, offset, width));
  }
  #write(offset: number, width: number, value: number | bigint): void {
    this.#check(offset, width);
    KernelError.guard(() => this.#native.write(this.#index, offset, width, value));
  }

  #check(offset: number, width: number): void {
    const inside = Number.isInteger(offset) && offset >= 0 && offset + width <= this.#end && offset % width === 0;
    if (!inside) throw this.#outside(offset, width);
  }

  #outside(offset: number, width: number): RangeError {
    const has = `which has ${this.#end} bytes`;
    const wanted = `offsets of accesses of ${width} bytes are multiples of ${width} below its end`;
    return new RangeError(`offset 0x${offset.toString(16)} is none of ${this.name}, ${has}: ${wanted}`);
  }
}
