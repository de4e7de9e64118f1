/** A baseline as Firecracker's custom CPU template: what the pool lacks is cleared, and nothing is set that a host may lack. */
import type { CpuidRegister } from '../x86/cpuid.ts';
import { featureMsrs } from '../x86/feature-msrs.ts';
import type { Baseline } from './baseline.ts';
import { registers } from './leaves.ts';
import { fieldOf } from './msrs.ts';
import { type Rule, rangesOf, ruleOf } from './rules.ts';

/**
 * Entries that KVM tells of on every host that has the leaf: Firecracker refuses a template that names another. What lies
 * beyond is out of a guest's sight by the limits in leaves 0, 7 and 80000000h.
 */
const entries: readonly (readonly [leaf: number, subleaf: number])[] = [
  [0x0, 0],
  [0x1, 0],
  [0x6, 0],
  [0x7, 0],
  [0x7, 1],
  [0xd, 0],
  [0xd, 1],
  [0x8000_0000, 0],
  [0x8000_0001, 0],
  [0x8000_0007, 0],
  [0x8000_0008, 0],
];

/** KVM_CPUID_FLAG_SIGNIFCANT_INDEX: the subleaf counts. */
const indexed = new Set([0x7, 0xd]);

/** The one that Firecracker's own templates change. */
const archCapabilities = 0x10a;

export interface FirecrackerTemplate {
  readonly cpuid_modifiers: readonly {
    readonly leaf: string;
    readonly subleaf: string;
    readonly flags: number;
    readonly modifiers: readonly { readonly register: CpuidRegister; readonly bitmap: string }[];
  }[];
  readonly msr_modifiers: readonly { readonly addr: string; readonly bitmap: string }[];
}

export function firecrackerTemplate({ cpu }: Baseline): FirecrackerTemplate {
  const cpuid = entries.flatMap(([leaf, subleaf]) => {
    const row = cpu.leaves.find((each) => Number(each.leaf) === leaf && Number(each.subleaf) === subleaf);
    if (row === undefined) return [];
    const modifiers = registers.flatMap((register) => {
      const ranges = rangesOf(ruleOf(leaf, subleaf)?.registers[register]);
      const value = Number(row[register]);
      const bitmap = bitmapOf(32, (bit) => {
        const rule = ranges.find(([high, low]) => bit <= high && bit >= low)?.[2];
        return rule === undefined ? 'x' : signs[rule](((value >>> bit) & 1) === 1);
      });
      return /[01]/.test(bitmap) ? [{ register, bitmap: `0b${bitmap}` }] : [];
    });
    return modifiers.length === 0
      ? []
      : [{ leaf: row.leaf, subleaf: row.subleaf, flags: indexed.has(leaf) ? 1 : 0, modifiers }];
  });
  return { cpuid_modifiers: cpuid, msr_modifiers: msrModifiers(cpu) };
}

/** What becomes of a bit that the model has, or has not: 0 clears, 1 sets, x leaves what the host has. */
const signs: Readonly<Record<Rule, (isSet: boolean) => '0' | '1' | 'x'>> = {
  and: (isSet) => (isSet ? 'x' : '0'),
  or: (isSet) => (isSet ? '1' : 'x'),
  min: (isSet) => (isSet ? '1' : '0'),
  identity: () => 'x',
  same: () => 'x',
};

/** A virtue that a host's file does not tell of counts as one that the pool lacks. */
function msrModifiers({ features, msrs }: Baseline['cpu']): FirecrackerTemplate['msr_modifiers'] {
  const table = featureMsrs.find(({ msr }) => msr === archCapabilities);
  if (table === undefined || !features.includes(table.announcedBy)) return [];
  const value = BigInt(msrs['0x10a'] ?? 0);
  const fields = Object.values(table.fields);
  const bitmap = bitmapOf(64, (bit) => {
    const rule = fields.find(([low, high]) => bit <= high && bit >= low)?.[2] ?? 'and';
    return signs[rule](fieldOf(value, bit, bit) === 1n);
  });
  return [{ addr: '0x10a', bitmap: `0b${bitmap}` }];
}

/** The highest bit first. */
const bitmapOf = (bits: number, sign: (bit: number) => string): string =>
  Array.from({ length: bits }, (_, i) => sign(bits - 1 - i)).join('');
