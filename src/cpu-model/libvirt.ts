/** A baseline as libvirt's CPU XML (libvirt documentation, "CPU model and topology"). */
import { featureMsrs } from '../x86/feature-msrs.ts';
import type { Baseline } from './baseline.ts';
import { libvirtMsrNames, libvirtNames } from './libvirt-names.ts';
import { fieldOf } from './msrs.ts';

/** What libvirt's model kvm64 has: every 64-bit processor has it too. */
const kvm64 = [
  'apic',
  'clflush',
  'cmov',
  'cx16',
  'cx8',
  'de',
  'fpu',
  'fxsr',
  'lm',
  'mca',
  'mce',
  'mmx',
  'msr',
  'mtrr',
  'nx',
  'pae',
  'pat',
  'pge',
  'pni',
  'pse',
  'pse36',
  'sep',
  'sse',
  'sse2',
  'syscall',
  'tsc',
] as const;

/** What no guest is asked to have: KVM gives it to none, a topology decides it, or libvirt moves no guest that has it (invtsc). */
const notForGuests = new Set([
  ...['acpi', 'arch-lbr', 'avic', 'cid', 'cmt', 'core-capability', 'dca', 'ds', 'ds_cpl', 'dtes64', 'est', 'extapic'],
  ...['ht', 'ibs', 'intel-pt', 'intel-pt-lip', 'invtsc', 'lwp', 'monitor', 'nodeid_msr', 'pbe', 'pconfig', 'pdcm'],
  ...['perfctr_nb', 'pks', 'pn', 'skinit', 'smx', 'split-lock-detect', 'svm-lock', 'tce', 'tm', 'tm2', 'topoext'],
  ...['wdt', 'xtpr'],
]);
/** Enclaves need memory that a domain is given by another element. */
const isEnclave = (name: string): boolean => name.startsWith('sgx');

const vendors: Readonly<Record<string, string>> = { GenuineIntel: 'Intel', AuthenticAMD: 'AMD', HygonGenuine: 'Hygon' };

export function libvirtXml({ cpu }: Baseline): string {
  const has = new Set([...cpu.features.flatMap((name) => libvirtNames[name] ?? []), ...msrFeatures(cpu)]);
  const rows = [
    ...[...has]
      .filter((name) => !(kvm64 as readonly string[]).includes(name) && !notForGuests.has(name) && !isEnclave(name))
      .sort()
      .map((name) => feature('require', name)),
    ...kvm64.filter((name) => !has.has(name)).map((name) => feature('disable', name)),
  ];
  const vendor = vendors[cpu.vendor];
  return [
    "<cpu mode='custom' match='exact' check='full'>",
    "  <model fallback='forbid'>kvm64</model>",
    ...(vendor === undefined ? [] : [`  <vendor>${vendor}</vendor>`]),
    ...rows.map((row) => `  ${row}`),
    '</cpu>',
    '',
  ].join('\n');
}

const feature = (policy: 'require' | 'disable', name: string): string => `<feature policy='${policy}' name='${name}'/>`;

function msrFeatures({ msrs }: Baseline['cpu']): string[] {
  return featureMsrs.flatMap(({ register, msr, fields }) =>
    Object.entries(fields).flatMap(([name, [low, high]]) => {
      const value = fieldOf(BigInt(msrs[`0x${msr.toString(16)}`] ?? 0), low, high);
      return value === 0n ? [] : (libvirtMsrNames[`${register}.${name}`] ?? []);
    }),
  );
}
