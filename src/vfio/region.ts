/** Regions of a device: BARs, ROM and configuration space, accessed at exact width in native code. */
import { KernelError } from '../errors.ts';
import type { NativeVfioDevice } from '../native/contract.ts';

/** VFIO_PCI_*_REGION_INDEX. */
const regionIndex = { bar0: 0, bar1: 1, bar2: 2, bar3: 3, bar4: 4, bar5: 5, rom: 6, config: 7, vga: 8 } as const;
export type RegionName = keyof typeof regionIndex;

/** A region: each access is one access of its width, made in native code. */
export class Region {
  readonly name: RegionName;
  readonly bytes: bigint;
  readonly #native: NativeVfioDevice;

  constructor(name: RegionName, native: NativeVfioDevice) {
    this.name = name;
    this.#native = native;
    this.bytes = KernelError.guard(() => native.region(regionIndex[name])).bytes;
  }

  read8(offset: number): number {
    return this.#read(offset, 1);
  }
  read16(offset: number): number {
    return this.#read(offset, 2);
  }
  read32(offset: number): number {
    return this.#read(offset, 4);
  }
  read64(offset: number): bigint {
    return KernelError.guard(() => this.#native.read(regionIndex[this.name], offset, 8)) as bigint;
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

  /** What stands at these offsets, in one call. */
  read32s(offsets: Uint32Array): Uint32Array {
    return KernelError.guard(() => this.#native.read32s(regionIndex[this.name], offsets));
  }
  /** Offsets and values in turn, written in order, in one call. */
  write32s(pairs: Uint32Array): void {
    if (pairs.length % 2 !== 0) throw new RangeError('each offset needs a value');
    KernelError.guard(() => this.#native.write32s(regionIndex[this.name], pairs));
  }

  #read(offset: number, width: number): number {
    return KernelError.guard(() => this.#native.read(regionIndex[this.name], offset, width)) as number;
  }
  #write(offset: number, width: number, value: number | bigint): void {
    KernelError.guard(() => this.#native.write(regionIndex[this.name], offset, width, value));
  }
}
