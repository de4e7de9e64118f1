/** What the processors of one host tell differently by CPUID, apart from what names a processor or its state. */
import type { CpuidLeaf, CpuidRegister } from './cpuid.ts';

interface OwnBits {
  readonly leaf: number;
  readonly subleaf: number;
  readonly register: CpuidRegister;
  /** These bits differ between equal processors. */
  readonly mask: number;
  readonly section: string;
}

export const ownBits: readonly OwnBits[] = [
  {
    leaf: 0x1,
    subleaf: 0,
    register: 'ebx',
    mask: 0xff00_0000,
    section: 'SDM Vol. 2A, CPUID leaf 01h: initial APIC ID',
  },
  { leaf: 0x1, subleaf: 0, register: 'ecx', mask: 1 << 27, section: 'SDM Vol. 2A, CPUID leaf 01h: OSXSAVE' },
  { leaf: 0x7, subleaf: 0, register: 'ecx', mask: 1 << 4, section: 'SDM Vol. 2A, CPUID leaf 07h: OSPKE' },
  { leaf: 0xd, subleaf: 0, register: 'ebx', mask: -1, section: 'SDM Vol. 2A, CPUID leaf 0Dh: size for XCR0 as it is' },
  { leaf: 0xd, subleaf: 1, register: 'ebx', mask: -1, section: 'SDM Vol. 2A, CPUID leaf 0Dh: size for XCR0 | XSS' },
];

const registers = ['eax', 'ebx', 'ecx', 'edx'] as const;

export interface CpuidDifference {
  readonly leaf: number;
  readonly subleaf: number;
  readonly register: CpuidRegister;
  readonly value: number;
}

/** Registers of `other` whose value `first` does not share. */
export function cpuidDifferences(first: readonly CpuidLeaf[], other: readonly CpuidLeaf[]): CpuidDifference[] {
  return other.flatMap((row) => {
    const { leaf, subleaf } = row;
    const reference = first.find((each) => each.leaf === leaf && each.subleaf === subleaf);
    return registers.flatMap((register) => {
      const own = ownBits.find((bits) => bits.leaf === leaf && bits.subleaf === subleaf && bits.register === register);
      const differs = ((row[register] ^ (reference?.[register] ?? 0)) & ~(own?.mask ?? 0)) !== 0;
      return differs ? [{ leaf, subleaf, register, value: row[register] }] : [];
    });
  });
}
