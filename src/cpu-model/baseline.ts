/** FlexMigration: the greatest CPU that every host of a pool can give, and what each host loses by it. */
import { UsageError } from '../errors.ts';
import { type CpuidFeature, type CpuidLeaf, identify } from '../x86/cpuid.ts';
import { featureMsrs } from '../x86/feature-msrs.ts';
import { type Control, decodeVmx, hex } from '../x86/vmx-msrs.ts';
import { type ComparedCpu, missingCpuid } from './compare.ts';
import { missingFeatureMsrs, missingVmx } from './compare-msrs.ts';
import { featureNamed, type Leaves } from './leaves.ts';
import { commonLeaves, mergeCpus } from './merge.ts';
import { mergeFeatureMsrs, mergeVmx } from './msrs.ts';
import { ruleOfBit } from './rules.ts';

/** What a pool is told of a host: CPUID of each of its processors, MSRs of those that could be read. */
export interface PoolHost {
  readonly name: string;
  readonly cpus: readonly (readonly CpuidLeaf[])[];
  readonly msrs: readonly ReadonlyMap<number, bigint>[];
}

export interface ModelLeaf {
  readonly leaf: string;
  readonly subleaf: string;
  readonly eax: string;
  readonly ebx: string;
  readonly ecx: string;
  readonly edx: string;
}

export interface CpuModel {
  readonly vendor: string;
  readonly family: number;
  readonly model: number;
  readonly stepping: number;
  readonly signature: string;
  readonly brand: string;
  /** The host whose name, signature and brand the model takes, and why it is that one. */
  readonly policy: { readonly identity: string; readonly why: string };
  readonly features: readonly string[];
  readonly leaves: readonly ModelLeaf[];
  /** Feature MSRs: what processors suffer from, what their counters can do. */
  readonly msrs: Readonly<Record<string, string>>;
  /** Feature MSRs that CPUID announces everywhere and that are left out, for these hosts' files do not have them. */
  readonly unreadMsrs: readonly { readonly msr: string; readonly hosts: readonly string[] }[];
}

export interface Baseline {
  readonly vtkitBaseline: 1;
  readonly hosts: readonly string[];
  readonly cpu: CpuModel;
  /** VMX for nested guests; empty where a host has none, or none that could be read: `unread` names these. */
  readonly vmx: {
    readonly msrs: Readonly<Record<string, string>>;
    readonly controls: readonly Control[];
    readonly unread: readonly string[];
  };
  /** What a host has and the pool cannot use. */
  readonly lost: readonly { readonly host: string; readonly name: string }[];
}

export interface BaselineOptions {
  /** The host whose identity the model takes; the oldest, unless told. */
  readonly identity?: string;
}

/** State of a processor, not a feature of it: software sets these, or a hypervisor is there. */
const state = new Set(['osxsave', 'ospke', 'hypervisor']);

/**
 * The greatest common CPU. Hosts of one name keep their order.
 * @throws UsageError where hosts are of several makers, or one has no CPUID
 */
export function baselineOf(hosts: readonly PoolHost[], options: BaselineOptions = {}): Baseline {
  const own = hosts.map(ownOf);
  const identities = own.map(({ leaves, name }) => {
    const identity = identify(leaves.rows);
    if (identity === undefined) throw new UsageError(`${name} tells no CPUID`, { hint: 'give dumps of processors' });
    return identity;
  });
  const [first] = identities;
  const other = identities.findIndex(({ vendor }) => vendor !== first?.vendor);
  if (first === undefined) throw new UsageError('a baseline needs a host');
  if (other !== -1) {
    throw new UsageError(
      `${own[0]?.name} is of ${first.vendor} and ${own[other]?.name} of ${identities[other]?.vendor}`,
      {
        hint: 'no guest moves between makers: SYSCALL, SYSENTER and virtualization differ beyond CPUID',
      },
    );
  }
  const chosen = choose(
    own.map(({ name }) => name),
    identities.map(({ signature }) => signature),
    options.identity,
  );
  const leaves = mergeCpus(
    own.map((host) => host.leaves.rows),
    chosen.index,
  );
  const {
    features: _,
    hypervisor: _h,
    ...identity
  } = identify(leaves.rows) as NonNullable<ReturnType<typeof identify>>;
  const features = promisedBy(leaves);
  const msrs = featureMsrsOf(own, features);
  const vmx = vmxOf(own, chosen.index, features.includes('vmx'));
  const model = { name: 'the pool', leaves, msrs: new Map([...msrs.read, ...vmx.read]) };
  return {
    vtkitBaseline: 1,
    hosts: own.map(({ name }) => name),
    cpu: {
      ...identity,
      policy: chosen.policy,
      features,
      leaves: leaves.rows.map(modelLeaf),
      msrs: Object.fromEntries([...msrs.read].map(([msr, value]) => [hex(msr), hex(value)])),
      unreadMsrs: msrs.unread,
    },
    vmx: { ...decoded(vmx.read), unread: vmx.unread },
    lost: own.flatMap((host) => lostBy(host, model).map((name) => ({ host: host.name, name }))),
  };
}

/** Features that a guest is promised: neither state nor what is said to be taken away. */
const promisedBy = (leaves: Leaves): string[] =>
  leaves.features().filter((name) => {
    const { leaf, subleaf, register, bit } = featureNamed.get(name) as CpuidFeature;
    return !state.has(name) && ruleOfBit(leaf, subleaf, register, bit) === 'and';
  });

function lostBy(host: ComparedCpu, model: ComparedCpu): string[] {
  const missing = [...missingCpuid(host, model), ...missingFeatureMsrs(host, model), ...missingVmx(host, model)];
  return [...new Set(missing.map(({ name }) => name))];
}

/** A host as its weakest processor: on a hybrid part a guest may run on any. */
function ownOf({ name, cpus, msrs }: PoolHost): ComparedCpu {
  if (cpus.length === 0) throw new UsageError(`${name} tells no CPUID`, { hint: 'give dumps of processors' });
  const capable = msrs.filter((registers) => registers.has(0x480));
  return {
    name,
    leaves: withSyscall(commonLeaves(cpus)),
    msrs: new Map([...mergeFeatureMsrs(msrs.filter(({ size }) => size > 0)), ...mergeVmx(capable)]),
  };
}

/**
 * Intel announces SYSCALL in 64-bit mode only (SDM Vol. 2A, CPUID leaf 80000001h), so that dumps of 32-bit programs lack
 * it: with long mode it is there, whoever looked.
 */
function withSyscall(leaves: Leaves): Leaves {
  const syscall = 1 << 11;
  const features = leaves.features();
  if (features.includes('long-mode') && !features.includes('syscall')) {
    leaves.set(0x8000_0001, 0, 'edx', leaves.get(0x8000_0001, 0, 'edx') | syscall);
  }
  return leaves;
}

/** A host as a comparison takes it. */
export function comparedCpu(host: PoolHost): ComparedCpu {
  return ownOf(host);
}

function choose(names: readonly string[], signatures: readonly string[], wanted: string | undefined) {
  if (wanted !== undefined) {
    const index = names.indexOf(wanted);
    if (index === -1) throw new UsageError(`no host is called '${wanted}'`, { hint: `hosts: ${names.join(', ')}` });
    return { index, policy: { identity: wanted, why: 'asked for' } };
  }
  // Family, then model, then stepping: software takes what it knows of the oldest for granted on every other.
  const order = (signature: string): number => {
    const word = Number.parseInt(signature, 16);
    const family = ((word >>> 8) & 15) + ((word >>> 20) & 0xff);
    const model = ((word >>> 4) & 15) | (((word >>> 16) & 15) << 4);
    return (family << 16) | (model << 8) | (word & 15);
  };
  const ages = signatures.map(order);
  const index = ages.indexOf(Math.min(...ages));
  return {
    index,
    policy: { identity: names[index] as string, why: 'the lowest family, model and stepping of the pool' },
  };
}

function featureMsrsOf(own: readonly ComparedCpu[], features: readonly string[]) {
  const announced = featureMsrs.filter(({ announcedBy }) => features.includes(announcedBy)).map(({ msr }) => msr);
  const read = [...mergeFeatureMsrs(own.map(({ msrs }) => msrs))].filter(([msr]) => announced.includes(msr));
  const unread = announced.flatMap((msr) => {
    const hosts = own
      .filter(({ msrs }) => !msrs.has(msr))
      .map(({ name }) => name)
      .sort();
    return hosts.length === 0 ? [] : [{ msr: hex(msr), hosts }];
  });
  return { read, unread };
}

function vmxOf(own: readonly ComparedCpu[], identity: number, announced: boolean) {
  const unread = own.filter(({ msrs, leaves }) => !msrs.has(0x480) && leaves.features().includes('vmx'));
  if (!announced || unread.length > 0)
    return { read: new Map<number, bigint>(), unread: unread.map(({ name }) => name) };
  const read = mergeVmx(
    own.map(({ msrs }) => msrs),
    identity,
  );
  return { read, unread: [] };
}

function decoded(read: ReadonlyMap<number, bigint>): Pick<Baseline['vmx'], 'msrs' | 'controls'> {
  const { msrs, controls } = decodeVmx(read);
  return { msrs, controls };
}

function modelLeaf({ leaf, subleaf, eax, ebx, ecx, edx }: CpuidLeaf): ModelLeaf {
  const word = (value: number): string => `0x${(value >>> 0).toString(16).padStart(8, '0')}`;
  return { leaf: hex(leaf), subleaf: hex(subleaf), eax: word(eax), ebx: word(ebx), ecx: word(ecx), edx: word(edx) };
}
