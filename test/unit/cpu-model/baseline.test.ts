/** FlexMigration: one CPU for a pool. */
import { describe, expect, it } from 'vitest';
import { type Baseline, baselineOf, comparedCpu, type PoolHost } from '../../../src/cpu-model/baseline.ts';
import { compareCpus } from '../../../src/cpu-model/compare.ts';
import {
  componentFeatures,
  dependencies,
  leafFeatures,
  optionalComponents,
} from '../../../src/cpu-model/dependencies.ts';
import { featureNamed } from '../../../src/cpu-model/leaves.ts';
import { leafRules, rangesOf } from '../../../src/cpu-model/rules.ts';
import { featureMsrs } from '../../../src/x86/feature-msrs.ts';
import { hostWith } from '../../support/pool.ts';

const avx = ['fxsr', 'sse', 'sse2', 'sse3', 'ssse3', 'sse4.1', 'sse4.2', 'xsave', 'avx'];
/** x87, SSE and AVX, where every processor has them. */
const avxArea = [
  { leaf: 0xd, subleaf: 0, eax: 7, ebx: 832, ecx: 832, edx: 0 },
  { leaf: 0xd, subleaf: 2, eax: 256, ebx: 576, ecx: 0, edx: 0 },
];

const register = (baseline: Baseline, leaf: string, name: 'eax' | 'ebx' | 'ecx' | 'edx', subleaf = '0x0'): number =>
  Number(baseline.cpu.leaves.find((row) => row.leaf === leaf && row.subleaf === subleaf)?.[name]);

describe('a baseline', () => {
  it('has the features that every host has, and tells what each loses', () => {
    const { cpu, lost } = baselineOf([
      hostWith('old', ['sse2', 'sse', 'fxsr']),
      hostWith('new', ['fxsr', 'sse', 'sse2', 'sse3', 'erms']),
    ]);
    expect(cpu.features).toEqual(['fxsr', 'sse', 'sse2']);
    expect(lost).toEqual([
      { host: 'new', name: 'sse3' },
      { host: 'new', name: 'erms' },
    ]);
  });

  it('keeps no feature whose ground is lost: FMA falls with AVX', () => {
    const fma = hostWith('new', [...avx, 'fma'], avxArea);
    const { cpu } = baselineOf([fma, hostWith('odd', [...avx.filter((name) => name !== 'avx'), 'fma'], [])]);
    expect(cpu.features).not.toContain('fma');
    expect(cpu.features).not.toContain('avx');
    expect(cpu.features).toContain('sse4.2');
  });

  it('tells what even a host alone loses, for its ground is missing there', () => {
    expect(baselineOf([hostWith('odd', ['fma'])]).lost).toEqual([{ host: 'odd', name: 'fma' }]);
  });

  it('sizes the area of XSAVE for what is left in it', () => {
    const base = baselineOf([
      hostWith('new', avx, avxArea),
      hostWith('old', avx.slice(0, -1), [{ leaf: 0xd, eax: 3, ebx: 576, ecx: 576 }]),
    ]);
    expect(register(base, '0xd', 'eax')).toBe(3);
    expect([register(base, '0xd', 'ebx'), register(base, '0xd', 'ecx')]).toEqual([576, 576]);
    const both = baselineOf([hostWith('a', avx, avxArea), hostWith('b', avx, avxArea)]);
    expect(register(both, '0xd', 'ecx')).toBe(832);
  });

  it('drops a state component that hosts lay out differently, and its feature with it', () => {
    const moved = [avxArea[0], { ...avxArea[1], ebx: 640 }] as typeof avxArea;
    const { cpu } = baselineOf([hostWith('a', avx, avxArea), hostWith('b', avx, moved)]);
    expect(cpu.features).not.toContain('avx');
  });

  it('takes the smaller of widths and limits, and what one host deprecates', () => {
    const host = (name: string, eax: number, ebx: number) =>
      hostWith(
        name,
        [],
        [
          { leaf: 0x8000_0008, eax },
          { leaf: 7, ebx },
        ],
      );
    const base = baselineOf([host('a', 0x3027, 1 << 13), host('b', 0x302e, 0)]);
    expect(register(base, '0x80000008', 'eax')).toBe(0x3027);
    expect(register(base, '0x7', 'ebx')).toBe(1 << 13);
  });

  it('says that transactions always abort if they do on one host, and calls that no feature', () => {
    const { cpu, lost } = baselineOf([hostWith('a', ['rtm', 'rtm-always-abort']), hostWith('b', ['rtm'])]);
    expect(lost).toEqual([{ host: 'b', name: 'CPUID.7:EDX[11]' }]);
    expect(cpu.features).toEqual(['rtm']);
    expect(Number(cpu.leaves.find(({ leaf, subleaf }) => leaf === '0x7' && subleaf === '0x0')?.edx)).toBe(1 << 11);
  });

  it('has no leaf of a feature that is gone, and counts its details as lost with it', () => {
    const tracing = [{ leaf: 0x14, subleaf: 0, ebx: 0b11 }];
    const { cpu, lost } = baselineOf([hostWith('new', ['intel-pt'], tracing), hostWith('old', [], tracing)]);
    expect(cpu.leaves.map(({ leaf }) => leaf)).not.toContain('0x14');
    expect(lost).toEqual([{ host: 'new', name: 'intel-pt' }]);
  });

  it('drops AMX where the hosts’ tiles differ, and keeps it where one alone knows a second palette', () => {
    const amx = ['fxsr', 'xsave', 'xsavec', 'xgetbv1', 'xsaves', 'xfd', 'amx-tile'];
    const tiles = (rows: number, palettes = 1) => [
      { leaf: 0xd, subleaf: 0, eax: 0x60003 },
      { leaf: 0xd, subleaf: 17, eax: 64, ebx: 2752 },
      { leaf: 0xd, subleaf: 18, eax: 8192, ebx: 2816 },
      { leaf: 0x1d, subleaf: 0, eax: palettes },
      { leaf: 0x1d, subleaf: 1, eax: 0x0400_2000, ebx: 0x0008_0040, ecx: rows },
    ];
    const featuresOf = (a: number, b: number, palettes = 1) =>
      baselineOf([hostWith('a', amx, tiles(a)), hostWith('b', amx, tiles(b, palettes))]).cpu.features;
    expect(featuresOf(16, 8)).not.toContain('amx-tile');
    expect(featuresOf(16, 16, 2)).toContain('amx-tile');
  });

  it('has the virtues that every processor tells of in its MSRs, and the weaknesses of any', () => {
    const host = (name: string, value: bigint): PoolHost => ({
      ...hostWith(name, ['arch-capabilities']),
      msrs: [new Map([[0x10a, value]])],
    });
    // Bit 0: safe from Meltdown; bit 5: from MDS; bit 19: returns may be predicted from elsewhere.
    const { cpu, lost } = baselineOf([host('a', 0b10_0001n), host('b', (1n << 19n) | 1n)]);
    expect(cpu.msrs).toEqual({ '0x10a': '0x80001' });
    expect(lost).toEqual([
      { host: 'a', name: 'msr.archCapabilities.mdsNo' },
      { host: 'a', name: 'msr.archCapabilities.rrsba' },
    ]);
  });

  it('names the hosts whose files lack an MSR that CPUID announces', () => {
    const read: PoolHost = { ...hostWith('read', ['arch-capabilities']), msrs: [new Map([[0x10a, 1n]])] };
    const { cpu } = baselineOf([read, hostWith('dump', ['arch-capabilities'])]);
    expect(cpu).toMatchObject({ msrs: {}, unreadMsrs: [{ msr: '0x10a', hosts: ['dump'] }] });
  });

  it('is named after the oldest host unless told, and says why', () => {
    const pool = [hostWith('young', [], [], 0x906ea), hostWith('old', [], [], 0x306c3)];
    expect(baselineOf(pool).cpu).toMatchObject({ model: 0x3c, policy: { identity: 'old' } });
    expect(baselineOf(pool, { identity: 'young' }).cpu).toMatchObject({ model: 0x9e, policy: { why: 'asked for' } });
    expect(() => baselineOf(pool, { identity: 'nobody' })).toThrow(/no host is called 'nobody'/);
  });

  it('counts a hybrid host as its weakest processor', () => {
    const [big] = hostWith('', ['fxsr', 'sse', 'erms']).cpus;
    const [little] = hostWith('', ['fxsr', 'sse']).cpus;
    const { cpu } = baselineOf([{ name: 'hybrid', cpus: [big ?? [], little ?? []], msrs: [] }]);
    expect(cpu.features).toEqual(['fxsr', 'sse']);
  });

  it('knows that Intel announces SYSCALL in 64-bit mode only', () => {
    const seen = hostWith('64-bit dump', ['pae', 'long-mode', 'syscall']);
    const unseen = hostWith('32-bit dump', ['pae', 'long-mode']);
    expect(baselineOf([seen, unseen]).lost).toEqual([]);
  });

  it('refuses hosts of several makers', () => {
    const amd = hostWith('amd', [], [{ leaf: 0, ebx: 0x68747541, ecx: 0x444d4163, edx: 0x69746e65 }]);
    expect(() => baselineOf([hostWith('intel', []), amd])).toThrow(/intel is of GenuineIntel and amd of AuthenticAMD/);
  });

  it('leaves VMX out where a host’s file lacks its MSRs, and names it', () => {
    const read: PoolHost = { ...hostWith('read', ['vmx']), msrs: [new Map([[0x480, 1n]])] };
    expect(baselineOf([read, hostWith('dump', ['vmx'])]).vmx).toEqual({ msrs: {}, controls: [], unread: ['dump'] });
  });

  it('has VMX controls that every host allows', () => {
    const host = (name: string, high: bigint): PoolHost => ({
      ...hostWith(name, ['vmx']),
      msrs: [
        new Map([
          [0x480, 1n],
          [0x48b, high << 32n],
        ]),
      ],
    });
    const { vmx, lost } = baselineOf([host('a', 0b11n), host('b', 0b10n)]);
    expect(vmx.controls.filter(({ setting }) => setting !== 'no').map(({ name }) => name)).toEqual(['enableEpt']);
    expect(lost).toContainEqual({ host: 'a', name: 'vmx.secondary.virtualizeApicAccesses' });
  });
});

describe('a comparison', () => {
  const cpu = (...given: Parameters<typeof hostWith>) => comparedCpu(hostWith(...given));

  it('lets a guest move to where all that it uses is', () => {
    expect(compareCpus(cpu('a', ['fxsr', 'sse']), cpu('b', ['fxsr', 'sse', 'sse2']))).toEqual({
      movable: true,
      missing: [],
    });
  });

  it('names each feature that is missing there', () => {
    const { movable, missing } = compareCpus(cpu('a', ['fxsr', 'erms']), cpu('b', ['fxsr']));
    expect(movable).toBe(false);
    expect(missing).toEqual([{ name: 'erms', where: 'CPUID.7:EBX[9]', from: '1', to: '0' }]);
  });

  it('asks for widths as well: physical addresses may not become narrower', () => {
    const wide = (eax: number) => cpu('a', [], [{ leaf: 0x8000_0008, eax }]);
    expect(compareCpus(wide(0x302e), wide(0x3027)).missing).toEqual([
      { name: 'CPUID.80000008:EAX[7:0]', where: 'CPUID.80000008:EAX[7:0]', from: '0x2e', to: '0x27' },
    ]);
    expect(compareCpus(wide(0x3027), wide(0x302e)).movable).toBe(true);
  });

  it('asks for VMX controls: may be 1, and may be 0 as well', () => {
    const vmx = (low: bigint, high: bigint) =>
      comparedCpu({
        ...hostWith('a', ['vmx']),
        msrs: [
          new Map([
            [0x480, 1n],
            [0x48b, (high << 32n) | low],
          ]),
        ],
      });
    expect(compareCpus(vmx(0n, 2n), vmx(0n, 0n)).missing).toMatchObject([
      { name: 'vmx.secondary.enableEpt', from: 'yes', to: 'no' },
    ]);
    expect(compareCpus(vmx(0n, 2n), vmx(2n, 2n)).missing).toMatchObject([
      { name: 'vmx.secondary.enableEpt', from: 'yes', to: 'forced' },
    ]);
    expect(compareCpus(vmx(2n, 2n), vmx(0n, 2n)).movable).toBe(true);
  });

  it('asks for what MSRs tell: no virtue less, no weakness more', () => {
    const known = (value: bigint) =>
      comparedCpu({ ...hostWith('a', ['arch-capabilities']), msrs: [new Map([[0x10a, value]])] });
    expect(compareCpus(known(1n), known(1n << 2n)).missing).toEqual([
      { name: 'msr.archCapabilities.rdclNo', where: 'MSR 0x10a[0]', from: '0x1', to: '0x0' },
      { name: 'msr.archCapabilities.rsba', where: 'MSR 0x10a[2]', from: '0x0', to: '0x1' },
    ]);
    expect(compareCpus(known(1n << 2n), known(1n)).movable).toBe(true);
    expect(compareCpus(known(1n), cpu('dump', ['arch-capabilities'])).missing).toMatchObject([
      { name: 'msr.archCapabilities', to: 'not read' },
    ]);
  });

  it('does not call a maker’s guest movable to another', () => {
    const amd = cpu('amd', [], [{ leaf: 0, ebx: 0x68747541, ecx: 0x444d4163, edx: 0x69746e65 }]);
    expect(compareCpus(cpu('intel', []), amd).missing.map(({ name }) => name)).toContain('vendor');
  });
});

describe('the tables', () => {
  it('name features that exist', () => {
    const named = [
      ...Object.entries(dependencies).flat(2),
      ...Object.values(componentFeatures).flat(),
      ...Object.values(optionalComponents),
      ...Object.values(leafFeatures),
      ...featureMsrs.map(({ announcedBy }) => announcedBy),
    ];
    expect(named.filter((name) => !featureNamed.has(name))).toEqual([]);
  });

  it('rule each bit once, and each leaf', () => {
    const places = leafRules.map(({ leaf, subleaf }) => `${leaf}.${subleaf}`);
    expect(new Set(places).size).toBe(places.length);
    for (const { registers, leaf } of leafRules) {
      for (const rule of Object.values(registers)) {
        const bits = rangesOf(rule).flatMap(([high, low]) => Array.from({ length: high - low + 1 }, (_, i) => low + i));
        expect(new Set(bits).size, `leaf ${leaf}`).toBe(bits.length);
      }
    }
  });

  it('rule every feature’s leaf', () => {
    const ruled = new Set(leafRules.map(({ leaf }) => leaf));
    expect([...featureNamed.values()].filter(({ leaf }) => !ruled.has(leaf))).toEqual([]);
  });
});
