/** Taking devices from their drivers for VFIO, as a plan: checked and shown before anything changes, undone where it fails. */
import { RefusedError } from '../change/errors.ts';
import type { Journal } from '../change/journal.ts';
import { type ApplyOptions, Change } from '../change/plan.ts';
import type { Step } from '../change/steps.ts';
import { Sysfs } from '../change/sysfs.ts';
import { UsageError } from '../errors.ts';
import type { Assignability } from '../probe/assignability.ts';
import { isAddress, judged, memoryRefusal, type Refusal, refusalsOf } from './checks.ts';
import { type DeviceOptions, VfioDevice } from './device.ts';

export const vfioDriver = 'vfio-pci';

export interface PlanOptions {
  /** Takes the other devices of their groups along, which VFIO asks for. */
  readonly withGroup?: boolean;
  /** Takes what the host uses all the same; the text says why, and stands in the journal. */
  readonly force?: string;
  /** How much memory is to be mapped for DMA: more than this process may pin is refused now. */
  readonly dmaBytes?: number;
  /** Another root than `/`, for tests. */
  readonly root?: string;
}

/** Why devices cannot be taken; nothing was changed. */
export class AssignmentRefusedError extends RefusedError {
  override readonly name = 'AssignmentRefusedError';
  override readonly code = 'ERR_VTKIT_ASSIGNMENT_REFUSED';
  readonly refusals: readonly Refusal[];
  constructor(refusals: readonly Refusal[]) {
    const remedies = [...new Set(refusals.flatMap(({ remedy }) => remedy ?? []))];
    const force = refusals.every(({ canBeForced }) => canBeForced) ? ['--force REASON takes it all the same'] : [];
    super(
      refusals.map(({ address, why }) => `${address}: ${why}`),
      [...remedies, ...force].join('; ') || undefined,
    );
    this.refusals = refusals;
  }
}

export class AssignmentPlan extends Change {
  /** What `force` overrules. */
  readonly overruled: readonly Refusal[];

  constructor(
    addresses: readonly string[],
    steps: readonly Step[],
    sysfs?: Sysfs,
    forced: string | null = null,
    overruled: readonly Refusal[] = [],
  ) {
    super(addresses, steps, sysfs, forced);
    this.overruled = overruled;
  }

  /** Does the steps, in order; where one fails, those before it are undone, last first. */
  async apply(options: ApplyOptions = {}): Promise<Assignment> {
    return new Assignment(this.addresses, await this.run(options));
  }
}

/** Devices that are with VFIO until this is disposed of. */
export class Assignment implements AsyncDisposable {
  readonly addresses: readonly string[];
  readonly #journal: Journal;
  readonly #opened = new Set<VfioDevice>();
  #over = false;

  constructor(addresses: readonly string[], journal: Journal) {
    this.addresses = addresses;
    this.#journal = journal;
  }

  /** Opens one of them; it is closed when they are given back. @throws as VfioDevice.open() does */
  device(address: string, options: DeviceOptions = {}): VfioDevice {
    if (!this.addresses.includes(address)) {
      throw new UsageError(`${address} is not of this assignment`, { hint: this.addresses.join(', ') });
    }
    const device = VfioDevice.open(address, options);
    this.#opened.add(device);
    return device;
  }

  /** Leaves them with VFIO when this process ends; `vtkit vfio unbind` gives them back. */
  keep(): void {
    this.#journal.keep();
    this.#over = true;
  }

  /**
   * Gives the devices back to the drivers that they had; a step that waits for another process is given up after `stepMs`.
   * @throws UsageError while a machine has one of `device()`
   */
  async release(options: { readonly stepMs?: number } = {}): Promise<void> {
    if (this.#over) return;
    for (const device of this.#opened) device.close();
    await this.#journal.undo(options);
    this.#over = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }
}

/**
 * Plans to take devices for VFIO. Reads, and changes nothing.
 * @throws AssignmentRefusedError with every reason, and what to do about it
 * @throws UsageError where an address is none
 */
export function planAssignment(addresses: readonly string[], options: PlanOptions = {}): AssignmentPlan {
  const sysfs = new Sysfs(options.root);
  const wanted = [...new Set(addresses)];
  const [first] = wanted;
  if (first === undefined) throw new UsageError('no device is named');
  const noAddress = wanted.find((address) => !isAddress(address));
  if (noAddress !== undefined) {
    throw new UsageError(`'${noAddress}' is no PCI address`, { hint: 'as sysfs names it: 0000:01:00.0' });
  }
  if (options.force?.trim() === '') throw new UsageError('--force asks for a reason');

  const devices = judged(sysfs);
  const along = wanted.flatMap((address) => companions(address, sysfs)).filter((each) => !wanted.includes(each));
  const all = [...wanted, ...new Set(options.withGroup === true ? along : [])];
  const refusals = [
    ...all.flatMap((address) => against(address, devices)),
    ...(options.withGroup === true ? [] : wanted.flatMap((address) => sharing(address, wanted, sysfs))),
    ...memoryRefusal(first, options.dmaBytes ?? 0, sysfs),
  ];
  const overruled = options.force === undefined ? [] : refusals.filter(({ canBeForced }) => canBeForced);
  const left = refusals.filter((refusal) => !overruled.includes(refusal));
  if (left.length > 0) throw new AssignmentRefusedError(left);
  return new AssignmentPlan(all, stepsFor(all, sysfs), sysfs, options.force ?? null, overruled);
}

function against(address: string, devices: ReadonlyMap<string, Assignability>): Refusal[] {
  const device = devices.get(address);
  if (device !== undefined) return refusalsOf(device);
  return [{ address, code: 'absent', why: 'is not there', remedy: 'lspci -D shows what is', canBeForced: false }];
}

function sharing(address: string, wanted: readonly string[], sysfs: Sysfs): Refusal[] {
  const missing = companions(address, sysfs).filter((each) => !wanted.includes(each));
  if (missing.length === 0) return [];
  const list = missing.map((each) => `${each} (${sysfs.driver(each) ?? 'no driver'})`).join(', ');
  return [
    {
      address,
      code: 'group',
      why: `shares IOMMU group ${sysfs.group(address)} with ${list}: VFIO takes a group as a whole`,
      remedy: 'take them along (--with-group), if the host can do without them',
      canBeForced: false,
    },
  ];
}

/** Base class 06h. Bridges of a group stay with their drivers: VFIO does not ask for them. */
const isBridge = (address: string, sysfs: Sysfs): boolean =>
  sysfs.read(sysfs.device(address, 'class'))?.startsWith('0x06') === true;

/** Drivers that leave a group viable: VFIO's own, and the one for what nobody is to use. */
const harmless = new Set([vfioDriver, 'pci-stub']);

/** Devices of the group that somebody else drives. */
function companions(address: string, sysfs: Sysfs): string[] {
  return sysfs
    .list(sysfs.device(address, 'iommu_group/devices'))
    .filter((each) => each !== address && !isBridge(each, sysfs))
    .filter((each) => {
      const driver = sysfs.driver(each);
      return driver !== null && !harmless.has(driver);
    });
}

/** All are taken from their drivers before any is given to VFIO. */
function stepsFor(addresses: readonly string[], sysfs: Sysfs): Step[] {
  const foreign = addresses.filter((address) => sysfs.driver(address) !== vfioDriver);
  return [
    ...foreign.flatMap((address): Step[] => {
      const driver = sysfs.driver(address);
      return driver === null ? [] : [{ kind: 'unbind', address, driver }];
    }),
    ...foreign.map((address): Step => ({ kind: 'override', address, from: sysfs.override(address), to: vfioDriver })),
    ...foreign.map((address): Step => ({ kind: 'probe', address, driver: vfioDriver })),
  ];
}
