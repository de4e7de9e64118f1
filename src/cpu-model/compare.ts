/** May a guest that uses all of one CPU move to another? Every register by its rule, every VMX control by its setting. */
import { type CpuidRegister, cpuidFeatures } from '../x86/cpuid.ts';
import { decodeVmx } from '../x86/vmx-msrs.ts';
import { type Leaves, registers } from './leaves.ts';
import { maskOf } from './merge.ts';
import { leafRules, type Range, rangesOf } from './rules.ts';

/** A CPU to compare: one host's weakest processor, or a baseline. */
export interface ComparedCpu {
  readonly name: string;
  readonly leaves: Leaves;
  readonly msrs: ReadonlyMap<number, bigint>;
}

export interface Missing {
  /** A feature, `vmx.secondary.enableEpt`, or a register's field: `CPUID.80000008:EAX[7:0]`. */
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
    ...vendors(from, to),
    ...cpuid(from.leaves, to.leaves),
    ...components(from.leaves, to.leaves),
    ...vmx(from, to),
  ];
  return { movable: missing.length === 0, missing };
}

const word = (value: number): string => `0x${(value >>> 0).toString(16)}`;

function vendors(from: ComparedCpu, to: ComparedCpu): Missing[] {
  const vendor = ({ leaves }: ComparedCpu): string =>
    Buffer.from(
      Uint32Array.of(...(['ebx', 'edx', 'ecx'] as const).map((register) => leaves.get(0, 0, register))).buffer,
    ).toString('latin1');
  if (vendor(from) === vendor(to)) return [];
  return [{ name: 'vendor', where: 'CPUID.0', from: vendor(from), to: vendor(to) }];
}

/** Bits that software sets, or that tell of a hypervisor: OSXSAVE, OSPKE, bit 31 of leaf 1. */
const stateBits: Readonly<Record<string, number>> = { '1.0.ecx': (1 << 27) | (1 << 31), '7.0.ecx': 1 << 4 };

function cpuid(from: Leaves, to: Leaves): Missing[] {
  return leafRules.flatMap(({ leaf, subleaf = 0, registers: rules }) =>
    registers.flatMap((register) =>
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
  return bitsOf(gone).map((bit) => ({
    name: nameOf(leaf, subleaf, register, bit),
    where: `${place}[${bit}]`,
    from: rule === 'and' ? '1' : '0',
    to: rule === 'and' ? '0' : '1',
  }));
}

const limits = new Set([0, 7, 0x14, 0x1d, 0x1e, 0x20, 0x24, 0x29, 0x8000_0000]);

const bitsOf = (value: number): number[] =>
  Array.from({ length: 32 }, (_, bit) => bit).filter((bit) => ((value >>> bit) & 1) === 1);

function nameOf(leaf: number, subleaf: number, register: CpuidRegister, bit: number): string {
  const feature = cpuidFeatures.find(
    (row) => row.leaf === leaf && row.subleaf === subleaf && row.register === register && row.bit === bit,
  );
  return (
    feature?.name ??
    `CPUID.${leaf.toString(16).toUpperCase()}${subleaf === 0 ? '' : `.${subleaf}`}:${register.toUpperCase()}[${bit}]`
  );
}

/** Areas of XSAVE that both have must be laid out alike: a guest keeps their offsets. */
function components(from: Leaves, to: Leaves): Missing[] {
  return from.rows
    .filter(({ leaf, subleaf }) => leaf === 0xd && subleaf >= 2 && to.has(leaf, subleaf))
    .flatMap(({ leaf, subleaf }) =>
      (['eax', 'ebx'] as const)
        .filter((register) => from.get(leaf, subleaf, register) !== to.get(leaf, subleaf, register))
        .map((register) => {
          const where = `CPUID.D.${subleaf}:${register.toUpperCase()}`;
          const [ours, theirs] = [from, to].map((leaves) => word(leaves.get(leaf, subleaf, register))) as [
            string,
            string,
          ];
          return { name: `xsave component ${subleaf}`, where, from: ours, to: theirs };
        }),
    );
}

/** What a nested guest's hypervisor was promised: controls that may be 1, controls that may be 0, capability fields. */
function vmx(from: ComparedCpu, to: ComparedCpu): Missing[] {
  if (from.msrs.size === 0) return [];
  if (to.msrs.size === 0) {
    return [{ name: 'vmx capabilities', where: `MSRs 0x480 to 0x493 of ${to.name}`, from: 'read', to: 'not read' }];
  }
  const [ours, theirs] = [decodeVmx(from.msrs), decodeVmx(to.msrs)];
  const controls = ours.controls.flatMap(({ register, name, msr, bit, setting }): Missing[] => {
    const found = theirs.controls.find((row) => row.register === register && row.name === name)?.setting ?? 'no';
    const loses =
      (setting !== 'no' && found === 'no') || (setting !== 'forced' && setting !== 'no' && found === 'forced');
    return loses ? [{ name: `vmx.${register}.${name}`, where: `MSR ${msr}[${bit}]`, from: setting, to: found }] : [];
  });
  const fields = ours.fields.flatMap(({ register, name, raw: _, value, lowBit, highBit }): Missing[] => {
    if (lowBit !== highBit || !promised.has(register)) return [];
    const found = theirs.fields.find((row) => row.register === register && row.name === name)?.value ?? '0x0';
    return value === '0x1' && found === '0x0'
      ? [{ name: `vmx.${register}.${name}`, where: `${register}[${lowBit}]`, from: value, to: found }]
      : [];
  });
  return [...controls, ...fields];
}

/** Registers whose single bits are abilities. */
const promised = new Set(['misc', 'eptVpid', 'vmfunc']);
