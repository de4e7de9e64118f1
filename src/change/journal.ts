/** What a change intends and has done, on disk before it happens: a run that was killed at any step can be undone. */
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { CorruptInputError } from '../errors.ts';
import { bounded, defaultStepMs } from './bounded.ts';
import { RefusedError } from './errors.ts';
import { startOf } from './processes.ts';
import { describeUndo, revert, type Step } from './steps.ts';
import type { Sysfs } from './sysfs.ts';

const version = 1;

interface Entry {
  readonly journal: typeof version;
  readonly boot: string;
  /** Who writes it: a process, known by its start as well, since numbers come again. */
  readonly process: { readonly pid: number; readonly started: string };
  /** What stood at each address when the plan was made. */
  readonly devices: readonly { readonly address: string; readonly identity: string }[];
  readonly steps: readonly Step[];
  /** The reason that was given for a change that reasons stood against. */
  readonly forced: string | null;
  /** Steps that were begun: the last of them may have been done or not. */
  begun: number;
  /** To stay when its process ends. */
  kept: boolean;
}

/** Where journals are: a place that a reboot empties, as it gives every device back to its driver. */
export const journalFolder = 'run/vtkit/assignments';

export class Journal {
  readonly #path: string;
  readonly #sysfs: Sysfs;
  readonly #entry: Entry;

  private constructor(path: string, sysfs: Sysfs, entry: Entry) {
    this.#path = path;
    this.#sysfs = sysfs;
    this.#entry = entry;
  }

  /** Begins one. @throws RefusedError if a device is in another journal */
  static create(
    sysfs: Sysfs,
    addresses: readonly string[],
    steps: readonly Step[],
    forced: string | null = null,
  ): Journal {
    const folder = sysfs.at(journalFolder);
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const devices = addresses.map((address) => ({ address, identity: sysfs.identity(address) ?? '' }));
    const entry: Entry = {
      journal: version,
      boot: sysfs.bootId(),
      process: { pid: process.pid, started: startOf(sysfs, process.pid) ?? '' },
      devices,
      steps,
      forced,
      begun: 0,
      kept: false,
    };
    const name = `${addresses.map((address) => address.replaceAll(':', '.')).join('+')}.json`;
    const journal = new Journal(join(folder, name.length > 200 ? `${name.slice(0, 190)}.json` : name), sysfs, entry);
    try {
      journal.#write('wx');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      throw busy(addresses, Journal.naming(addresses, sysfs));
    }
    // Written first and looked around afterwards: of two that overlap, at most one goes on.
    const others = Journal.naming(addresses, sysfs).filter(({ path }) => path !== journal.path);
    if (others.length > 0) {
      journal.end();
      throw busy(addresses, others);
    }
    return journal;
  }

  /** Journals of this boot that name any of these. */
  static naming(addresses: readonly string[], sysfs: Sysfs): Journal[] {
    return Journal.all(sysfs).filter(
      (each): each is Journal =>
        each instanceof Journal && !each.isStale && each.addresses.some((address) => addresses.includes(address)),
    );
  }

  /** All that there are, those that cannot be read as errors. */
  static all(sysfs: Sysfs): (Journal | CorruptInputError)[] {
    const folder = sysfs.at(journalFolder);
    let names: string[];
    try {
      names = readdirSync(folder).filter((name) => name.endsWith('.json'));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
    return names
      .sort()
      .map((name) => read(join(folder, name), sysfs, (path, entry) => new Journal(path, sysfs, entry)));
  }

  get path(): string {
    return this.#path;
  }
  get addresses(): string[] {
    return this.#entry.devices.map(({ address }) => address);
  }
  get kept(): boolean {
    return this.#entry.kept;
  }
  get forced(): string | null {
    return this.#entry.forced ?? null;
  }
  /** The process that wrote it. */
  get writer(): number {
    return this.#entry.process.pid;
  }
  get steps(): readonly Step[] {
    return this.#entry.steps;
  }
  get begun(): number {
    return this.#entry.begun;
  }

  /** Whether the process that wrote it is still there. */
  get isLive(): boolean {
    const { boot, process: writer } = this.#entry;
    return boot === this.#sysfs.bootId() && startOf(this.#sysfs, writer.pid) === writer.started;
  }

  /** Of another boot: every device went back to its driver by itself. */
  get isStale(): boolean {
    return this.#entry.boot !== this.#sysfs.bootId();
  }

  /** The next step is about to be done: it is on disk before anything changes. */
  begin(): void {
    this.#entry.begun++;
    this.#write();
  }

  /** The devices stay with VFIO when this process ends. */
  keep(): void {
    this.#entry.kept = true;
    this.#write();
  }

  /**
   * Undoes what was begun, last first, and ends the journal. Each step that fails is told, and the others are undone all
   * the same; one that waits for who has the device is given up after `stepMs`, and the journal stays.
   */
  async undo({ stepMs = defaultStepMs }: { readonly stepMs?: number } = {}): Promise<void> {
    const failures: Error[] = [];
    const gone = new Set(
      this.#entry.devices
        .filter(({ address, identity }) => (this.#sysfs.identity(address) ?? '') !== identity)
        .map(({ address }) => address),
    );
    for (const step of this.#entry.steps.slice(0, this.#entry.begun).reverse()) {
      if (gone.has(step.address)) continue;
      try {
        const does = describeUndo(step, this.#sysfs);
        await bounded(() => revert(step, this.#sysfs), { address: step.address, does }, this.#sysfs, stepMs);
      } catch (error) {
        failures.push(error as Error);
      }
    }
    if (failures.length > 0) {
      throw new AggregateError(
        failures,
        `not all could be undone: ${failures.map(({ message }) => message).join('; ')}`,
      );
    }
    this.end();
  }

  end(): void {
    rmSync(this.#path, { force: true });
  }

  #write(flags: 'w' | 'wx' = 'w'): void {
    const unfinished = flags === 'wx' ? this.#path : `${this.#path}.tmp`;
    const file = openSync(unfinished, flags, 0o600);
    try {
      writeSync(file, `${JSON.stringify(this.#entry)}\n`);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    if (unfinished !== this.#path) renameSync(unfinished, this.#path);
  }
}

function busy(addresses: readonly string[], others: readonly Journal[]): RefusedError {
  const [other] = others;
  const names = other === undefined ? addresses : addresses.filter((address) => other.addresses.includes(address));
  const by = other === undefined || other.kept ? 'vtkit has' : `process ${other.writer} of vtkit has`;
  return new RefusedError(
    [`${by} ${names.join(', ')} already`],
    'vtkit vfio status shows it; vtkit vfio recover gives back what a run that was killed had',
  );
}

function read(path: string, sysfs: Sysfs, make: (path: string, entry: Entry) => Journal): Journal | CorruptInputError {
  try {
    const entry = JSON.parse(readFileSync(path, 'utf8')) as Entry;
    if (entry.journal === version && Array.isArray(entry.steps) && Array.isArray(entry.devices))
      return make(path, entry);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  // What was cut off was begun and never synced: nothing had been changed by then.
  const expected = `a journal of version ${version}`;
  return new CorruptInputError(`${path} is no journal; expected ${expected}`, {
    file: path,
    expected,
    hint: `boot ${sysfs.bootId()}`,
  });
}
