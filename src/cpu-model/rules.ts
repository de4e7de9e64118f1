/** What becomes of each CPUID register in a pool of hosts (SDM Vol. 2A, CPUID; AMD APM Vol. 3, appendix E). */
import type { CpuidRegister } from '../x86/cpuid.ts';

/**
 * `and`: features, which all must have. `or`: what is taken away or deprecated, which one host is enough for.
 * `min`: a number that is only as large as the smallest. `identity`: of the host whose name the model takes.
 * `same`: hosts must agree, else the feature of the leaf (`leafFeatures`) is dropped.
 */
export type Rule = 'and' | 'or' | 'min' | 'identity' | 'same';

/** A whole register, or its bit ranges; bits that no range names are 0 in the model. */
export type RegisterRule = Rule | readonly (readonly [highBit: number, lowBit: number, rule: Rule])[];

export interface LeafRule {
  readonly leaf: number;
  /** 0, where none is named. */
  readonly subleaf?: number;
  readonly section: string;
  readonly registers: Readonly<Partial<Record<CpuidRegister, RegisterRule>>>;
}

const sdm = (leaf: string): string => `SDM Vol. 2A, CPUID leaf ${leaf}`;
const all = { eax: 'and', ebx: 'and', ecx: 'and', edx: 'and' } as const;
const name = { eax: 'identity', ebx: 'identity', ecx: 'identity', edx: 'identity' } as const;

/**
 * Leaves that are not here are no part of an instruction set: caches (2, 4), topology (0Bh, 1Fh), power (5, most of 6),
 * frequencies (15h, 16h), resource control (0Fh, 10h), pages of enclaves (12h from subleaf 2), TLBs (18h), kinds of cores
 * (1Ah), encrypted memory (8000001Fh). A backend fills them as it does for any guest.
 */
export const leafRules: readonly LeafRule[] = [
  { leaf: 0x0, section: sdm('00h'), registers: { ...name, eax: 'min' } },
  {
    leaf: 0x1,
    section: sdm('01h'),
    // EBX: the size that CLFLUSH flushes; APIC ids are each processor's own.
    registers: { eax: 'identity', ebx: [[15, 8, 'min']], ecx: 'and', edx: 'and' },
  },
  { leaf: 0x6, section: sdm('06h'), registers: { eax: [[2, 2, 'and']], ecx: [[0, 0, 'and']] } },
  {
    leaf: 0x7,
    subleaf: 0,
    section: sdm('07h'),
    registers: {
      eax: 'min',
      ebx: [
        [5, 0, 'and'],
        [6, 6, 'or'], // x87 data pointer only on exceptions
        [12, 7, 'and'],
        [13, 13, 'or'], // x87 CS and DS deprecated
        [31, 14, 'and'],
      ],
      ecx: [
        [16, 0, 'and'],
        [21, 17, 'min'], // MAWAU
        [31, 22, 'and'],
      ],
      edx: [
        [10, 0, 'and'],
        [11, 11, 'or'], // transactions always abort
        [31, 12, 'and'],
      ],
    },
  },
  { leaf: 0x7, subleaf: 1, section: sdm('07h, subleaf 1'), registers: all },
  { leaf: 0x7, subleaf: 2, section: sdm('07h, subleaf 2'), registers: all },
  {
    leaf: 0xa,
    section: sdm('0Ah'),
    registers: {
      eax: [
        [7, 0, 'min'],
        [15, 8, 'min'],
        [23, 16, 'min'],
        [31, 24, 'min'],
      ],
      ebx: 'or', // events that are not available
      ecx: 'and',
      edx: [
        [4, 0, 'min'],
        [12, 5, 'min'],
        [15, 15, 'or'], // AnyThread deprecated
      ],
    },
  },
  { leaf: 0xd, subleaf: 0, section: sdm('0Dh'), registers: { eax: 'and', edx: 'and' } },
  { leaf: 0xd, subleaf: 1, section: sdm('0Dh, subleaf 1'), registers: { eax: 'and', ecx: 'and', edx: 'and' } },
  {
    leaf: 0x12,
    subleaf: 0,
    section: sdm('12h'),
    registers: {
      eax: 'and',
      ebx: 'and',
      edx: [
        [7, 0, 'min'],
        [15, 8, 'min'],
      ],
    },
  },
  { leaf: 0x12, subleaf: 1, section: sdm('12h, subleaf 1'), registers: all },
  {
    leaf: 0x14,
    subleaf: 0,
    section: sdm('14h'),
    registers: { eax: 'min', ebx: 'and', ecx: 'and', edx: 'and' },
  },
  {
    leaf: 0x14,
    subleaf: 1,
    section: sdm('14h, subleaf 1'),
    registers: {
      eax: [
        [2, 0, 'min'],
        [31, 16, 'and'],
      ],
      ebx: 'and',
    },
  },
  { leaf: 0x19, section: sdm('19h'), registers: all },
  { leaf: 0x1c, section: sdm('1Ch'), registers: all },
  { leaf: 0x1d, subleaf: 0, section: sdm('1Dh'), registers: { eax: 'min' } },
  { leaf: 0x1d, subleaf: 1, section: sdm('1Dh, subleaf 1'), registers: { eax: 'same', ebx: 'same', ecx: 'same' } },
  { leaf: 0x1e, subleaf: 0, section: sdm('1Eh'), registers: { eax: 'min', ebx: 'same' } },
  { leaf: 0x1e, subleaf: 1, section: sdm('1Eh, subleaf 1'), registers: { eax: 'and' } },
  { leaf: 0x20, subleaf: 0, section: sdm('20h'), registers: { eax: 'min', ebx: 'and' } },
  {
    leaf: 0x23,
    subleaf: 0,
    section: sdm('23h'),
    registers: { eax: 'and', ebx: 'and', ecx: [[7, 0, 'min']] },
  },
  // Bit maps of counters, of events and of what they can do.
  ...[1, 2, 3, 4, 5].map((subleaf) => ({
    leaf: 0x23,
    subleaf,
    section: sdm(`23h, subleaf ${subleaf}`),
    registers: all,
  })),
  {
    leaf: 0x24,
    subleaf: 0,
    section: sdm('24h'),
    registers: {
      eax: 'min',
      ebx: [
        [7, 0, 'min'],
        [31, 8, 'and'],
      ],
    },
  },
  { leaf: 0x24, subleaf: 1, section: sdm('24h, subleaf 1'), registers: all },
  { leaf: 0x29, subleaf: 0, section: sdm('29h'), registers: { eax: 'min', ebx: 'and' } },
  { leaf: 0x8000_0000, section: sdm('80000000h'), registers: { ...name, eax: 'min' } },
  { leaf: 0x8000_0001, section: sdm('80000001h'), registers: { eax: 'identity', ecx: 'and', edx: 'and' } },
  { leaf: 0x8000_0002, section: sdm('80000002h'), registers: name },
  { leaf: 0x8000_0003, section: sdm('80000003h'), registers: name },
  { leaf: 0x8000_0004, section: sdm('80000004h'), registers: name },
  { leaf: 0x8000_0007, section: sdm('80000007h'), registers: { edx: [[8, 8, 'and']] } },
  {
    leaf: 0x8000_0008,
    section: sdm('80000008h'),
    registers: {
      eax: [
        [7, 0, 'min'],
        [15, 8, 'min'],
        [23, 16, 'min'],
      ],
      ebx: [
        [19, 0, 'and'],
        [20, 20, 'or'], // segment limits in 64-bit mode do not exist
        [31, 21, 'and'],
      ],
      edx: [
        [15, 0, 'min'], // pages that one INVLPGB takes
        [31, 16, 'min'], // registers that RDPRU reads
      ],
    },
  },
  {
    leaf: 0x8000_000a,
    section: 'AMD APM Vol. 3, E.4.9',
    registers: { eax: [[7, 0, 'min']], ebx: 'min', edx: 'and' },
  },
  {
    leaf: 0x8000_0021,
    section: 'AMD APM Vol. 3, E.4.20',
    registers: {
      eax: [
        [8, 0, 'and'],
        [9, 9, 'or'], // SMM_CTL does not exist
        [31, 10, 'and'],
      ],
      ecx: 'and',
    },
  },
  {
    leaf: 0x8000_0022,
    section: 'AMD APM Vol. 3, CPUID Fn8000_0022',
    registers: {
      eax: 'and',
      ebx: [
        [3, 0, 'min'],
        [9, 4, 'min'],
        [15, 10, 'min'],
      ],
    },
  },
];

export function ruleOf(leaf: number, subleaf: number): LeafRule | undefined {
  return leafRules.find((rule) => rule.leaf === leaf && (rule.subleaf ?? 0) === subleaf);
}

export type Range = readonly [highBit: number, lowBit: number, rule: Rule];

/** A register's rule as bit ranges. */
export function rangesOf(rule: RegisterRule | undefined): readonly Range[] {
  if (rule === undefined) return [];
  return typeof rule === 'string' ? [[31, 0, rule]] : rule;
}

/** The rule of one bit; none where it is no part of a model. */
export function ruleOfBit(leaf: number, subleaf: number, register: CpuidRegister, bit: number): Rule | undefined {
  const ranges = rangesOf(ruleOf(leaf, subleaf)?.registers[register]);
  return ranges.find(([high, low]) => bit <= high && bit >= low)?.[2];
}
