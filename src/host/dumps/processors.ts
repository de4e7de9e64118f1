/** What a dump tells of processors, collected row by row. */
import type { CpuidLeaf } from '../../x86/cpuid.ts';
import { hex, probedMsrs } from '../../x86/vmx-msrs.ts';
import { type Fact, type HostRecord, known, notHeld } from '../facts.ts';

/** The processors' part of a host. */
export type ProcessorFacts = Pick<HostRecord, 'cpuid' | 'msrs'>;

const wanted = new Set(probedMsrs);

export class Processors {
  readonly #leaves = new Map<number, Map<string, CpuidLeaf>>();
  readonly #msrs = new Map<number, Map<number, Fact<bigint>>>();

  /** The first row of a leaf is the one that counts; false where the processor has one already. */
  leaf(cpu: number, leaf: CpuidLeaf): boolean {
    const rows = entry(this.#leaves, cpu, () => new Map<string, CpuidLeaf>());
    const key = `${leaf.leaf}.${leaf.subleaf}`;
    if (rows.has(key)) return false;
    rows.set(key, leaf);
    return true;
  }

  has(cpu: number, leaf: number, subleaf = 0): boolean {
    return this.#leaves.get(cpu)?.has(`${leaf}.${subleaf}`) === true;
  }

  /** Registers that no probe looks at are not kept. */
  wants(index: number): boolean {
    return wanted.has(index);
  }

  /** The first value that was read counts, wherever the dump failed to read the register as well. */
  msr(cpu: number, index: number, value: bigint | undefined): void {
    const rows = entry(this.#msrs, cpu, () => new Map<number, Fact<bigint>>());
    if (!this.wants(index) || rows.get(index)?.value !== undefined) return;
    const source = `MSR ${hex(index)}`;
    rows.set(index, value === undefined ? { source, error: 'its reader failed' } : known(source, value));
  }

  /** Processors in order; undefined where no CPUID row was seen. */
  facts(): ProcessorFacts | undefined {
    if (this.#leaves.size === 0) return undefined;
    const inOrder = <T>(map: ReadonlyMap<number, T>): [number, T][] => [...map].sort(([a], [b]) => a - b);
    for (const rows of this.#msrs.values()) {
      for (const index of probedMsrs) {
        if (!rows.has(index)) rows.set(index, notHeld(`MSR ${hex(index)}`));
      }
    }
    return {
      cpuid: new Map(inOrder(this.#leaves).map(([cpu, rows]) => [cpu, known('CPUID', [...rows.values()])])),
      msrs: new Map(inOrder(this.#msrs)),
    };
  }
}

function entry<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}
