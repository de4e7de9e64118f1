/** The probe's document: findings, and the decoded facts beside them. */
import type { Dmar } from '../acpi/dmar.ts';
import type { Fact, HostFacts, IommuGroup, IommuUnit, KernelOption } from '../host/facts.ts';
import type { PciFunction } from '../pci/functions.ts';
import { type CpuIdentity, type CpuidLeaf, identify } from '../x86/cpuid.ts';
import { cpuidDifferences } from '../x86/cpuid-differences.ts';
import { commonMsrs, decodeVmx, hex, type VmxCapabilities, vmxMsrs } from '../x86/vmx-msrs.ts';
import { decodeVtd, type VtdCapabilities } from '../x86/vt-d-registers.ts';
import { type Assignability, assignability } from './assignability.ts';
import { type Area, type Check, type Finding, findingOf, type State } from './check.ts';
import { kvm } from './kvm.ts';
import { type SriovPort, sriovPorts } from './sriov-readiness.ts';
import { vtC } from './vt-c.ts';
import { vtD } from './vt-d.ts';
import { vtX } from './vt-x.ts';

export const areas: readonly Area[] = ['vt-x', 'vt-d', 'vt-c', 'kvm'];
export const checks: readonly Check[] = [...vtX, ...vtD, ...vtC, ...kvm];

type Parameters = Readonly<Record<string, string>>;

export interface ProbeDocument {
  readonly schemaVersion: 1;
  readonly source: HostFacts['source'];
  /** One verdict per area that was asked for: the state of its `usable` finding. */
  readonly verdicts: readonly { readonly area: Area; readonly state: State; readonly why: string }[];
  readonly findings: readonly Finding[];
  /** The first processor; null where no CPUID could be read. */
  readonly cpu: (CpuIdentity & { readonly leaves: readonly RawLeaf[] }) | null;
  /** Decoded capability MSRs, as far as all processors have them in common; empty where none could be read. */
  readonly vmx: VmxCapabilities;
  readonly kvm: {
    readonly apiVersion: number | null;
    readonly vcpuMmapBytes: number | null;
    readonly capabilities: Readonly<Record<string, number>> | null;
    /** KVM's own view of feature MSRs: what it gives guests, not what the processor has. */
    readonly featureMsrs: Readonly<Record<string, string>> | null;
    /** The CPUID that KVM can give guests. */
    readonly supportedCpuid: readonly RawLeaf[] | null;
  };
  readonly kernel: {
    readonly cmdline: string | null;
    readonly config: Readonly<Record<string, KernelOption>> | null;
    /** Loaded modules of virtualization, with their parameters. */
    readonly modules: Readonly<Record<string, Parameters>> | null;
  };
  readonly dmar: Dmar | null;
  readonly iommu: {
    /** With CAP and ECAP by name, where the unit is one of VT-d. */
    readonly units: readonly (IommuUnit & VtdCapabilities)[] | null;
    readonly groups: readonly IommuGroup[] | null;
    readonly remappedInterrupts: readonly string[] | null;
    readonly vfioNodes: readonly string[] | null;
  };
  readonly pci: readonly PciFunction[] | null;
  /** Whether each function can be given to a guest; null of a file that knows no kernel. */
  readonly assignability: readonly Assignability[] | null;
  /** Ports with SR-IOV, and whether all their virtual functions can be had. */
  readonly sriovPorts: readonly SriovPort[] | null;
  /** What a processor tells differently from the first: a CPUID register (`CPUID.7.0:EBX`) or an MSR (`0x48b`). */
  readonly asymmetry: readonly Asymmetry[];
}

export interface RawLeaf {
  readonly leaf: string;
  readonly subleaf: string;
  readonly eax: string;
  readonly ebx: string;
  readonly ecx: string;
  readonly edx: string;
}

export interface Asymmetry {
  readonly cpu: number;
  readonly register: string;
  readonly value: string;
}

export function documentOf(facts: HostFacts, only: readonly Area[]): ProbeDocument {
  const findings = checks.filter(({ area }) => only.includes(area)).map((check) => findingOf(check, facts));
  const answers = facts.kvm.value;
  const exposed = answers?.featureMsrs.value;
  const given = answers?.supportedCpuid.value;
  return {
    schemaVersion: 1,
    source: facts.source,
    verdicts: only.map((area) => {
      const { state, why } = findings.find(({ id }) => id === `${area}.usable`) as Finding;
      return { area, state, why };
    }),
    findings,
    cpu: cpuOf(facts),
    vmx: vmxOf(facts),
    kvm: {
      apiVersion: orNull(answers?.apiVersion),
      vcpuMmapBytes: orNull(answers?.vcpuMmapSize),
      capabilities: orNull(answers?.capabilities),
      featureMsrs:
        exposed === undefined ? null : Object.fromEntries([...exposed].map((pair) => [hex(pair[0]), hex(pair[1])])),
      supportedCpuid: given === undefined ? null : given.map(rawLeaf),
    },
    kernel: {
      cmdline: orNull(facts.cmdline),
      config: orNull(facts.kernelConfig),
      modules: facts.modules.value === undefined ? null : Object.fromEntries(facts.modules.value),
    },
    dmar: orNull(facts.dmar),
    iommu: {
      units: facts.iommuUnits.value?.map((unit) => ({ ...unit, ...registersOf(unit) })) ?? null,
      groups: orNull(facts.iommuGroups),
      remappedInterrupts: orNull(facts.remappedInterrupts),
      vfioNodes: orNull(facts.vfioNodes),
    },
    pci: orNull(facts.pci),
    assignability: assignability(facts),
    sriovPorts: sriovPorts(facts),
    asymmetry: asymmetryOf(facts),
  };
}

/** 0: everything asked for is usable; 1: something is conclusively not; 3: nothing is missing, something is unknown. */
export function exitCodeOf({ verdicts }: Pick<ProbeDocument, 'verdicts'>): 0 | 1 | 3 {
  const states = verdicts.map(({ state }) => state);
  return states.includes('no') ? 1 : states.includes('unknown') ? 3 : 0;
}

const orNull = <T>(read: Fact<T> | undefined): T | null => read?.value ?? null;

function leavesOf(facts: HostFacts): { cpu: number; leaves: readonly CpuidLeaf[] }[] {
  return [...facts.cpuid].flatMap(([cpu, { value }]) => (value === undefined ? [] : [{ cpu, leaves: value }]));
}

function cpuOf(facts: HostFacts): ProbeDocument['cpu'] {
  const leaves = leavesOf(facts)[0]?.leaves ?? [];
  const identity = identify(leaves);
  return identity === undefined ? null : { ...identity, leaves: leaves.map(rawLeaf) };
}

const register = (value: number): string => `0x${(value >>> 0).toString(16).padStart(8, '0')}`;

function rawLeaf({ leaf, subleaf, eax, ebx, ecx, edx }: CpuidLeaf): RawLeaf {
  return {
    leaf: hex(leaf),
    subleaf: hex(subleaf),
    eax: register(eax),
    ebx: register(ebx),
    ecx: register(ecx),
    edx: register(edx),
  };
}

function registersOf({ cap, ecap }: IommuUnit): VtdCapabilities {
  return decodeVtd({
    ...(cap === null ? {} : { cap: BigInt(cap) }),
    ...(ecap === null ? {} : { ecap: BigInt(ecap) }),
  });
}

function msrsOf(facts: HostFacts): { cpu: number; msrs: Map<number, bigint> }[] {
  return [...facts.msrs].map(([cpu, values]) => ({
    cpu,
    msrs: new Map([...values].flatMap(([index, { value }]) => (value === undefined ? [] : [[index, value] as const]))),
  }));
}

/** Many dumps hold the MSRs of one processor: then these are what is known of all. */
function vmxOf(facts: HostFacts): VmxCapabilities {
  const perCpu = msrsOf(facts).map(({ msrs }) => new Map([...msrs].filter(([index]) => vmxMsrs.includes(index))));
  const capable = perCpu.filter((msrs) => msrs.has(0x480));
  return decodeVmx(commonMsrs(capable.length > 0 ? capable : perCpu.filter((msrs) => msrs.size > 0)));
}

function asymmetryOf(facts: HostFacts): Asymmetry[] {
  const [firstCpu, ...otherCpus] = leavesOf(facts);
  const byCpuid = otherCpus.flatMap(({ cpu, leaves }) =>
    cpuidDifferences(firstCpu?.leaves ?? [], leaves).map((each) => ({
      cpu,
      register: `CPUID.${each.leaf.toString(16).toUpperCase()}.${each.subleaf}:${each.register.toUpperCase()}`,
      value: register(each.value),
    })),
  );
  const [firstMsrs, ...otherMsrs] = msrsOf(facts);
  const byMsr = otherMsrs.flatMap(({ cpu, msrs }) =>
    [...msrs]
      .filter(([index, value]) => firstMsrs?.msrs.get(index) !== value)
      .map(([index, value]) => ({ cpu, register: hex(index), value: hex(value) })),
  );
  return [...byCpuid, ...byMsr];
}
