/** A baseline as Firecracker's custom CPU template: what the pool lacks is cleared, and nothing is set that a host may lack. */
import type { CpuidRegister } from '../x86/cpuid.ts';
import type { Baseline } from './baseline.ts';
import { registers } from './leaves.ts';
import { rangesOf, ruleOf } from './rules.ts';

/** KVM_CPUID_FLAG_SIGNIFCANT_INDEX: the subleaf counts. */
const indexed = new Set([0x7, 0xd, 0x14, 0x1d, 0x1e, 0x24]);

/** Leaves that KVM and Firecracker normalise themselves. */
const ownOfFirecracker = new Set([0x0, 0x8000_0000, 0x8000_0002, 0x8000_0003, 0x8000_0004]);

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
  const rows = cpu.leaves.flatMap((row) => {
    const [leaf, subleaf] = [Number(row.leaf), Number(row.subleaf)];
    const rule = ruleOf(leaf, subleaf);
    if (rule === undefined || ownOfFirecracker.has(leaf)) return [];
    const modifiers = registers.flatMap((register) => {
      const bitmap = bitmapOf(
        Number(row[register]),
        rangesOf(rule.registers[register]).filter(([, , kind]) => kind === 'and'),
      );
      return bitmap.includes('0') ? [{ register, bitmap: `0b${bitmap}` }] : [];
    });
    return modifiers.length === 0
      ? []
      : [{ leaf: row.leaf, subleaf: row.subleaf, flags: indexed.has(leaf) ? 1 : 0, modifiers }];
  });
  return { cpuid_modifiers: rows, msr_modifiers: [] };
}

/** Bit 31 first: 0 clears, x leaves what the host has. */
function bitmapOf(value: number, ranges: readonly (readonly [number, number, string])[]): string {
  return Array.from({ length: 32 }, (_, i) => 31 - i)
    .map((bit) => {
      const ruled = ranges.some(([high, low]) => bit <= high && bit >= low);
      return ruled && ((value >>> bit) & 1) === 0 ? '0' : 'x';
    })
    .join('');
}
