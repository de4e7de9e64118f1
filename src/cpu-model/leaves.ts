/** CPUID leaves as a model changes them. */
import { type CpuidFeature, type CpuidLeaf, type CpuidRegister, cpuidFeatures } from '../x86/cpuid.ts';

export const registers: readonly CpuidRegister[] = ['eax', 'ebx', 'ecx', 'edx'];

export type Row = { -readonly [K in keyof CpuidLeaf]: CpuidLeaf[K] };

/** Leaves by number: a register of a leaf that is not there reads 0. */
export class Leaves {
  readonly #leaves = new Map<number, Map<number, Row>>();

  constructor(rows: readonly CpuidLeaf[] = []) {
    for (const row of rows) if (!this.has(row.leaf, row.subleaf)) this.#add({ ...row });
  }

  has(leaf: number, subleaf = 0): boolean {
    return this.#leaves.get(leaf)?.has(subleaf) === true;
  }

  get(leaf: number, subleaf: number, register: CpuidRegister): number {
    return (this.#leaves.get(leaf)?.get(subleaf)?.[register] ?? 0) >>> 0;
  }

  set(leaf: number, subleaf: number, register: CpuidRegister, value: number): void {
    const row = this.#leaves.get(leaf)?.get(subleaf) ?? this.#add({ leaf, subleaf, eax: 0, ebx: 0, ecx: 0, edx: 0 });
    row[register] = value >>> 0;
  }

  #add(row: Row): Row {
    const subleaves = this.#leaves.get(row.leaf) ?? new Map<number, Row>();
    this.#leaves.set(row.leaf, subleaves.set(row.subleaf, row));
    return row;
  }

  drop(leaf: number, subleaf: number): void {
    this.#leaves.get(leaf)?.delete(subleaf);
  }

  /** In order of leaf and subleaf. */
  get rows(): CpuidLeaf[] {
    return [...this.#leaves.values()]
      .flatMap((subleaves) => [...subleaves.values()])
      .sort((a, b) => a.leaf - b.leaf || a.subleaf - b.subleaf);
  }

  hasFeature({ leaf, subleaf, register, bit }: CpuidFeature): boolean {
    return ((this.get(leaf, subleaf, register) >>> bit) & 1) === 1;
  }

  clearFeature({ leaf, subleaf, register, bit }: CpuidFeature): void {
    if (this.has(leaf, subleaf)) this.set(leaf, subleaf, register, this.get(leaf, subleaf, register) & ~(1 << bit));
  }

  /** Names of the features that are set. */
  features(): string[] {
    return cpuidFeatures.filter((feature) => this.hasFeature(feature)).map(({ name }) => name);
  }
}

export const featureNamed: ReadonlyMap<string, CpuidFeature> = new Map(cpuidFeatures.map((row) => [row.name, row]));
