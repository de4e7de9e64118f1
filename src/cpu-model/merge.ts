/** One CPU that every one of several can be: leaf by leaf, by the rules of the pool. */
import type { CpuidLeaf, CpuidRegister } from '../x86/cpuid.ts';
import { dependencies } from './dependencies.ts';
import { featureNamed, Leaves, registers } from './leaves.ts';
import { leafRules, type Range, type Rule, rangesOf } from './rules.ts';
import { mergeComponents, settleComponents, sizeAreas } from './xsave.ts';

/** @param identity index of the CPU whose name, signature and vendor the model takes */
export function mergeCpus(cpus: readonly (readonly CpuidLeaf[])[], identity = 0): Leaves {
  const hosts = cpus.map((leaves) => new Leaves(leaves));
  const named = hosts[identity] as Leaves;
  const model = new Leaves();
  for (const { leaf, subleaf, registers: rules } of leafRules) {
    for (const each of subleaf === undefined ? subleavesOf(named, leaf) : [subleaf]) {
      if (!hosts.every((host) => host.has(leaf, each))) continue;
      for (const register of registers) {
        const value = rangesOf(rules[register]).reduce(
          (word, range) => word | merged(range, hosts, named, leaf, each, register),
          0,
        );
        model.set(leaf, each, register, value);
      }
    }
  }
  mergeComponents(model, hosts);
  if (!sameTiles(hosts)) clear(model, 'amx-tile');
  settle(model);
  if (!model.features().includes('amx-tile')) dropTiles(model);
  sizeAreas(model);
  limit(model);
  return model;
}

const subleavesOf = (host: Leaves, leaf: number): number[] =>
  host.rows.filter((row) => row.leaf === leaf).map(({ subleaf }) => subleaf);

function merged(
  [high, low, rule]: Range,
  hosts: readonly Leaves[],
  named: Leaves,
  leaf: number,
  subleaf: number,
  register: CpuidRegister,
): number {
  const mask = maskOf(high, low);
  const fieldOf = (host: Leaves): number => (host.get(leaf, subleaf, register) & mask) >>> low;
  return (combine[rule](hosts.map(fieldOf), fieldOf(named)) << low) & mask;
}

export const maskOf = (high: number, low: number): number =>
  Number(((1n << BigInt(high - low + 1)) - 1n) << BigInt(low));

const combine: Readonly<Record<Rule, (values: readonly number[], named: number) => number>> = {
  and: (values) => values.reduce((a, b) => a & b),
  or: (values) => values.reduce((a, b) => a | b),
  min: (values) => Math.min(...values.map((value) => value >>> 0)),
  identity: (_, named) => named,
  same: (values, named) => (values.every((value) => value === named) ? named : 0),
};

const tileLeaves = [0x1d, 0x1e];
/** Hosts whose tiles are laid out otherwise cannot share AMX. */
function sameTiles(hosts: readonly Leaves[]): boolean {
  const [first] = hosts as [Leaves];
  const rows = first.rows.filter(({ leaf }) => tileLeaves.includes(leaf));
  return rows.every(({ leaf, subleaf }) =>
    hosts.every((host) => registers.every((r) => host.get(leaf, subleaf, r) === first.get(leaf, subleaf, r))),
  );
}

function dropTiles(model: Leaves): void {
  for (const { leaf, subleaf } of model.rows) if (tileLeaves.includes(leaf)) model.drop(leaf, subleaf);
}

function clear(model: Leaves, name: string): void {
  const feature = featureNamed.get(name);
  if (feature !== undefined) model.clearFeature(feature);
}

/** No feature without what it rests on: until nothing more falls. */
function settle(model: Leaves): void {
  for (let changed = true; changed; ) {
    changed = settleComponents(model);
    for (const [name, needs] of Object.entries(dependencies)) {
      const feature = featureNamed.get(name);
      if (feature === undefined || !model.hasFeature(feature)) continue;
      const lost = needs.some((need) => {
        const needed = featureNamed.get(need);
        return needed !== undefined && !model.hasFeature(needed);
      });
      if (!lost) continue;
      model.clearFeature(feature);
      changed = true;
    }
  }
}

/** The highest leaves and subleaves are those that the model holds. */
function limit(model: Leaves): void {
  const highest = (from: number, below: number): number =>
    Math.max(from, ...model.rows.map(({ leaf }) => leaf).filter((leaf) => leaf >= from && leaf < below));
  if (model.has(0)) model.set(0, 0, 'eax', Math.min(model.get(0, 0, 'eax'), Math.max(highest(0, 0x4000_0000), 0xd)));
  if (model.has(0x8000_0000)) {
    model.set(0x8000_0000, 0, 'eax', Math.min(model.get(0x8000_0000, 0, 'eax'), highest(0x8000_0000, 0xc000_0000)));
  }
}
