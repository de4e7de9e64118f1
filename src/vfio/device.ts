/** A PCI device that VFIO gives to this process: its regions, its interrupts, its reset, and what it reaches by DMA. */

import { Sysfs } from '../change/sysfs.ts';
import { KernelError, NotSupportedError, UsageError } from '../errors.ts';
import type { Machine } from '../machine/machine.ts';
import type { PciFunction } from '../machine/pci/function.ts';
import type { NativeAddressSpace, NativeGroup, NativeVfioDevice } from '../native/contract.ts';
import { EventFd } from '../native/eventfd.ts';
import { loadAddon } from '../native/load.ts';
import { AssignedFunction } from './assigned-function.ts';
import { DmaSpace } from './dma.ts';

/** VFIO_PCI_*_REGION_INDEX. */
const regionIndex = { bar0: 0, bar1: 1, bar2: 2, bar3: 3, bar4: 4, bar5: 5, rom: 6, config: 7, vga: 8 } as const;
export type RegionName = keyof typeof regionIndex;

/** VFIO_PCI_*_IRQ_INDEX. */
const interruptIndex = { intx: 0, msi: 1, msix: 2, error: 3, request: 4 } as const;
export type InterruptKind = keyof typeof interruptIndex;

/** VFIO_TYPE1v2_IOMMU. */
const type1v2 = 3;

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

export class VfioDevice {
  readonly address: string;
  /** Which of the kernel's interfaces it was opened by. */
  readonly by: 'group' | 'iommufd';
  readonly dma: DmaSpace;
  readonly #native: NativeVfioDevice;
  readonly #space: NativeAddressSpace;
  readonly #descriptor: number;
  readonly #close: () => void;
  #holder: Machine | undefined;
  readonly #regions = new Map<RegionName, Region>();
  readonly #interrupts = new Map<InterruptKind, EventFd[]>();
  #open = true;

  private constructor(
    address: string,
    by: 'group' | 'iommufd',
    native: NativeVfioDevice,
    space: NativeAddressSpace,
    descriptor: number,
    close: () => void,
  ) {
    this.#space = space;
    this.#descriptor = descriptor;
    this.address = address;
    this.by = by;
    this.#native = native;
    this.#close = close;
    this.dma = new DmaSpace(space, loadAddon().vfio);
  }

  /**
   * Opens a device that vfio-pci drives: by its own node and IOMMUFD where the kernel has both, else by its group.
   * @throws KernelError with a hint: EBUSY (by IOMMUFD EINVAL) if another process has it, EPERM if its group is not viable
   */
  static open(address: string, { by }: { readonly by?: 'group' | 'iommufd' } = {}): VfioDevice {
    const sysfs = new Sysfs();
    const node = sysfs.list(sysfs.device(address, 'vfio-dev'))[0];
    const hasIommufd =
      node !== undefined && sysfs.list('/dev').includes('iommu') && sysfs.list('/dev/vfio/devices').includes(node);
    if (by === 'iommufd' && !hasIommufd) {
      throw new NotSupportedError(`${address} has no node of its own, or there is no /dev/iommu`, {
        requires: 'a kernel with IOMMUFD and VFIO character devices (Linux 6.6)',
      });
    }
    return by === 'group' || !hasIommufd
      ? VfioDevice.#byGroup(address, sysfs)
      : VfioDevice.#byIommufd(address, node as string);
  }

  static #byIommufd(address: string, node: string): VfioDevice {
    const { vfio } = loadAddon();
    const space = opened(() => new vfio.Iommufd('/dev/iommu'));
    try {
      const native = opened(() => space.device(`/dev/vfio/devices/${node}`));
      return new VfioDevice(address, 'iommufd', native, space, native.fd(), () => {
        native.close();
        space.close();
      });
    } catch (error) {
      space.close();
      throw error;
    }
  }

  static #byGroup(address: string, sysfs: Sysfs): VfioDevice {
    const { vfio } = loadAddon();
    const number = sysfs.group(address);
    if (number === null) throw new UsageError(`${address} is in no IOMMU group`);
    const group: NativeGroup = opened(() => new vfio.Group(`/dev/vfio/${number}`));
    try {
      const container = opened(() => new vfio.Container('/dev/vfio/vfio'));
      try {
        const native = opened(() => {
          group.setContainer(container);
          container.setIommu(type1v2);
          return group.device(address);
        });
        return new VfioDevice(address, 'group', native, container, group.fd(), () => {
          native.close();
          group.close();
          container.close();
        });
      } catch (error) {
        container.close();
        throw error;
      }
    } catch (error) {
      group.close();
      throw error;
    }
  }

  region(name: RegionName): Region {
    this.#assertOpen();
    const known = this.#regions.get(name);
    if (known !== undefined) return known;
    const region = new Region(name, this.#native);
    this.#regions.set(name, region);
    return region;
  }

  /** Lets the device begin transfers of its own (PCI command register, bus master). */
  enableBusMaster(): void {
    const config = this.region('config');
    config.write16(4, config.read16(4) | 0b110);
  }

  /** How many vectors a kind has; 0 where the device has none. */
  vectors(kind: InterruptKind): number {
    this.#assertOpen();
    return KernelError.guard(() => this.#native.interrupt(interruptIndex[kind])).count;
  }

  /** Vectors as eventfds, connected together: another call with another number connects these anew. */
  interrupts(kind: InterruptKind, count = 1): readonly EventFd[] {
    this.#assertOpen();
    const most = this.vectors(kind);
    if (!Number.isInteger(count) || count < 1 || count > most) {
      throw new RangeError(`${this.address} has ${most} vectors of ${kind}, not ${count}`);
    }
    this.disconnect(kind);
    const events = Array.from({ length: count }, () => new EventFd());
    try {
      KernelError.guard(() =>
        this.#native.setEventfds(
          interruptIndex[kind],
          Int32Array.from(events, ({ fd }) => fd),
        ),
      );
    } catch (error) {
      for (const event of events) event.close();
      throw error;
    }
    this.#interrupts.set(kind, events);
    return events;
  }

  /** Ends what interrupts() connected. */
  disconnect(kind: InterruptKind): void {
    const events = this.#interrupts.get(kind);
    if (events === undefined) return;
    this.#interrupts.delete(kind);
    KernelError.guard(() => this.#native.setEventfds(interruptIndex[kind], new Int32Array()));
    for (const event of events) event.close();
  }

  /** Function level reset, or what the kernel has in its place. */
  reset(): void {
    this.#assertOpen();
    KernelError.guard(() => this.#native.reset());
  }

  /** Devices that a hot reset would reset with this one. */
  get dependents(): readonly { readonly address: string; readonly group: number }[] {
    this.#assertOpen();
    const two = (value: number): string => value.toString(16).padStart(2, '0');
    return KernelError.guard(() => this.#native.dependents()).map(({ group, segment, bus, devfn }) => ({
      address: `${segment.toString(16).padStart(4, '0')}:${two(bus)}:${two(devfn >> 3)}.${devfn & 7}`,
      group,
    }));
  }

  /**
   * Makes it a function of a guest: the device reaches the guest's memory at guest-physical addresses, and nothing else.
   * `Machine.create({ devices: [device] })` does this, and puts it on the bus.
   * @throws UsageError if it has interrupts or memory of its own, or a machine has it
   */
  assignTo(machine: Machine): PciFunction {
    this.#assertOpen();
    if (this.#holder !== undefined) throw new UsageError(`a machine has ${this.address} already`);
    if (this.#interrupts.size > 0 || this.dma.isUsed) {
      throw new UsageError(`${this.address} has interrupts or DMA memory of this process`, {
        hint: 'disconnect() and unmap() what it has before a machine takes it',
      });
    }
    const parts = { device: this, native: this.#native, space: this.#space, descriptor: this.#descriptor };
    const assigned = new AssignedFunction(parts, machine);
    this.#holder = machine;
    return assigned;
  }

  /** @internal */
  releaseFrom(machine: Machine): void {
    if (this.#holder === machine) this.#holder = undefined;
  }

  /** Interrupts end, mappings end, the device is reset and free. @throws UsageError while a machine has it */
  close(): void {
    if (!this.#open) return;
    if (this.#holder !== undefined) {
      throw new UsageError(`a machine has ${this.address}`, {
        hint: 'close the machine, or remove the function, first',
      });
    }
    for (const kind of [...this.#interrupts.keys()]) this.disconnect(kind);
    this.#open = false;
    this.#close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #assertOpen(): void {
    if (!this.#open) throw new UsageError(`${this.address} was closed`);
  }
}

const taken =
  'another process has it: `vtkit vfio status` shows the devices, and the error of `vtkit vfio unbind` names who holds one';
const hints: Readonly<Record<string, string>> = {
  EBUSY: taken,
  EINVAL: taken, // what VFIO_DEVICE_BIND_IOMMUFD says of a node that is open twice
  ENOENT: 'no device of the group is with vfio-pci: `vtkit vfio bind` takes it',
  ENODEV: 'the device is not with vfio-pci: `vtkit vfio bind` takes it',
  EPERM:
    'its group is not viable: another device of it has a driver (`vtkit vfio bind --with-group`), or a reserved region forbids it',
  EACCES: 'the node belongs to root: run as root, or give the node to your group',
};

function opened<T>(open: () => T): T {
  try {
    return open();
  } catch (error) {
    throw KernelError.from(error, hints[(error as { code?: string }).code ?? '']);
  }
}
