/** May a guest that uses all of one CPU move to another? Every register by its rule, every VMX control by its setting. */
import { type CpuidRegister, cpuidFeatures as features } from '../x86/cpuid.ts';
import { missingFeatureMsrs, missingVmxOrUnread } from './compare-msrs.ts';
import { componentFeatures, leafFeatures, optionalComponents } from './dependencies.ts';
import { type Leaves, registers } from './leaves.ts';
import { maskOf } from './merge.ts';
import { leafRules, type Range, rangesOf } from './rules.ts';

/** A CPU to compare: one host's weakest processor, or a baseline. */
export interface ComparedCpu {
  readonly name: string;
  readonly leaves: Leaves;
  /** Feature MSRs and VMX capabilities. */
  readonly msrs: ReadonlyMap<number, bigint>;
}

export interface Missing {
  /** A feature, `vmx.secondary.enableEpt`, `msr.archCapabilities.mdsNo`, or a register's field: `CPUID.80000008:EAX[7:0]`. */
  readonly name: string;
  readonly where: string;
  readonly from: string;
  readonly to: string;
}

export interface Comparison {
  readonly movable: boolean;
  readonly missing: readonly Missing[];
}

export function compareCpus(from: ComparedCpu, to: ComparedCpu): Comparison {
  const missing = [
    ...missingVendor(from, to),
    ...missingCpuid(from, to),
    ...missingFeatureMsrs(from, to),
    ...missingVmxOrUnread(from, to),
  ];
  return { movable: missing.length === 0, missing };
}

/** Features, widths, state components; of a feature that not both have, the details need no rows of their own. */
export function missingCpuid({ leaves: from }: ComparedCpu, { leaves: to }: ComparedCpu): Missing[] {
  const there = new Set(to.features());
  const shared = new Set(from.features().filter((name) => there.has(name)));
  const gone = new Set(from.features().filter((name) => !there.has(name)));
  return [...fields(from, to, shared), ...components(from, to, gone)];
}

const word = (value: number): string => `0x${(value >>> 0).toString(16)}`;

function missingVendor(from: ComparedCpu, to: ComparedCpu): Missing[] {
  const vendor = ({ leaves }: ComparedCpu): string =>
    Buffer.from(
      Uint32Array.of(...(['ebx', 'edx', 'ecx'] as const).map((register) => leaves.get(0, 0, register))).buffer,
    ).toString('latin1');
  if (vendor(from) === vendor(to)) return [];
  return [{ name: 'vendor', where: 'CPUID.0', from: vendor(from), to: vendor(to) }];
}

/** Bits that software sets, or that tell of a hypervisor: OSXSAVE, OSPKE, bit 31 of leaf 1. */
const stateBits: Readonly<Record<string, number>> = { '1.0.ecx': (1 << 27) | (1 << 31), '7.0.ecx': 1 << 4 };

function fields(from: Leaves, to: Leaves, shared: ReadonlySet<string>): Missing[] {
  return leafRules
    .filter(({ leaf }) => leafFeatures[leaf] === undefined || shared.has(leafFeatures[leaf]))
    .flatMap(({ leaf, subleaf = 0, registers: rules }) =>
      registers
        .filter((register) => !isComponentMask(leaf, subleaf, register))
        .flatMap((register) =>
          rangesOf(rules[register]).flatMap((range) => field(from, to, leaf, subleaf, register, range)),
        ),
    );
}

function field(
  from: Leaves,
  to: Leaves,
  leaf: number,
  subleaf: number,
  register: CpuidRegister,
  range: Range,
): Missing[] {
  const [high, low, rule] = range;
  // Limits of leaves follow from the leaves that are there; names are no promise to a guest.
  if (rule === 'identity' || (rule === 'min' && register === 'eax' && limits.has(leaf))) return [];
  const mask = maskOf(high, low) & ~(stateBits[`${leaf}.${subleaf}.${register}`] ?? 0);
  const [ours, theirs] = [from, to].map((leaves) => (leaves.get(leaf, subleaf, register) & mask) >>> 0) as [
    number,
    number,
  ];
  const place = `CPUID.${leaf.toString(16).toUpperCase()}${subleaf === 0 ? '' : `.${subleaf}`}:${register.toUpperCase()}`;
  if (rule === 'min') {
    // Without the leaf nothing was promised.
    if (!from.has(leaf, subleaf) || ours >>> low <= theirs >>> low) return [];
    const name = `${place}[${high}:${low}]`;
    return [{ name, where: name, from: word(ours >>> low), to: word(theirs >>> low) }];
  }
  if (rule === 'same') {
    return ours === theirs || ours === 0 ? [] : [{ name: place, where: place, from: word(ours), to: word(theirs) }];
  }
  const gone = rule === 'and' ? ours & ~theirs : from.has(leaf, subleaf) ? theirs & ~ours : 0;
  if (gone === 0) return [];
  const [have, lack] = rule === 'and' ? ['1', '0'] : ['0', '1'];
  const named = features.filter(
    (row) =>
      row.leaf === leaf && row.subleaf === subleaf && row.register === register && ((gone >>> row.bit) & 1) === 1,
  );
  const nameless = named.reduce((bits, { bit }) => bits & ~(1 << bit), gone);
  return [
    ...named.map(({ name, bit }) => {
      const where = `${place}[${bit}]`;
      // What is said to be gone is no feature that a guest misses: the place stands for what goes.
      return { name: rule === 'and' ? name : where, where, from: have, to: lack };
    }),
    ...(nameless === 0 ? [] : [{ name: place, where: place, from: word(ours), to: word(theirs) }]),
  ];
}

const limits = new Set([0, 7, 0x14, 0x1d, 0x1e, 0x20, 0x24, 0x29, 0x8000_0000]);

/** Of XCR0 and IA32_XSS, told by component. */
const isComponentMask = (leaf: number, subleaf: number, register: CpuidRegister): boolean =>
  leaf === 0xd && !(subleaf === 1 && register === 'eax');

/** State components that are gone, though no feature is, or that are laid out otherwise: a guest keeps their offsets. */
function components(from: Leaves, to: Leaves, gone: ReadonlySet<string>): Missing[] {
  return from.rows
    .filter(({ leaf, subleaf }) => leaf === 0xd && subleaf >= 2)
    .filter(({ subleaf }) => !featuresOf(subleaf).some((name) => gone.has(name)))
    .flatMap(({ leaf, subleaf }) =>
      (['eax', 'ebx'] as const)
        .filter((register) => from.get(leaf, subleaf, register) !== to.get(leaf, subleaf, register))
        .map((register) => ({
          name: `xsave component ${subleaf}`,
          where: `CPUID.D.${subleaf}:${register.toUpperCase()}`,
          from: word(from.get(leaf, subleaf, register)),
          to: word(to.get(leaf, subleaf, register)),
        })),
    );
}

const featuresOf = (component: number): readonly string[] => [
  ...(componentFeatures[component] ?? []),
  ...(optionalComponents[component] === undefined ? [] : [optionalComponents[component]]),
];
