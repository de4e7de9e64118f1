/** Which findings rest on which bits: found by asking the rules of a processor that has everything, and of one that lacks a bit. */
import { decodeHost } from '../host/decode.ts';
import { type Fact, type HostFacts, known, recordOf } from '../host/facts.ts';
import { type CpuidLeaf, cpuidFeatures, findLeaf } from '../x86/cpuid.ts';
import { vmxControls } from '../x86/vmx-controls.ts';
import { vmxFields } from '../x86/vmx-fields.ts';
import { checks } from './document.ts';
import { type Topic, topics } from './topics.ts';

export interface Explanation extends Topic {
  /** Findings whose state this bit decides. */
  readonly findings: readonly string[];
  /** Of a finding: the bits that decide its state. */
  readonly restsOn: readonly string[];
}

export function explain(topic: Topic): Explanation {
  if (topic.kind === 'finding') {
    const bits = topics.filter((each) => findingsOf(each).includes(topic.name));
    return { ...topic, findings: [], restsOn: bits.map(({ name, place }) => `${name}${place ? `: ${place}` : ''}`) };
  }
  return { ...topic, findings: findingsOf(topic), restsOn: [] };
}

const all64 = (1n << 64n) - 1n;

/** May-be-1 halves all set, must-be-1 halves clear; fields all set. */
const everything: ReadonlyMap<number, bigint> = new Map([
  ...vmxFields.map(({ msr }): [number, bigint] => [msr, all64]),
  ...vmxControls.flatMap(({ msr, trueMsr, allowedOnly }): [number, bigint][] =>
    (trueMsr === undefined ? [msr] : [msr, trueMsr]).map((index) => [
      index,
      allowedOnly ? all64 : (all64 << 32n) & all64,
    ]),
  ),
]);

function leavesWith(lacking?: string): CpuidLeaf[] {
  const rows = new Map<string, { -readonly [K in keyof CpuidLeaf]: CpuidLeaf[K] }>();
  for (const { name, leaf, subleaf, register, bit } of cpuidFeatures) {
    const row = rows.get(`${leaf}.${subleaf}`) ?? { leaf, subleaf, eax: 0, ebx: 0, ecx: 0, edx: 0 };
    // A processor, not a guest of a hypervisor.
    if (name !== lacking && name !== 'hypervisor') row[register] = (row[register] | (1 << bit)) >>> 0;
    rows.set(`${leaf}.${subleaf}`, row);
  }
  const leaves = [...rows.values()];
  return findLeaf(leaves, 0) ? leaves : [{ leaf: 0, subleaf: 0, eax: 0x20, ebx: 0, ecx: 0, edx: 0 }, ...leaves];
}

function hostWith(leaves: readonly CpuidLeaf[], msrs: ReadonlyMap<number, bigint>): HostFacts {
  const registers = new Map([...msrs].map(([index, value]): [number, Fact<bigint>] => [index, known('MSR', value)]));
  const part = { cpuid: new Map([[0, known('CPUID', leaves)]]), msrs: new Map([[0, registers]]) };
  return decodeHost(recordOf({ kind: 'cpu-dump', file: 'a processor that has everything', release: null }, part));
}

const yesOf = (facts: HostFacts): Set<string> =>
  new Set(checks.filter(({ rule }) => rule(facts).state === 'yes').map(({ id }) => id));

let complete: Set<string> | undefined;

/** Findings that are yes with everything, and no longer are without this. */
function findingsOf(topic: Topic): string[] {
  const lacking = hostWithout(topic);
  if (lacking === undefined) return [];
  complete ??= yesOf(hostWith(leavesWith(), everything));
  const left = yesOf(lacking);
  return [...complete].filter((id) => !left.has(id));
}

function hostWithout({ kind, name, aliases }: Topic): HostFacts | undefined {
  if (kind === 'cpuid') return hostWith(leavesWith(name), everything);
  const cleared = new Map(everything);
  const clear = (msr: number, bits: bigint): void => void cleared.set(msr, (cleared.get(msr) ?? 0n) & ~bits);
  if (kind === 'control') {
    const table = vmxControls.find(({ register }) => aliases.includes(`${register}.${name}`));
    const bit = table?.bits[name];
    if (table === undefined || bit === undefined) return undefined;
    for (const msr of [table.msr, table.trueMsr ?? table.msr])
      clear(msr, 1n << BigInt(table.allowedOnly ? bit : bit + 32));
    return hostWith(leavesWith(), cleared);
  }
  if (kind === 'field') {
    const table = vmxFields.find(({ register }) => aliases.includes(`${register}.${name}`));
    const range = table?.fields[name];
    if (table === undefined || range === undefined) return undefined;
    clear(table.msr, ((1n << BigInt(range[1] - range[0] + 1)) - 1n) << BigInt(range[0]));
    return hostWith(leavesWith(), cleared);
  }
  return undefined;
}
