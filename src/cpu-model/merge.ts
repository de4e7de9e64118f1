/** One CPU that every one of several can be: leaf by leaf, by the rules of the pool. */
import type { CpuidFeature, CpuidLeaf, CpuidRegister } from '../x86/cpuid.ts';
import { dependencies, leafFeatures } from './dependencies.ts';
import { featureNamed, Leaves, registers } from './leaves.ts';
import { leafRules, type Range, type Rule, rangesOf } from './rules.ts';
import { mergeComponents, settleComponents, sizeAreas } from './xsave.ts';

/**
 * The CPU that all of these can be, with nothing in it that cannot stand alone.
 * @param identity index of the CPU whose name, signature and vendor the model takes
 */
export function mergeCpus(cpus: readonly (readonly CpuidLeaf[])[], identity = 0): Leaves {
  const model = commonLeaves(cpus, identity);
  settle(model);
  sizeAreas(model);
  limit(model);
  return model;
}

/** What all of these tell of themselves, by the rules, however odd. */
export function commonLeaves(cpus: readonly (readonly CpuidLeaf[])[], identity = 0): Leaves {
  const hosts = cpus.map((leaves) => new Leaves(leaves));
  const named = hosts[identity] as Leaves;
  const common = new Leaves();
  for (const { leaf, subleaf = 0, registers: rules } of leafRules) {
    if (!hosts.every((host) => host.has(leaf, subleaf))) continue;
    for (const register of registers) {
      const value = rangesOf(rules[register]).reduce(
        (word, range) => word | merged(range, hosts, named, leaf, subleaf, register),
        0,
      );
      common.set(leaf, subleaf, register, value);
    }
  }
  mergeComponents(common, hosts);
  dropWhereHostsDiffer(common, hosts);
  return common;
}

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

export const maskOf = (high: number, low: number): number => ((0xffff_ffff >>> (31 - high + low)) << low) >>> 0;

const combine: Readonly<Record<Rule, (values: readonly number[], named: number) => number>> = {
  and: (values) => values.reduce((a, b) => a & b),
  or: (values) => values.reduce((a, b) => a | b),
  min: (values) => Math.min(...values.map((value) => value >>> 0)),
  identity: (_, named) => named,
  same: (values, named) => (values.every((value) => value === named) ? named : 0),
};

/** Where hosts may not differ and do, the leaf's feature is no one's. */
function dropWhereHostsDiffer(model: Leaves, hosts: readonly Leaves[]): void {
  for (const { leaf, subleaf = 0, registers: rules } of leafRules) {
    const feature = featureNamed.get(leafFeatures[leaf] ?? '');
    if (feature === undefined || !model.has(leaf, subleaf)) continue;
    const differs = registers
      .filter((register) => rules[register] === 'same')
      .some((register) =>
        hosts.some((host) => host.get(leaf, subleaf, register) !== model.get(leaf, subleaf, register)),
      );
    if (differs) model.clearFeature(feature);
  }
}

/** No feature without what it rests on: until nothing more falls. */
function settle(model: Leaves): void {
  const isSet = (name: string): boolean => {
    const feature = featureNamed.get(name);
    return feature !== undefined && model.hasFeature(feature);
  };
  for (let changed = true; changed; ) {
    changed = settleComponents(model);
    for (const { leaf, subleaf } of model.rows) {
      const feature = leafFeatures[leaf];
      if (feature === undefined || isSet(feature)) continue;
      model.drop(leaf, subleaf);
      changed = true;
    }
    for (const [name, needs] of Object.entries(dependencies)) {
      if (!isSet(name) || needs.every(isSet)) continue;
      model.clearFeature(featureNamed.get(name) as CpuidFeature);
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
