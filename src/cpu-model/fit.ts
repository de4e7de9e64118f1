/** A CPU for a guest: what a file asks for, as far as the engine below can give it. Nothing is taken away in silence. */
import { type CpuidLeaf, identify } from '../x86/cpuid.ts';
import { comparedCpu, type PoolHost } from './baseline.ts';
import { compareCpus, type Missing } from './compare.ts';
import { Leaves } from './leaves.ts';
import { maskOf, mergeCpus } from './merge.ts';
import { ruleOf } from './rules.ts';

export interface FittedCpu<Entry> {
  readonly entries: readonly Entry[];
  /** What was asked for and cannot be given here. */
  readonly filtered: readonly Missing[];
  /** Whom the guest sees, as `GenuineIntel family 6 model 94 stepping 3`. */
  readonly name: string;
}

/** What only the engine knows: APIC id and count of processors in leaf 1, OSXSAVE, OSPKE, a hypervisor. */
const ownBits: readonly { leaf: number; register: 'ebx' | 'ecx'; mask: number }[] = [
  { leaf: 1, register: 'ebx', mask: maskOf(31, 16) },
  { leaf: 1, register: 'ecx', mask: maskOf(27, 27) | maskOf(31, 31) },
  { leaf: 7, register: 'ecx', mask: maskOf(4, 4) },
];

const hypervisorLeaves = (leaf: number): boolean => leaf >= 0x4000_0000 && leaf < 0x5000_0000;

/** @param own CPUID of one processor as the engine would have it, in the engine's own entries */
export function fitCpu<Entry extends CpuidLeaf>(wanted: PoolHost, own: readonly Entry[]): FittedCpu<Entry> {
  const asked = comparedCpu(wanted);
  const model = mergeCpus([asked.leaves.rows, own], 0);
  const given = new Leaves(own);
  const entries = own.flatMap((entry) => {
    const { leaf, subleaf } = entry;
    const highest = model.get(leaf >= 0x8000_0000 ? 0x8000_0000 : 0, 0, 'eax');
    if (hypervisorLeaves(leaf)) return [entry];
    if (leaf > highest) return [];
    if (ruleOf(leaf, subleaf) === undefined)
      return leaf === 0xd && !model.has(leaf, subleaf) ? [] : [withModel(entry, model)];
    return model.has(leaf, subleaf) ? [withModel(entry, model)] : [{ ...entry, eax: 0, ebx: 0, ecx: 0, edx: 0 }];
  });
  const { missing } = compareCpus(
    { ...asked, msrs: new Map() },
    { name: 'the engine', leaves: given, msrs: new Map() },
  );
  const identity = identify(model.rows);
  return {
    entries,
    filtered: missing.filter(({ name }) => name !== 'vendor'),
    name:
      identity === undefined
        ? 'an unknown CPU'
        : `${identity.vendor} family ${identity.family} model ${identity.model} stepping ${identity.stepping}`,
  };
}

/** Features that the engine shows though they were not set: some KVMs add what they cannot do without. */
export function addedBy(engine: readonly CpuidLeaf[], set: readonly CpuidLeaf[]): string[] {
  const wanted = new Set(new Leaves(set).features());
  return new Leaves(engine).features().filter((name) => !wanted.has(name));
}

function withModel<Entry extends CpuidLeaf>(entry: Entry, model: Leaves): Entry {
  const { leaf, subleaf } = entry;
  if (!model.has(leaf, subleaf)) return entry;
  const word = (register: 'eax' | 'ebx' | 'ecx' | 'edx'): number => {
    const own = ownBits.find((row) => row.leaf === leaf && subleaf === 0 && row.register === register)?.mask ?? 0;
    return ((model.get(leaf, subleaf, register) & ~own) | (entry[register] & own)) >>> 0;
  };
  return { ...entry, eax: word('eax'), ebx: word('ebx'), ecx: word('ecx'), edx: word('edx') };
}
