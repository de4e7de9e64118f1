/** Two engines run one guest side by side, and are compared whenever both stand between two instructions. */
import { setImmediate } from 'node:timers/promises';
import { codeAt } from '../machine/crash.ts';
import { instructionAt } from '../machine/disassemble.ts';
import type { Outcome } from '../machine/pc.ts';
import { registerNames } from '../machine/registers.ts';
import { Accesses, Parted } from './accesses.ts';
import type { Board } from './board.ts';
import { type Difference, stateDifferences } from './differences.ts';
import { excuse } from './excuses.ts';
import type { LocalSide } from './local-side.ts';
import type { CpuState, Side, Start, Stop } from './side.ts';
import { Written } from './written.ts';

const interruptFlag = 0x200n;
/** Steps between two comparisons at exits, before a search gives up. */
const mostSteps = 50_000_000;
/** A timer that is masked ticks for ever: other events get their turn. */
const skipsPerTurn = 1024;
/** How often KVM may tell of a step in which nothing was done: behind an access, and with VT-x behind each EPT violation. */
const mostIdleSteps = 32;

export interface LockstepOptions {
  /** The emulated processor, which also shows the code. */
  readonly first: LocalSide;
  readonly second: Side;
  readonly board: Board;
  readonly start: Start;
  /** Compares behind every so many instructions, too, by single steps; 0: at exits only. */
  readonly every: number;
  readonly signal?: AbortSignal | undefined;
  /** Called now and then with what was compared so far. */
  readonly onProgress?: ((counts: Counts) => void) | undefined;
}

export interface Counts {
  /** Exits, and instructions that were stepped. */
  readonly exits: number;
  readonly steps: number;
}

export interface Found {
  readonly instruction: string | undefined;
  readonly linear: bigint;
  readonly before: CpuState;
  readonly after: readonly [CpuState, CpuState] | undefined;
  readonly differences: readonly Difference[];
  /** What differed at the exit that began the search, if the search ended otherwise. */
  readonly seen: readonly Difference[];
  /** In words, where one side does what the other does not: it leaves, or waits. */
  readonly stops: readonly [string, string] | undefined;
}

export interface LockstepResult extends Counts {
  readonly end:
    | { readonly kind: 'ended'; readonly outcome: Outcome['kind'] | 'silent' | (string & {}) }
    | { readonly kind: 'difference'; readonly found: Found };
  /** Differences that the manual allows, with how often each was met. */
  readonly excused: ReadonlyMap<string, number>;
}

export async function lockstep(options: LockstepOptions): Promise<LockstepResult> {
  const pair = new Pair(options);
  await pair.load();
  return pair.run();
}

class Pair {
  readonly #options: LockstepOptions;
  readonly #accesses: Accesses;
  readonly #written: Written;
  readonly #excused = new Map<string, number>();
  /** The last state in which both were alike. */
  #alike: CpuState;
  /** The interrupt that both were given since, if there was one. */
  #injected: number | undefined;
  /** The states that were compared last, where they differ. */
  #last: readonly [CpuState, CpuState] | undefined;
  #seen: readonly Difference[] = [];
  #steps = 0;

  constructor(options: LockstepOptions) {
    const { first, second, board, start } = options;
    this.#options = options;
    this.#accesses = new Accesses(first, second, board);
    this.#written = new Written([first, second], start);
    this.#alike = start.state;
  }

  async load(): Promise<void> {
    const { first, second, start } = this.#options;
    await first.load(start);
    await second.load(start);
    await this.#compare();
  }

  async run(): Promise<LockstepResult> {
    const { every, onProgress, signal } = this.#options;
    for (let round = 0; ; round++) {
      signal?.throwIfAborted();
      if (round % 256 === 0) onProgress?.({ exits: this.#accesses.exits, steps: this.#steps });
      const ended = this.#options.board.outcome?.kind;
      if (ended !== undefined) return this.#result({ kind: 'ended', outcome: ended });
      const found = await this.#round(() => (every > 0 ? this.#forwardBy(every) : this.#toExit()));
      if (found !== undefined) return this.#result(found);
    }
  }

  #result(end: LockstepResult['end']): LockstepResult {
    return { end, exits: this.#accesses.exits, steps: this.#steps, excused: this.#excused };
  }

  /** Takes both on, and compares them there; a difference is searched for by steps. */
  async #round(forward: () => Promise<Stop>): Promise<LockstepResult['end'] | undefined> {
    let parted: Parted | undefined;
    this.#seen = [];
    try {
      const stop = await forward();
      const differences = await this.#compare();
      if (differences.length === 0) return this.#behind(stop);
      this.#seen = differences;
    } catch (error) {
      if (!(error instanceof Parted)) throw error;
      parted = error;
    }
    const end = await this.#search();
    if (end !== undefined || parted === undefined) return end;
    return { kind: 'difference', found: await this.#found([], undefined, parted.stops) };
  }

  /** To the next exit of both. */
  #toExit(): Promise<Stop> {
    const { first, second } = this.#options;
    return this.#accesses.leave(
      () => first.run(),
      () => second.run(),
    );
  }

  /** So many instructions, or to the first that leaves. */
  async #forwardBy(instructions: number): Promise<Stop> {
    for (let i = 1; ; i++) {
      const stop = await this.#forwardBoth();
      if (stop.kind !== 'stepped' || i >= instructions) return stop;
    }
  }

  async #forwardBoth(): Promise<Stop> {
    const { first, second, board } = this.#options;
    this.#steps++;
    const before = await first.state();
    let to: bigint | undefined;
    const stop = await this.#accesses.leave(
      async (further) => {
        if (further) return first.step();
        const gives = await this.#forward(first);
        to = gives.kind === 'stepped' ? await this.#elsewhere(before) : undefined;
        return gives;
      },
      (further) => (further || to !== undefined ? second.step(to) : this.#forward(second)),
    );
    board.pass(1n);
    return stop;
  }

  /** Where the first side is, if an exception or an interrupt led it there. */
  async #elsewhere(before: CpuState): Promise<bigint | undefined> {
    const after = await this.#options.first.state();
    const { rip } = before.registers;
    const instruction = await this.#instruction(before);
    const next = rip + BigInt(instruction?.bytes ?? 0);
    if (instruction?.branches || after.registers.rip === next || after.registers.rip === rip) return undefined;
    return codeAt(this.#options.first.machine.memory, after.system, after.registers.rip).linear;
  }

  /** Compares both; alike, they are where the next search begins. */
  async #compare(): Promise<readonly Difference[]> {
    const { first, second } = this.#options;
    const differences = await this.#look();
    if (this.#last === undefined || !differences.some(({ what }) => what === 'rip')) return differences;
    // Engines may stop behind MOV SS and STI, or behind the instruction that those shield.
    if (this.#last[0].shadow) await first.step();
    // Behind its last access, KVM has yet to see that a repeated instruction's count is 0.
    else if ((await this.#instruction(this.#last[1]))?.text.startsWith('rep')) await this.#forward(second);
    else return differences;
    return this.#look();
  }

  async #look(): Promise<readonly Difference[]> {
    const { first, second } = this.#options;
    const [a, b] = [await first.state(), await second.state()];
    const differences = [...stateDifferences(a, b), ...(await this.#written.differences())];
    if (differences.length === 0) this.#remember(a);
    else this.#last = [a, b];
    return differences;
  }

  #remember(state: CpuState): void {
    this.#accesses.settle();
    this.#written.settle();
    this.#last = undefined;
    this.#alike = state;
    this.#injected = undefined;
  }

  /** Takes both back to where they were alike. */
  async #takeBack(): Promise<void> {
    const { first, second } = this.#options;
    const pages = await this.#written.before();
    for (const side of [first, second]) {
      await side.restore(this.#alike, pages);
      if (this.#injected !== undefined) await side.interrupt(this.#injected);
      await side.dirtied();
    }
    this.#written.rewind();
    this.#accesses.rewind();
  }

  /** From the last state in which both were alike, an instruction at a time; undefined if stepped they stay alike. */
  async #search(): Promise<LockstepResult['end'] | undefined> {
    await this.#takeBack();
    for (let i = 0; i < mostSteps; i++) {
      this.#options.signal?.throwIfAborted();
      const { found, stop } = await this.#step();
      if (found !== undefined) return { kind: 'difference', found };
      if (stop.kind !== 'stepped' && !this.#accesses.repeats) return this.#behind(stop);
    }
    return undefined;
  }

  /** One instruction of both; what differs behind it, unless the manual allows that. */
  async #step(): Promise<{ readonly stop: Stop; readonly found?: Found }> {
    const before = this.#alike;
    try {
      const stop = await this.#forwardBoth();
      const differences = await this.#compare();
      if (differences.length === 0) return { stop };
      const after = this.#last;
      const why = excuse(await this.#instruction(before), differences);
      if (why === undefined || after === undefined)
        return { stop, found: await this.#found(differences, after, undefined, before) };
      this.#excused.set(why, (this.#excused.get(why) ?? 0) + 1);
      // Both go on with what the second has: it is the real one. Its XSAVE area may have components that the first lacks.
      const agreed = { ...after[1], xsave: after[0].xsave };
      await this.#options.first.restore(agreed, []);
      this.#remember(agreed);
      return { stop };
    } catch (error) {
      if (!(error instanceof Parted)) throw error;
      return { stop: { kind: 'stepped' }, found: await this.#found([], undefined, error.stops, before) };
    }
  }

  /**
   * An instruction that repeats itself is one, though KVM may stop within it; and KVM tells of some before they are done.
   */
  async #forward(side: Side): Promise<Stop> {
    const before = await side.state();
    let last = before.registers;
    for (let again = 0; ; again++) {
      const stop = await side.step();
      if (stop.kind !== 'stepped') return stop;
      const { registers } = await side.state();
      const moved = registerNames.some((name) => name !== 'rflags' && registers[name] !== last[name]);
      if (registers.rip !== before.registers.rip || (!moved && again >= mostIdleSteps)) return stop;
      last = registers;
    }
  }

  /** What happens between two instructions: an interrupt, the end, or nothing. */
  async #behind(stop: Stop): Promise<LockstepResult['end'] | undefined> {
    const { board, first, second } = this.#options;
    const interruptible = (this.#alike.registers.rflags & interruptFlag) !== 0n && !this.#alike.shadow;
    if (stop.kind === 'end') return { kind: 'ended', outcome: stop.what };
    if (stop.kind === 'silent') return { kind: 'ended', outcome: 'silent' };
    if (stop.kind === 'halt' && (!interruptible || !(await this.#wait()))) return { kind: 'ended', outcome: 'halted' };
    if (!interruptible || !board.interrupts) return undefined;
    const vector = board.acknowledge();
    if (vector < 0) return undefined;
    this.#injected = vector;
    await first.interrupt(vector);
    await second.interrupt(vector);
    return undefined;
  }

  /** Both are halted, until a device interrupts. False: none will. */
  async #wait(): Promise<boolean> {
    const { board, signal } = this.#options;
    for (let skips = 1; !board.interrupts; skips++) {
      if (!board.skip()) return false;
      if (skips % skipsPerTurn !== 0) continue;
      await setImmediate();
      signal?.throwIfAborted();
    }
    return true;
  }

  #instruction(state: CpuState) {
    const { bits, bytes } = codeAt(this.#options.first.machine.memory, state.system, state.registers.rip);
    return instructionAt(bytes, state.registers.rip, bits);
  }

  async #found(
    differences: readonly Difference[],
    after: Found['after'],
    stops: Found['stops'],
    before: CpuState = this.#alike,
  ): Promise<Found> {
    const { linear } = codeAt(this.#options.first.machine.memory, before.system, before.registers.rip);
    return {
      instruction: (await this.#instruction(before))?.text,
      linear,
      before,
      after,
      differences,
      stops,
      seen: this.#seen,
    };
  }
}
