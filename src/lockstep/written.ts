/** Guest memory as it was when both sides were last alike, and the pages that each wrote since. */
import { type Difference, memoryDifferences } from './differences.ts';
import type { Page, Side, Start } from './side.ts';

const pageBytes = 4096;

export class Written {
  readonly #sides: readonly [Side, Side];
  readonly #memory: Uint8Array;
  readonly #pages = [new Map<bigint, Uint8Array>(), new Map<bigint, Uint8Array>()] as const;

  constructor(sides: readonly [Side, Side], { memoryBytes, pages }: Start) {
    this.#sides = sides;
    this.#memory = new Uint8Array(memoryBytes);
    for (const { address, bytes } of pages) this.#memory.set(bytes, Number(address));
  }

  /** Asks both sides what they wrote, and compares it. */
  async differences(): Promise<Difference[]> {
    for (const [i, side] of this.#sides.entries()) {
      for (const { address, bytes } of await side.dirtied()) this.#pages[i]?.set(address, bytes);
    }
    return memoryDifferences(...this.#pages, (address) => this.#at(address));
  }

  /** Both sides are alike: memory is what they have now. */
  settle(): void {
    for (const [address, bytes] of this.#pages[1]) this.#memory.set(bytes, Number(address));
    this.rewind();
  }

  /** The sides were taken back. */
  rewind(): void {
    for (const pages of this.#pages) pages.clear();
  }

  /** What the pages held, that either side wrote, when both were last alike. */
  async before(): Promise<Page[]> {
    const written = new Set(this.#pages.flatMap((pages) => [...pages.keys()]));
    for (const side of this.#sides) for (const { address } of await side.dirtied()) written.add(address);
    return [...written].map((address) => ({ address, bytes: this.#at(address).slice() }));
  }

  #at(address: bigint): Uint8Array {
    return this.#memory.subarray(Number(address), Number(address) + pageBytes);
  }
}
