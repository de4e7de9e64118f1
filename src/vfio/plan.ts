/** Taking devices from their drivers for VFIO, as a plan: checked and shown before anything changes, undone where it fails. */
import { UsageError } from '../errors.ts';
import { Journal } from './journal.ts';
import { describe, describeUndo, perform, type Step } from './steps.ts';
import { Sysfs } from './sysfs.ts';

export const vfioDriver = 'vfio-pci';

export interface PlanOptions {
  /** Takes the other devices of their groups along, which VFIO asks for. */
  readonly withGroup?: boolean;
  /** Another root than `/`, for tests. */
  readonly root?: string;
}

export interface ApplyOptions {
  readonly signal?: AbortSignal;
  /** How long one step may take: an unbind waits for whoever holds the device. */
  readonly stepMs?: number;
  /** Told of each step as it begins. */
  readonly onStep?: (step: Step, index: number) => void;
}

/** Why devices cannot be taken; nothing was changed. */
export class AssignmentRefusedError extends Error {
  override readonly name = 'AssignmentRefusedError';
  readonly code = 'ERR_VTKIT_ASSIGNMENT_REFUSED';
  readonly reasons: readonly string[];
  readonly hint: string | undefined;
  constructor(reasons: readonly string[], hint?: string) {
    super(reasons.join('; '));
    this.reasons = reasons;
    this.hint = hint;
  }
}

export class AssignmentPlan {
  readonly addresses: readonly string[];
  readonly steps: readonly Step[];
  readonly #sysfs: Sysfs;

  constructor(addresses: readonly string[], steps: readonly Step[], sysfs: Sysfs) {
    this.addresses = addresses;
    this.steps = steps;
    this.#sysfs = sysfs;
  }

  /** Each step as a person would type it, with what undoes it. */
  describe(): { readonly does: string; readonly undo: string }[] {
    return this.steps.map((step) => ({ does: describe(step, this.#sysfs), undo: describeUndo(step, this.#sysfs) }));
  }

  /**
   * Does the steps, in order; where one fails, those before it are undone, last first.
   * @throws AggregateError of the failure and of what could not be undone
   */
  async apply({ signal, stepMs = 30_000, onStep }: ApplyOptions = {}): Promise<Assignment> {
    signal?.throwIfAborted();
    const journal = Journal.create(this.#sysfs, this.addresses, this.steps);
    try {
      for (const [index, step] of this.steps.entries()) {
        signal?.throwIfAborted();
        onStep?.(step, index);
        journal.begin();
        await within(perform(step, this.#sysfs), stepMs, () => this.#stuck(step));
      }
    } catch (cause) {
      await undoAfter(journal, cause as Error);
    }
    return new Assignment(this.addresses, journal);
  }

  /** An unbind that does not come back waits for somebody: their names help more than the time that it took. */
  #stuck(step: Step): Error {
    const group = this.#sysfs.group(step.address);
    const holders = group === null ? [] : holdersOf(this.#sysfs, `/dev/vfio/${group}`);
    const by = holders.length > 0 ? `held by ${holders.join(', ')}` : 'whoever holds it is not to be seen from here';
    return new Error(`${describe(step, this.#sysfs)} does not end: ${step.address} is ${by}`);
  }
}

/** Devices that are with VFIO until this is disposed of. */
export class Assignment implements AsyncDisposable {
  readonly addresses: readonly string[];
  readonly #journal: Journal;
  #over = false;

  constructor(addresses: readonly string[], journal: Journal) {
    this.addresses = addresses;
    this.#journal = journal;
  }

  /** Leaves them with VFIO when this process ends; `vtkit vfio unbind` gives them back. */
  keep(): void {
    this.#journal.keep();
    this.#over = true;
  }

  /** Gives the devices back to the drivers that they had. */
  async release(): Promise<void> {
    if (this.#over) return;
    this.#over = true;
    await this.#journal.undo();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }
}

/**
 * Plans to take devices for VFIO. Reads, and changes nothing.
 * @throws AssignmentRefusedError with every reason
 * @throws UsageError where an address is none
 */
export function planAssignment(addresses: readonly string[], options: PlanOptions = {}): AssignmentPlan {
  const sysfs = new Sysfs(options.root);
  const wanted = [...new Set(addresses)];
  if (wanted.length === 0) throw new UsageError('no device is named');
  const reasons: string[] = [];
  for (const address of wanted) reasons.push(...reasonsAgainst(address, sysfs));
  if (reasons.length > 0) throw new AssignmentRefusedError(reasons);

  const all = [...wanted];
  for (const address of wanted) {
    const missing = companions(address, sysfs).filter((each) => !all.includes(each));
    if (missing.length === 0) continue;
    if (options.withGroup !== true) {
      const list = missing.map((each) => `${each} (${sysfs.driver(each) ?? 'no driver'})`).join(', ');
      throw new AssignmentRefusedError(
        [`${address} shares IOMMU group ${sysfs.group(address)} with ${list}: VFIO takes a group as a whole`],
        'take them along (--with-group), if the host can do without them',
      );
    }
    all.push(...missing);
  }
  return new AssignmentPlan(all, stepsFor(all, sysfs), sysfs);
}

function reasonsAgainst(address: string, sysfs: Sysfs): string[] {
  if (!/^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/.test(address)) {
    throw new UsageError(`'${address}' is no PCI address`, { hint: 'as sysfs names it: 0000:01:00.0' });
  }
  if (sysfs.identity(address) === null) return [`${address} is not there`];
  if (isBridge(address, sysfs)) return [`${address} is a bridge: what is behind it can be assigned`];
  if (sysfs.group(address) === null) return [`${address} is in no IOMMU group: the kernel remaps no DMA of it`];
  return [];
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

async function undoAfter(journal: Journal, cause: Error): Promise<never> {
  try {
    await journal.undo();
  } catch (failure) {
    throw new AggregateError([cause, failure], `${cause.message}; and ${(failure as Error).message}`, { cause });
  }
  throw cause;
}

async function within<T>(work: Promise<T>, milliseconds: number, late: () => Error): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const expired = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(late()), milliseconds);
  });
  try {
    return await Promise.race([work, expired]);
  } finally {
    clearTimeout(timer);
  }
}

/** Processes with this file open, as far as this user may see. */
export function holdersOf(sysfs: Sysfs, path: string): string[] {
  const holders: string[] = [];
  for (const pid of sysfs.list(sysfs.at('proc')).filter((name) => /^\d+$/.test(name))) {
    try {
      const open = sysfs.list(sysfs.at('proc', pid, 'fd'));
      if (!open.some((fd) => sysfs.target(sysfs.at('proc', pid, 'fd', fd)) === path)) continue;
    } catch (error) {
      if (['EACCES', 'EPERM', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) continue;
      throw error;
    }
    holders.push(`${sysfs.read(sysfs.at('proc', pid, 'comm')) ?? 'a process'} (${pid})`);
  }
  return holders;
}
