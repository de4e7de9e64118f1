/** A baseline as libvirt's CPU XML (libvirt documentation, "CPU model and topology"). */
import type { Baseline } from './baseline.ts';

/** Libvirt's names where they are others than ours; null for what libvirt has no name for. */
const names: Readonly<Record<string, string | null>> = {
  sse3: 'pni',
  pclmulqdq: 'pclmuldq',
  dtes64: 'dtes64',
  'ds-cpl': 'ds_cpl',
  eist: 'est',
  cmpxchg16b: 'cx16',
  sdbg: null,
  psn: 'pn',
  clfsh: 'clflush',
  htt: 'ht',
  'tsc-adjust': 'tsc_adjust',
  'rdt-m': 'cmt',
  'rdt-a': 'rdt_a',
  sha: 'sha-ni',
  avx512vpopcntdq: 'avx512-vpopcntdq',
  'cet-ss': null,
  tme: null,
  'key-locker': null,
  enqcmd: null,
  'sgx-lc': 'sgxlc',
  'fast-short-rep-mov': 'fsrm',
  uintr: null,
  'sgx-keys': null,
  'srbds-ctrl': null,
  'rtm-always-abort': null,
  tsxldtrk: 'tsx-ldtrk',
  hybrid: null,
  'cet-ibt': null,
  'ibrs-ibpb': 'spec-ctrl',
  'l1d-flush': null,
  'core-capabilities': 'core-capability',
  'fast-zero-rep-mov': 'fzrm',
  'fast-short-rep-sto': 'fsrs',
  'fast-short-rep-cmp': 'fsrc',
  lahf64: 'lahf_lm',
  lzcnt: 'abm',
  prefetchw: '3dnowprefetch',
  '1gb-pages': 'pdpe1gb',
  'long-mode': 'lm',
  'invariant-tsc': 'invtsc',
  hwp: null,
  'thread-director': null,
  'arch-perfmon-ext': null,
  hreset: null,
  lam: null,
  lass: null,
  fred: null,
  lkgs: null,
  wrmsrns: null,
  msrlist: null,
  movrs: null,
  utmr: null,
  'user-msr': null,
  'uiret-uif': null,
  'cet-sss': null,
  apx: null,
  avx10: null,
  'nmi-source': null,
};

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

/** Features that only the host's firmware or topology decides: a guest is not asked to have them. */
const notForGuests = new Set([
  'acpi',
  'ds',
  'dtes64',
  'ds_cpl',
  'est',
  'ht',
  'monitor',
  'pbe',
  'pdcm',
  'smx',
  'tm',
  'tm2',
  'xtpr',
  'dca',
  'cmt',
  'rdt_a',
  'intel-pt',
  'pconfig',
]);

const vendors: Readonly<Record<string, string>> = { GenuineIntel: 'Intel', AuthenticAMD: 'AMD', HygonGenuine: 'Hygon' };

export function libvirtXml({ cpu }: Baseline): string {
  const named = cpu.features.flatMap((name) => (names[name] === null ? [] : [names[name] ?? name]));
  const has = new Set(named);
  const rows = [
    ...[...has]
      .filter((name) => !(kvm64 as readonly string[]).includes(name) && !notForGuests.has(name))
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
