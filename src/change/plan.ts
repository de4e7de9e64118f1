/** Steps as one change: shown before anything happens, journalled while it does, undone as a whole where one fails. */
import { accessSync, constants } from 'node:fs';
import { bounded, defaultStepMs } from './bounded.ts';
import { RefusedError } from './errors.ts';
import { Journal } from './journal.ts';
import { describe, describeUndo, files, perform, type Step } from './steps.ts';
import { Sysfs } from './sysfs.ts';

export interface ApplyOptions {
  readonly signal?: AbortSignal;
  /** How long one step may take: an unbind waits for whoever holds the device. */
  readonly stepMs?: number;
  /** Told of each step as it begins. */
  readonly onStep?: (step: Step, index: number) => void;
}

export class Change {
  /** Devices that no other change may touch meanwhile. */
  readonly addresses: readonly string[];
  readonly steps: readonly Step[];
  /** Why it is made against reasons; null where there are none. */
  readonly forced: string | null;
  readonly #sysfs: Sysfs;

  constructor(
    addresses: readonly string[],
    steps: readonly Step[],
    sysfs: Sysfs = new Sysfs(),
    forced: string | null = null,
  ) {
    this.forced = forced;
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
   * @throws RefusedError before the first step, where this process may not write a file of them
   * @throws AggregateError of the failure and of what could not be undone
   */
  async run({ signal, stepMs = defaultStepMs, onStep }: ApplyOptions = {}): Promise<Journal> {
    signal?.throwIfAborted();
    this.#expectRights();
    const journal = Journal.create(this.#sysfs, this.addresses, this.steps, this.forced);
    try {
      for (const [index, step] of this.steps.entries()) {
        signal?.throwIfAborted();
        onStep?.(step, index);
        journal.begin();
        const does = describe(step, this.#sysfs);
        await bounded(() => perform(step, this.#sysfs), { address: step.address, does }, this.#sysfs, stepMs);
      }
    } catch (cause) {
      await undoAfter(journal, cause as Error);
    }
    return journal;
  }

  /** Files that a step itself makes, as those of virtual functions, cannot be looked at yet. */
  #expectRights(): void {
    for (const file of new Set(this.steps.flatMap((step) => files(step, this.#sysfs)))) {
      try {
        accessSync(file, constants.W_OK);
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        const why = refusals[code ?? ''];
        if (why !== undefined) throw new RefusedError([`${file} may not be written (${code})`], why);
      }
    }
  }
}

const refusals: Readonly<Record<string, string>> = {
  EACCES: 'run as root',
  EPERM: 'run as root',
  EROFS: 'run outside this container, or give it a /sys that can be written',
};

async function undoAfter(journal: Journal, cause: Error): Promise<never> {
  try {
    await journal.undo();
  } catch (failure) {
    throw new AggregateError([cause, failure], `${cause.message}; and ${(failure as Error).message}`, { cause });
  }
  throw cause;
}
