/** The probe: facts of a host, the findings that rules make of them, and the document that tells both. */
import type { HostFacts } from '../host/facts.ts';
import { readLiveHost } from '../host/live.ts';
import type { PciFunction } from '../pci/functions.ts';
import { type CpuIdentity, identify } from '../x86/cpuid.ts';
import { decodeVmx, hex, type VmxCapabilities } from '../x86/vmx-msrs.ts';
import { type Area, type Check, type Finding, findingOf, type State } from './check.ts';
import { kvm } from './kvm.ts';
import { vtC } from './vt-c.ts';
import { vtD } from './vt-d.ts';
import { vtX } from './vt-x.ts';

export const areas: readonly Area[] = ['vt-x', 'vt-d', 'vt-c', 'kvm'];
export const areaTitles: Readonly<Record<Area, string>> = {
  'vt-x': 'VT-x',
  'vt-d': 'VT-d',
  'vt-c': 'VT-c',
  kvm: 'KVM',
};
export const checks: readonly Check[] = [...vtX, ...vtD, ...vtC, ...kvm];

export interface ProbeDocument {
  readonly schemaVersion: 1;
  readonly source: HostFacts['source'];
  /** One verdict per area that was asked for: the state of its `usable` finding. */
  readonly verdicts: readonly { readonly area: Area; readonly state: State; readonly why: string }[];
  readonly findings: readonly Finding[];
  readonly cpu: CpuIdentity | null;
  /** Decoded capability MSRs; null where none could be read. */
  readonly vmx: VmxCapabilities | null;
  readonly kvm: {
    readonly apiVersion: number | null;
    readonly capabilities: Readonly<Record<string, number>> | null;
    /** KVM's own view of feature MSRs: what it gives guests, not what the processor has. */
    readonly featureMsrs: Readonly<Record<string, string>> | null;
    readonly modules: Readonly<Record<string, Readonly<Record<string, string>>>> | null;
  };
  readonly pci: readonly PciFunction[] | null;
  /** What processors of this host differ in. */
  readonly asymmetry: readonly { readonly cpu: number; readonly register: string; readonly value: string }[];
}

export interface ProbeOptions {
  readonly only?: readonly Area[];
  /** Another tree than `/`, with its sys, proc and dev. */
  readonly root?: string;
}

/** Probes this host, or another tree of /sys, /proc and /dev. */
export function probe(options: ProbeOptions = {}): ProbeDocument {
  return documentOf(readLiveHost(options.root), options.only ?? areas);
}

export function documentOf(facts: HostFacts, only: readonly Area[]): ProbeDocument {
  const findings = checks
    .filter(({ area }) => only.includes(area))
    .map((check) => ({ area: check.area, finding: findingOf(check, facts) }));
  const [firstCpu] = facts.cpuid.values();
  const read = new Map(
    [...facts.msrs].flatMap(([index, { value }]) => (value === undefined ? [] : [[index, value] as const])),
  );
  const answers = facts.kvm.value;
  return {
    schemaVersion: 1,
    source: facts.source,
    verdicts: only.map((area) => {
      const { finding } = findings.find((row) => row.finding.id === `${area}.usable`) as { finding: Finding };
      return { area, state: finding.state, why: finding.why };
    }),
    findings: findings.map(({ finding }) => finding),
    cpu: identify(firstCpu?.value ?? []) ?? null,
    vmx: read.has(0x480) ? decodeVmx(read) : null,
    kvm: {
      apiVersion: answers?.apiVersion.value ?? null,
      capabilities: answers?.capabilities.value ?? null,
      featureMsrs:
        answers?.featureMsrs.value === undefined
          ? null
          : Object.fromEntries([...answers.featureMsrs.value].map(([index, value]) => [hex(index), hex(value)])),
      modules: facts.modules.value === undefined ? null : Object.fromEntries(facts.modules.value),
    },
    pci: facts.pci.value ?? null,
    asymmetry: facts.msrAsymmetry.map(({ cpu, msr, value }) => ({ cpu, register: hex(msr), value: hex(value) })),
  };
}

/** 0: everything asked for is usable; 1: something is conclusively not; 3: nothing is missing, something is unknown. */
export function exitCodeOf(document: ProbeDocument): 0 | 1 | 3 {
  const states = document.verdicts.map(({ state }) => state);
  return states.includes('no') ? 1 : states.includes('unknown') ? 3 : 0;
}
