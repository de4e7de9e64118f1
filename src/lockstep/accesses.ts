/** What the guest accesses outside its memory: each access is performed once, by the board, and answered to both sides. */
import type { Board } from './board.ts';
import type { Access, Given, Side, Stop } from './side.ts';

/** Thrown where one side does what the other does not. */
export class Parted extends Error {
  readonly stops: readonly [string, string];
  constructor(first: string, second: string) {
    super('the sides part');
    this.stops = [first, second];
  }
}

/** Takes a side on; `further`: to the next access of an instruction, within which it has no state. */
export type Forward = (further: boolean) => Given<Stop>;

/** One item of an access, with what the board said. */
interface Performed {
  readonly access: Access;
  readonly answers: readonly bigint[];
}

export class Accesses {
  readonly #first: Side;
  readonly #second: Side;
  readonly #board: Board;
  /** Since both sides were last alike: sides that are taken back get the same answers again. */
  #performed: Performed[] = [];
  /** How many of them each side has made. */
  #byFirst = 0;
  #bySecond = 0;
  #exits = 0;

  constructor(first: Side, second: Side, board: Board) {
    this.#first = first;
    this.#second = second;
    this.#board = board;
  }

  /** Exits of both sides so far. */
  get exits(): number {
    return this.#exits;
  }

  /** Whether the sides, taken back, have yet to make an access that was performed already. */
  get repeats(): boolean {
    return this.#performed.length > 0;
  }

  /** Both sides are alike: nothing behind this has to be repeated. */
  settle(): void {
    this.#performed.splice(0, this.#byFirst);
    this.rewind();
  }

  /** The sides were taken back. */
  rewind(): void {
    this.#byFirst = this.#bySecond = 0;
  }

  /** Takes both sides to the same stop. @throws Parted if they come to different ones */
  async leave(first: Forward, second: Forward): Promise<Stop> {
    const a = await first(false);
    let whole = a.kind === 'access' ? await this.#answerFirst(a.access) : true;
    let b = await second(false);
    for (;;) {
      if (b.kind !== a.kind) throw new Parted(describe(a), describe(b));
      if (a.kind !== 'access' || b.kind !== 'access') {
        if (describe(a) !== describe(b)) throw new Parted(describe(a), describe(b));
        return a;
      }
      // Engines divide string instructions differently: who is behind goes on.
      if (this.#missing(b.access) > 0) {
        whole = await this.#furtherOfFirst(first, describe(b));
        continue;
      }
      const both = (await this.#answerSecond(b.access)) && whole;
      this.#exits++;
      if (both && this.#bySecond === this.#byFirst) return a;
      if (this.#bySecond === this.#byFirst) whole = await this.#furtherOfFirst(first, 'a further access');
      b = await second(true);
    }
  }

  async #furtherOfFirst(first: Forward, other: string): Promise<boolean> {
    const next = await first(true);
    if (next.kind !== 'access') throw new Parted(describe(next), other);
    return this.#answerFirst(next.access);
  }

  /** Item by item: the board answers, unless it did so before the sides were taken back. */
  #answerFirst(access: Access): Given<boolean> {
    const answers: bigint[] = [];
    for (const value of access.values) {
      const item = { ...access, values: [value] };
      let known = this.#performed[this.#byFirst];
      if (known === undefined || !same(known.access, item)) {
        known = { access: item, answers: this.#board.perform(item) };
        this.#performed.splice(this.#byFirst, Number.POSITIVE_INFINITY, known);
      }
      answers.push(...known.answers);
      this.#byFirst++;
    }
    return this.#first.answer(answers);
  }

  /** How many items of the second side's access the first has yet to make. @throws Parted if those that it made differ */
  #missing(access: Access): number {
    const made = this.#performed.slice(this.#bySecond, Math.min(this.#byFirst, this.#bySecond + access.values.length));
    for (const [i, { access: ofFirst }] of made.entries()) {
      const item = { ...access, values: [access.values[i] ?? 0n] };
      if (!same(ofFirst, item)) throw new Parted(describeAccess(ofFirst), describeAccess(item));
    }
    return access.values.length - made.length;
  }

  #answerSecond(access: Access): Given<boolean> {
    const items = this.#performed.slice(this.#bySecond, this.#bySecond + access.values.length);
    this.#bySecond += items.length;
    return this.#second.answer(items.flatMap(({ answers }) => answers));
  }
}

const same = (a: Access, b: Access): boolean =>
  a.space === b.space &&
  a.write === b.write &&
  a.address === b.address &&
  a.size === b.size &&
  (!a.write || a.values[0] === b.values[0]);

function describe(stop: Stop): string {
  switch (stop.kind) {
    case 'access':
      return describeAccess(stop.access);
    case 'end':
      return stop.what;
    case 'stepped':
      return 'goes on';
    default:
      return stop.kind;
  }
}

function describeAccess({ space, write, address, size, values }: Access): string {
  const place = `${space === 'ports' ? 'port' : 'address'} 0x${address.toString(16)}`;
  const amount = `${size} byte${size === 1 ? '' : 's'}`;
  return write ? `writes 0x${(values[0] ?? 0n).toString(16)} to ${place}, ${amount}` : `reads ${place}, ${amount}`;
}
