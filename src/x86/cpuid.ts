/** CPUID: leaves to read, feature bits by name, and the processor's identity (SDM Vol. 2A, CPUID; AMD APM Vol. 3, appendix E). */

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
  [0x23, 4],
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
];

const sdm = (leaf: string) => `SDM Vol. 2A, CPUID leaf ${leaf}`;

type Bits = Readonly<Record<string, number>>;
function features(leaf: number, subleaf: number, register: CpuidRegister, section: string, bits: Bits): CpuidFeature[] {
  return Object.entries(bits).map(([name, bit]) => ({ name, leaf, subleaf, register, bit, section }));
}

export const cpuidFeatures: readonly CpuidFeature[] = [
  ...features(1, 0, 'ecx', sdm('01h'), {
    sse3: 0,
    pclmulqdq: 1,
    dtes64: 2,
    monitor: 3,
    'ds-cpl': 4,
    vmx: 5,
    smx: 6,
    eist: 7,
    tm2: 8,
    ssse3: 9,
    sdbg: 11,
    fma: 12,
    cmpxchg16b: 13,
    xtpr: 14,
    pdcm: 15,
    pcid: 17,
    dca: 18,
    'sse4.1': 19,
    'sse4.2': 20,
    x2apic: 21,
    movbe: 22,
    popcnt: 23,
    'tsc-deadline': 24,
    aes: 25,
    xsave: 26,
    osxsave: 27,
    avx: 28,
    f16c: 29,
    rdrand: 30,
    hypervisor: 31,
  }),
  ...features(1, 0, 'edx', sdm('01h'), {
    fpu: 0,
    vme: 1,
    de: 2,
    pse: 3,
    tsc: 4,
    msr: 5,
    pae: 6,
    mce: 7,
    cx8: 8,
    apic: 9,
    sep: 11,
    mtrr: 12,
    pge: 13,
    mca: 14,
    cmov: 15,
    pat: 16,
    pse36: 17,
    psn: 18,
    clfsh: 19,
    ds: 21,
    acpi: 22,
    mmx: 23,
    fxsr: 24,
    sse: 25,
    sse2: 26,
    ss: 27,
    htt: 28,
    tm: 29,
    pbe: 31,
  }),
  ...features(7, 0, 'ebx', sdm('07h'), {
    fsgsbase: 0,
    'tsc-adjust': 1,
    sgx: 2,
    bmi1: 3,
    hle: 4,
    avx2: 5,
    smep: 7,
    bmi2: 8,
    erms: 9,
    invpcid: 10,
    rtm: 11,
    'rdt-m': 12,
    mpx: 14,
    'rdt-a': 15,
    avx512f: 16,
    avx512dq: 17,
    rdseed: 18,
    adx: 19,
    smap: 20,
    avx512ifma: 21,
    clflushopt: 23,
    clwb: 24,
    'intel-pt': 25,
    avx512cd: 28,
    sha: 29,
    avx512bw: 30,
    avx512vl: 31,
  }),
  ...features(7, 0, 'ecx', sdm('07h'), {
    avx512vbmi: 1,
    umip: 2,
    pku: 3,
    ospke: 4,
    waitpkg: 5,
    avx512vbmi2: 6,
    'cet-ss': 7,
    gfni: 8,
    vaes: 9,
    vpclmulqdq: 10,
    avx512vnni: 11,
    avx512bitalg: 12,
    tme: 13,
    avx512vpopcntdq: 14,
    la57: 16,
    rdpid: 22,
    'key-locker': 23,
    'bus-lock-detect': 24,
    cldemote: 25,
    movdiri: 27,
    movdir64b: 28,
    enqcmd: 29,
    'sgx-lc': 30,
    pks: 31,
  }),
  ...features(6, 0, 'eax', sdm('06h'), { arat: 2, hwp: 7, 'thread-director': 23 }),
  ...features(7, 0, 'edx', sdm('07h'), {
    'sgx-keys': 1,
    'avx512-4vnniw': 2,
    'avx512-4fmaps': 3,
    'fast-short-rep-mov': 4,
    uintr: 5,
    'avx512-vp2intersect': 8,
    'srbds-ctrl': 9,
    'md-clear': 10,
    'rtm-always-abort': 11,
    serialize: 14,
    hybrid: 15,
    tsxldtrk: 16,
    pconfig: 18,
    'arch-lbr': 19,
    'cet-ibt': 20,
    'amx-bf16': 22,
    'avx512-fp16': 23,
    'amx-tile': 24,
    'amx-int8': 25,
    'ibrs-ibpb': 26,
    stibp: 27,
    'l1d-flush': 28,
    'arch-capabilities': 29,
    'core-capabilities': 30,
    ssbd: 31,
  }),
  ...features(7, 1, 'eax', sdm('07h, subleaf 1'), {
    sha512: 0,
    sm3: 1,
    sm4: 2,
    'rao-int': 3,
    'avx-vnni': 4,
    'avx512-bf16': 5,
    lass: 6,
    cmpccxadd: 7,
    'arch-perfmon-ext': 8,
    'fast-zero-rep-mov': 10,
    'fast-short-rep-sto': 11,
    'fast-short-rep-cmp': 12,
    fred: 17,
    lkgs: 18,
    wrmsrns: 19,
    'nmi-source': 20,
    'amx-fp16': 21,
    hreset: 22,
    'avx-ifma': 23,
    lam: 26,
    msrlist: 27,
    movrs: 31,
  }),
  ...features(7, 1, 'edx', sdm('07h, subleaf 1'), {
    'avx-vnni-int8': 4,
    'avx-ne-convert': 5,
    'amx-complex': 8,
    'avx-vnni-int16': 10,
    utmr: 13,
    prefetchi: 14,
    'user-msr': 15,
    'uiret-uif': 17,
    'cet-sss': 18,
    avx10: 19,
    apx: 21,
  }),
  ...features(7, 2, 'edx', sdm('07h, subleaf 2'), {
    psfd: 0,
    'ipred-ctrl': 1,
    'rrsba-ctrl': 2,
    'ddpd-u': 3,
    'bhi-ctrl': 4,
    'mcdt-no': 5,
  }),
  ...features(0xd, 1, 'eax', sdm('0Dh, subleaf 1'), { xsaveopt: 0, xsavec: 1, xgetbv1: 2, xsaves: 3, xfd: 4 }),
  ...features(0x8000_0007, 0, 'edx', sdm('80000007h'), { 'invariant-tsc': 8 }),
  ...features(0x8000_0008, 0, 'ebx', 'SDM Vol. 2A, CPUID leaf 80000008h; AMD APM Vol. 3, E.4.7', { wbnoinvd: 9 }),
  ...features(0x8000_0001, 0, 'ecx', 'SDM Vol. 2A, CPUID leaf 80000001h; AMD APM Vol. 3, E.4.2', {
    lahf64: 0,
    svm: 2,
    lzcnt: 5,
    prefetchw: 8,
  }),
  ...features(0x8000_0001, 0, 'edx', sdm('80000001h'), {
    syscall: 11,
    nx: 20,
    '1gb-pages': 26,
    rdtscp: 27,
    'long-mode': 29,
  }),
  ...features(0x8000_000a, 0, 'edx', 'AMD APM Vol. 3, E.4.9', {
    npt: 0,
    'svm-lbr': 1,
    'svm-lock': 2,
    nrips: 3,
    'tsc-rate-msr': 4,
    'vmcb-clean': 5,
    'flush-by-asid': 6,
    'decode-assists': 7,
    'pause-filter': 10,
    avic: 13,
    'v-vmsave-vmload': 15,
    vgif: 16,
  }),
];

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
