/** What the processors of one host tell differently by CPUID, apart from what names a processor or its state. */
import type { CpuidLeaf, CpuidRegister } from './cpuid.ts';

interface OwnBits {
  readonly leaf: number;
  /** All subleaves, where none is named. */
  readonly subleaf?: number;
  readonly register: CpuidRegister;
  /** These bits differ between equal processors. */
  readonly mask: number;
  readonly section: string;
}

const cpuid = (leaf: string, what: string): string => `SDM Vol. 2A, CPUID leaf ${leaf}: ${what}`;

/** Which processor it is that was asked. */
export const processorIds: readonly OwnBits[] = [
  { leaf: 0x1, subleaf: 0, register: 'ebx', mask: 0xff00_0000, section: cpuid('01h', 'initial APIC ID') },
  { leaf: 0xb, register: 'edx', mask: -1, section: cpuid('0Bh', 'x2APIC ID') },
  { leaf: 0x1f, register: 'edx', mask: -1, section: cpuid('1Fh', 'x2APIC ID') },
  { leaf: 0x8000_001e, register: 'eax', mask: -1, section: 'AMD APM Vol. 3, E.4.17: extended APIC ID' },
  { leaf: 0x8000_001e, register: 'ebx', mask: 0xff, section: 'AMD APM Vol. 3, E.4.17: core ID' },
  { leaf: 0x8000_001e, register: 'ecx', mask: 0xff, section: 'AMD APM Vol. 3, E.4.17: node ID' },
  { leaf: 0x8000_0026, register: 'edx', mask: -1, section: 'AMD APM Vol. 3, E.4.24: extended APIC ID' },
];

export const ownBits: readonly OwnBits[] = [
  ...processorIds,
  { leaf: 0x1, subleaf: 0, register: 'ecx', mask: 1 << 27, section: cpuid('01h', 'OSXSAVE') },
  { leaf: 0x6, subleaf: 0, register: 'edx', mask: 0xffff_0000 | 0, section: cpuid('06h', 'row in the feedback table') },
  { leaf: 0x7, subleaf: 0, register: 'ecx', mask: 1 << 4, section: cpuid('07h', 'OSPKE') },
  { leaf: 0xd, subleaf: 0, register: 'ebx', mask: -1, section: cpuid('0Dh', 'size for XCR0 as it is') },
  { leaf: 0xd, subleaf: 1, register: 'ebx', mask: -1, section: cpuid('0Dh', 'size for XCR0 | XSS') },
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
  const references = new Map(first.map((row) => [`${row.leaf}.${row.subleaf}`, row]));
  return other.flatMap((row) => {
    const { leaf, subleaf } = row;
    const reference = references.get(`${leaf}.${subleaf}`);
    return registers.flatMap((register) => {
      const difference = row[register] ^ (reference?.[register] ?? 0);
      if (difference === 0 || (difference & ~ownMask(leaf, subleaf, register)) === 0) return [];
      return [{ leaf, subleaf, register, value: row[register] }];
    });
  });
}

function ownMask(leaf: number, subleaf: number, register: CpuidRegister): number {
  const own = ownBits.find(
    (bits) => bits.leaf === leaf && bits.register === register && (bits.subleaf ?? subleaf) === subleaf,
  );
  return own?.mask ?? 0;
}

/** A row without what names the processor that was asked. */
export function withoutIds(row: CpuidLeaf): CpuidLeaf {
  const result: Record<CpuidRegister, number> & { leaf: number; subleaf: number } = { ...row };
  for (const { leaf, subleaf, register, mask } of processorIds) {
    if (leaf === row.leaf && (subleaf ?? row.subleaf) === row.subleaf)
      result[register] = (result[register] & ~mask) >>> 0;
  }
  return result;
}
