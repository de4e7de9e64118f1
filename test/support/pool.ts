/** Hosts of a pool: made up of feature names, or dumps beside the checkout. */
import type { Baseline, PoolHost } from '../../src/cpu-model/baseline.ts';
import { readPoolHost } from '../../src/cpu-model/file.ts';
import { Leaves } from '../../src/cpu-model/leaves.ts';
import { type CpuidLeaf, cpuidFeatures } from '../../src/x86/cpuid.ts';
import { dumps } from './dumps.ts';

/** A processor of Intel with these features, and whatever else is set. */
export function cpuWith(
  features: readonly string[],
  set: readonly Partial<CpuidLeaf>[] = [],
  signature = 0x506e3,
): CpuidLeaf[] {
  const leaves = new Leaves([
    { leaf: 0, subleaf: 0, eax: 0x20, ebx: 0x756e6547, ecx: 0x6c65746e, edx: 0x49656e69 },
    { leaf: 1, subleaf: 0, eax: signature, ebx: 0x0010_0800, ecx: 0, edx: 0 },
    { leaf: 7, subleaf: 0, eax: 0, ebx: 0, ecx: 0, edx: 0 },
    { leaf: 0x8000_0000, subleaf: 0, eax: 0x8000_0008, ebx: 0, ecx: 0, edx: 0 },
    { leaf: 0x8000_0001, subleaf: 0, eax: 0, ebx: 0, ecx: 0, edx: 0 },
  ]);
  for (const name of features) {
    const feature = cpuidFeatures.find((row) => row.name === name);
    if (feature === undefined) throw new Error(`no feature is called ${name}`);
    const { leaf, subleaf, register, bit } = feature;
    leaves.set(leaf, subleaf, register, leaves.get(leaf, subleaf, register) | (1 << bit));
  }
  for (const { leaf = 0, subleaf = 0, ...registers } of set) {
    for (const [register, value] of Object.entries(registers)) leaves.set(leaf, subleaf, register as 'eax', value);
  }
  return leaves.rows;
}

export const hostWith = (name: string, ...given: Parameters<typeof cpuWith>): PoolHost => ({
  name,
  cpus: [cpuWith(...given)],
  msrs: [],
});

/** Every Intel processor beside the checkout. */
export const realHosts = (): PoolHost[] =>
  dumps('cpu')
    .filter((path) => path.includes('GenuineIntel'))
    .map(readPoolHost);

/** A baseline as a host of another pool. */
export function asHost({ cpu, vmx }: Baseline): PoolHost {
  const row = (leaf: Baseline['cpu']['leaves'][number]): CpuidLeaf => ({
    leaf: Number(leaf.leaf),
    subleaf: Number(leaf.subleaf),
    eax: Number(leaf.eax),
    ebx: Number(leaf.ebx),
    ecx: Number(leaf.ecx),
    edx: Number(leaf.edx),
  });
  const msrs = Object.entries({ ...cpu.msrs, ...vmx.msrs });
  return {
    name: 'baseline',
    cpus: [cpu.leaves.map(row)],
    msrs: msrs.length === 0 ? [] : [new Map(msrs.map(([index, value]) => [Number(index), BigInt(value)]))],
  };
}
