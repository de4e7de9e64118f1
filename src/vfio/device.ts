/** A PCI device that VFIO gives to this process: its regions, its interrupts, its reset, and what it reaches by DMA. */
import { KernelError, NotSupportedError, UsageError } from '../errors.ts';
import type { Machine } from '../machine/machine.ts';
import type { PciFunction, UnplugOptions } from '../machine/pci/function.ts';
import { EventFd } from '../native/eventfd.ts';
import { AssignedFunction, type AssignOptions } from './assigned-function.ts';
import { DmaSpace } from './dma.ts';
import { type Migration, migrationOf } from './migration.ts';
import { Notices } from './notices.ts';
import { type Opened, type OpenOptions, openDevice } from './opening.ts';
import { Region, type RegionName } from './region.ts';

/** VFIO_PCI_*_IRQ_INDEX. */
const interruptIndex = { intx: 0, msi: 1, msix: 2 } as const;
export type InterruptKind = keyof typeof interruptIndex;

/** Why a device is not open any more: its owner closed it, or the kernel asked for it. */
export type DeviceEnd = 'closed' | 'requested';

export interface DeviceOptions extends OpenOptions {
  /**
   * The kernel wants the device back: its driver is to be unbound, or its virtual function to go, and whoever asked for that
   * waits until this process closes it. Unless this is given, `giveBack()` does so at once.
   */
  readonly onRequest?: (device: VfioDevice) => void;
  /** The device had an error that nothing corrected (AER), and may do anything. Unless this is given, a warning says so. */
  readonly onError?: (device: VfioDevice) => void;
}

/** VFIO_PCI_DEVID_NOT_OWNED, as an unsigned number: in the place of a group, of a device that the IOMMUFD has not. */
const notOwned = 0xffff_ffff;

export class VfioDevice {
  readonly address: string;
  /** Which of the kernel's interfaces it was opened by. */
  readonly by: 'group' | 'iommufd';
  readonly dma: DmaSpace;
  /** Resolves when it is not open any more. */
  readonly ended: Promise<DeviceEnd>;
  readonly #opened: Opened;
  readonly #notices: Notices;
  readonly #end: (why: DeviceEnd) => void;
  #assigned: { readonly to: Machine; readonly as: AssignedFunction } | undefined;
  readonly #regions = new Map<RegionName, Region>();
  readonly #interrupts = new Map<InterruptKind, EventFd[]>();
  #why: DeviceEnd | undefined;

  private constructor(opened: Opened, { onRequest, onError }: DeviceOptions) {
    this.#opened = opened;
    this.address = opened.address;
    this.by = opened.by;
    this.dma = new DmaSpace(opened.space);
    let end: (why: DeviceEnd) => void = () => {};
    this.ended = new Promise((resolve) => {
      end = resolve;
    });
    this.#end = end;
    this.#notices = new Notices(opened.native, {
      request: () => (onRequest === undefined ? void this.giveBack() : onRequest(this)),
      error: () => (onError === undefined ? this.#warn() : onError(this)),
    });
  }

  /**
   * Opens a device that vfio-pci drives: by its own node and IOMMUFD where the kernel has both, else by its group.
   * @throws KernelError with a hint: EBUSY (by IOMMUFD EINVAL) if another process has it, EPERM if its group is not viable,
   * EACCES if it is a virtual function that asks for another `vfToken`
   */
  static open(address: string, options: DeviceOptions = {}): VfioDevice {
    const opened = openDevice(address, options);
    try {
      return new VfioDevice(opened, options);
    } catch (error) {
      opened.close();
      throw error;
    }
  }

  region(name: RegionName): Region {
    this.#assertOpen();
    const known = this.#regions.get(name);
    if (known !== undefined) return known;
    const region = new Region(name, this.#opened.native);
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
    return KernelError.guard(() => this.#opened.native.interrupt(interruptIndex[kind])).count;
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
        this.#opened.native.setEventfds(
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

  /** INTx is level triggered: it is masked when it comes, and comes again only after this. */
  unmaskIntx(): void {
    this.#assertOpen();
    KernelError.guard(() => this.#opened.native.mask(interruptIndex.intx, false));
  }

  /** Ends what interrupts() connected. */
  disconnect(kind: InterruptKind): void {
    const events = this.#interrupts.get(kind);
    if (events === undefined) return;
    this.#interrupts.delete(kind);
    KernelError.guard(() => this.#opened.native.setEventfds(interruptIndex[kind], new Int32Array()));
    for (const event of events) event.close();
  }

  /** Function level reset, or what the kernel has in its place. */
  reset(): void {
    this.#assertOpen();
    KernelError.guard(() => this.#opened.native.reset());
  }

  /** Devices that a hot reset would reset with this one. By IOMMUFD `group` is the device's id there. */
  get dependents(): readonly { readonly address: string; readonly group: number }[] {
    this.#assertOpen();
    const two = (value: number): string => value.toString(16).padStart(2, '0');
    return KernelError.guard(() => this.#opened.native.dependents()).map(({ group, segment, bus, devfn }) => ({
      address: `${segment.toString(16).padStart(4, '0')}:${two(bus)}:${two(devfn >> 3)}.${devfn & 7}`,
      group,
    }));
  }

  /**
   * Resets the bus or slot that it is on (VFIO_DEVICE_PCI_HOT_RESET).
   * @throws UsageError where a device of another group would be reset with it; KernelError ENOTTY where the kernel did not see
   * the device come back
   */
  hotReset(): void {
    const { by, group, native, descriptor } = this.#opened;
    const strangers = this.dependents.filter((each) =>
      by === 'group' ? each.group !== group : each.group === notOwned,
    );
    if (strangers.length > 0) {
      throw new UsageError(`a hot reset of ${this.address} would reset others too`, {
        hint: `${strangers.map(({ address }) => address).join(', ')}: not of its group; reset() resets it alone`,
      });
    }
    try {
      native.hotReset(by === 'group' ? Int32Array.of(descriptor) : new Int32Array());
    } catch (error) {
      const noLink = (error as { code?: string }).code === 'ENOTTY';
      throw KernelError.from(
        error,
        noLink ? 'the bus was reset, but its port shows no active link: see dmesg' : undefined,
      );
    }
  }

  /** What it can do for a migration, and in which state of it it is; undefined for a device that cannot migrate. */
  get migration(): Migration | undefined {
    this.#assertOpen();
    return migrationOf(this.#opened.native);
  }

  /** Whether it can keep a log of the pages that it writes (VFIO_DEVICE_FEATURE_DMA_LOGGING_START). */
  get logsDma(): boolean {
    this.#assertOpen();
    return KernelError.guard(() => this.#opened.native.logsDma());
  }

  /**
   * Of a physical function: the UUID that whoever opens one of its virtual functions has to know (VFIO_DEVICE_FEATURE_PCI_VF_TOKEN).
   * @throws NotSupportedError for a function that can have no virtual ones under vfio-pci
   */
  setVfToken(uuid: string): void {
    this.#assertOpen();
    if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(uuid)) throw new TypeError(`'${uuid}' is no UUID`);
    const token = Uint8Array.from(Buffer.from(uuid.replaceAll('-', ''), 'hex'));
    try {
      KernelError.guard(() => this.#opened.native.setVfToken(token));
    } catch (cause) {
      if (!(cause instanceof KernelError) || cause.code !== 'ENOTTY') throw cause;
      throw new NotSupportedError(`${this.address} has no virtual functions that a token could keep`, {
        requires: 'a physical function, with vfio-pci since before it had virtual ones',
        cause,
      });
    }
  }

  /**
   * Makes it a function of a guest: the device reaches the guest's memory at guest-physical addresses, and nothing else.
   * `Machine.create({ devices: [device] })` does this, and puts it on the bus.
   * @throws UsageError if it has interrupts or memory of its own, or a machine has it
   */
  assignTo(machine: Machine, options: AssignOptions = {}): PciFunction {
    this.#assertOpen();
    if (this.#assigned !== undefined) throw new UsageError(`a machine has ${this.address} already`);
    if (this.#interrupts.size > 0 || this.dma.isUsed) {
      throw new UsageError(`${this.address} has interrupts or DMA memory of this process`, {
        hint: 'disconnect() and unmap() what it has before a machine takes it',
      });
    }
    const as = new AssignedFunction({ ...this.#opened, device: this }, machine, options);
    this.#assigned = { to: machine, as };
    return as;
  }

  /** @internal */
  releaseFrom(machine: Machine): void {
    if (this.#assigned?.to === machine) this.#assigned = undefined;
  }

  /**
   * Closes it, even while a machine has it: its guest finds the slot empty from then on. Behind a RootPort the guest is
   * asked first, and has a time to let go.
   */
  async giveBack(options?: UnplugOptions): Promise<void> {
    try {
      await this.#assigned?.as.unplug(options);
    } finally {
      this.#close('requested');
    }
  }

  /** Interrupts end, mappings end, the device is reset and free. @throws UsageError while a machine has it */
  close(): void {
    if (this.#assigned !== undefined) {
      throw new UsageError(`a machine has ${this.address}`, {
        hint: 'close the machine, or remove the function, first',
      });
    }
    this.#close('closed');
  }

  #close(why: DeviceEnd): void {
    if (this.#why !== undefined) return;
    for (const kind of [...this.#interrupts.keys()]) this.disconnect(kind);
    this.#why = why;
    this.#notices.close();
    this.#opened.close();
    this.#end(why);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #warn(): void {
    process.emitWarning(`${this.address} had an error that nothing corrected (AER): reset or close it`, {
      code: 'VTKIT_DEVICE_ERROR',
    });
  }

  #assertOpen(): void {
    if (this.#why === undefined) return;
    throw new UsageError(`${this.address} was closed${this.#why === 'requested' ? ': the kernel asked for it' : ''}`);
  }
}
