/** CPUID: leaves to read, feature bits by name, and the processor's identity (SDM Vol. 2A, CPUID; AMD APM Vol. 3, appendix E). */
import { basicFeatures } from './cpuid-basic.ts';
import { detailFeatures } from './cpuid-details.ts';
import { extendedFeatures } from './cpuid-extended.ts';

export interface CpuidLeaf {
  readonly leaf: number;
  readonly subleaf: number;
  readonly eax: number;
  readonly ebx: number;
  readonly ecx: number;
  readonly edx: number;
}

export type CpuidRegister = 'eax' | 'ebx' | 'ecx' | 'edx';

export interface CpuidFeature {
  readonly name: string;
  readonly leaf: number;
  readonly subleaf: number;
  readonly register: CpuidRegister;
  readonly bit: number;
  readonly section: string;
}

/** Features of one register: name and bit. */
export interface CpuidFeatureTable extends Omit<CpuidFeature, 'name' | 'bit'> {
  readonly bits: Readonly<Record<string, number>>;
}

/** Leaves that a probe asks for, with the subleaves that matter; those above the processor's highest are left out. */
export const probedLeaves: readonly (readonly [leaf: number, subleaves: number])[] = [
  [0x0, 1],
  [0x1, 1],
  [0x5, 1],
  [0x6, 1],
  [0x7, 3],
  [0xa, 1],
  [0xd, 20],
  [0x12, 2],
  [0x14, 2],
  [0x15, 1],
  [0x16, 1],
  [0x19, 1],
  [0x1a, 1],
  [0x1c, 1],
  [0x1d, 2],
  [0x1e, 2],
  [0x20, 1],
  [0x23, 6],
  [0x24, 2],
  [0x29, 1],
  [0x4000_0000, 1],
  [0x4000_0001, 1],
  [0x8000_0000, 1],
  [0x8000_0001, 1],
  [0x8000_0002, 1],
  [0x8000_0003, 1],
  [0x8000_0004, 1],
  [0x8000_0007, 1],
  [0x8000_0008, 1],
  [0x8000_000a, 1],
  [0x8000_0021, 1],
  [0x8000_0022, 1],
];

export const cpuidFeatures: readonly CpuidFeature[] = [
  ...basicFeatures,
  ...detailFeatures,
  ...extendedFeatures,
].flatMap(({ bits, ...place }) => Object.entries(bits).map(([name, bit]) => ({ name, bit, ...place })));

export interface CpuIdentity {
  readonly vendor: string;
  readonly brand: string;
  readonly family: number;
  readonly model: number;
  readonly stepping: number;
  /** CPUID.1:EAX as eight hexadecimal digits. */
  readonly signature: string;
  readonly features: readonly string[];
  /** The hypervisor's signature (leaf 40000000h), where one announces itself. */
  readonly hypervisor: string | null;
}

export function findLeaf(leaves: readonly CpuidLeaf[], leaf: number, subleaf = 0): CpuidLeaf | undefined {
  return leaves.find((row) => row.leaf === leaf && row.subleaf === subleaf);
}

const featureNamed: ReadonlyMap<string, CpuidFeature> = new Map(cpuidFeatures.map((row) => [row.name, row]));

export function hasFeature(leaves: readonly CpuidLeaf[], name: string): boolean | undefined {
  const feature = featureNamed.get(name);
  if (feature === undefined) throw new RangeError(`no CPUID feature is called '${name}'`);
  // A leaf above the highest is a no of the processor's; without leaf 0 nothing is known.
  return leaves.length === 0 ? undefined : isSet(leaves, feature);
}

function isSet(leaves: readonly CpuidLeaf[], { leaf, subleaf, register, bit }: CpuidFeature): boolean {
  return (((findLeaf(leaves, leaf, subleaf)?.[register] ?? 0) >>> bit) & 1) === 1;
}

const text = (...words: readonly number[]): string => {
  const bytes = words.flatMap((word) => [word & 0xff, (word >>> 8) & 0xff, (word >>> 16) & 0xff, word >>> 24]);
  return String.fromCharCode(...bytes)
    .replaceAll('\0', '')
    .trim()
    .replaceAll(/ {2,}/g, ' ');
};

export function identify(leaves: readonly CpuidLeaf[]): CpuIdentity | undefined {
  const zero = findLeaf(leaves, 0);
  const one = findLeaf(leaves, 1);
  if (zero === undefined || one === undefined) return undefined;
  const baseFamily = (one.eax >>> 8) & 15;
  const baseModel = (one.eax >>> 4) & 15;
  const family = baseFamily === 15 ? baseFamily + ((one.eax >>> 20) & 0xff) : baseFamily;
  const model = baseFamily === 6 || baseFamily === 15 ? baseModel | (((one.eax >>> 16) & 15) << 4) : baseModel;
  const brandWords = [0x8000_0002, 0x8000_0003, 0x8000_0004].flatMap((leaf) => {
    const row = findLeaf(leaves, leaf);
    return row === undefined ? [] : [row.eax, row.ebx, row.ecx, row.edx];
  });
  const guest = hasFeature(leaves, 'hypervisor') ? findLeaf(leaves, 0x4000_0000) : undefined;
  return {
    vendor: text(zero.ebx, zero.edx, zero.ecx),
    brand: text(...brandWords),
    family,
    model,
    stepping: one.eax & 15,
    signature: (one.eax >>> 0).toString(16).padStart(8, '0'),
    features: cpuidFeatures.filter((feature) => isSet(leaves, feature)).map(({ name }) => name),
    hypervisor: guest === undefined ? null : text(guest.ebx, guest.ecx, guest.edx),
  };
}
