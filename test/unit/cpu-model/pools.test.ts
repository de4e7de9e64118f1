/** FlexMigration over real processors, and over any. */
import fc from 'fast-check';
import { describe, expect, it, type TestContext } from 'vitest';
import { type Baseline, baselineOf, comparedCpu, type PoolHost } from '../../../src/cpu-model/baseline.ts';
import { compareCpus } from '../../../src/cpu-model/compare.ts';
import { dependencies } from '../../../src/cpu-model/dependencies.ts';
import { readPoolHost } from '../../../src/cpu-model/file.ts';
import { Leaves } from '../../../src/cpu-model/leaves.ts';
import { mergeCpus } from '../../../src/cpu-model/merge.ts';
import { leafRules } from '../../../src/cpu-model/rules.ts';
import { usualLayouts } from '../../../src/cpu-model/xsave.ts';
import { featureMsrs } from '../../../src/x86/feature-msrs.ts';
import { vmxMsrs } from '../../../src/x86/vmx-msrs.ts';
import { dumpOrSkip } from '../../support/dumps.ts';
import { asHost, cpuWith, realHosts } from '../../support/pool.ts';

const poolOf = (context: TestContext, ...names: readonly string[]): Baseline =>
  baselineOf(names.map((name) => readPoolHost(dumpOrSkip(context, 'cpu', name))));

const row = ({ cpu }: Baseline, leaf: string, subleaf = '0x0') =>
  cpu.leaves.find((each) => each.leaf === leaf && each.subleaf === subleaf);

const lostBy = ({ lost }: Baseline, part: string): string[] =>
  lost.filter(({ host }) => host.includes(part)).map(({ name }) => name);

describe('Sapphire Rapids and Raptor Lake', () => {
  it('share AVX2 and protection keys: the desktop costs the server AVX-512, AMX and five-level paging', (context) => {
    const pool = poolOf(context, 'SapphireRapids_05', 'RaptorLake_01');
    expect(pool.cpu.features).toEqual(expect.arrayContaining(['avx2', 'fma', 'vaes', 'avx-vnni', 'pku']));
    expect(lostBy(pool, 'SapphireRapids')).toEqual(expect.arrayContaining(['avx512f', 'amx-tile', 'la57', 'uintr']));
    expect(lostBy(pool, 'RaptorLake')).toContain('hybrid');
    expect(lostBy(pool, 'RaptorLake')).not.toContain('avx2');
  });

  it('have an XSAVE area that ends with PKRU at 2688', (context) => {
    const pool = poolOf(context, 'SapphireRapids_05', 'RaptorLake_01');
    // XCR0 602E7h and 207h: x87, SSE, AVX, PKRU.
    expect(row(pool, '0xd')).toMatchObject({ eax: '0x00000207', ebx: '0x00000a88', ecx: '0x00000a88' });
    expect(row(pool, '0xd', '0x9')).toMatchObject({ eax: '0x00000008', ebx: '0x00000a80' });
    expect(row(pool, '0xd', '0x5')).toBeUndefined();
  });

  it('address what the smaller addresses: 46 bits of 52, 48 of 57', (context) => {
    expect(row(poolOf(context, 'SapphireRapids_05', 'RaptorLake_01'), '0x80000008')?.eax).toBe('0x0000302e');
  });

  it('are safe from what both are safe from', (context) => {
    // 28FDEBh and 88FD6Bh: all of the smaller but OVERCLOCKING_STATUS; both predict returns from elsewhere (bit 19).
    expect(poolOf(context, 'SapphireRapids_05', 'RaptorLake_01').cpu.msrs).toEqual({ '0x10a': '0x8fd6b' });
  });
});

describe('Yorkfield and Gulftown', () => {
  it('share VMX: numbers are the smaller, the VMCS the larger, revision and timer the older’s', (context) => {
    const { vmx } = poolOf(context, 'Yorkfield', 'Gulftown');
    // 005A08000000000D and 00DA04000000000F: without TRUE registers.
    expect(vmx.msrs['0x480']).toBe('0x5a08000000000d');
    // 403C0h and 401E7h: three activity states, four CR3 targets.
    expect(vmx.msrs['0x485']).toBe('0x401c0');
    // 2Ch and 2Ah.
    expect(vmx.msrs['0x48a']).toBe('0x2a');
    expect(Object.keys(vmx.msrs)).not.toContain('0x48d');
  });
});

describe('Northwood and Skylake X', () => {
  it('nest nothing, and tell which controls the younger loses by it', (context) => {
    const pool = poolOf(context, 'Northwood', 'SkylakeX');
    expect(pool.vmx).toEqual({ msrs: {}, controls: [], unread: [] });
    expect(lostBy(pool, 'SkylakeX')).toEqual(expect.arrayContaining(['long-mode', 'vmx', 'vmx.secondary.enableEpt']));
  });
});

describe('Goldmont', () => {
  it('keeps MPX, whose state its dump does not lay out', (context) => {
    const alone = poolOf(context, 'Goldmont');
    expect(alone.cpu.features).toContain('mpx');
    expect(row(alone, '0xd', '0x3')).toMatchObject({ eax: '0x00000040', ebx: '0x000003c0' });
  });
});

describe('every real processor', () => {
  const hosts = realHosts();
  const needHosts = (context: TestContext): void => {
    if (hosts.length === 0) context.skip('no dumps are beside this checkout');
  };
  // Each as its weakest processor, which is what a baseline begins with: pairs are many.
  const weakest = hosts.map((host): PoolHost => ({ ...host, cpus: [mergeCpus(host.cpus).rows] }));
  const pairs = weakest.flatMap((a, i) => weakest.slice(i + 1).map((b) => [a, b] as const));

  it('alone keeps what it has, but for the management of power', (context) => {
    needHosts(context);
    for (const { name, cpus } of hosts) {
      for (const leaves of cpus) {
        const kept = new Set(mergeCpus([leaves]).features());
        const whole = new Leaves(leaves.filter(({ leaf }) => leaf !== 6)).features();
        expect(whole.filter((feature) => !kept.has(feature), name)).toEqual([]);
      }
    }
  });

  it('lays XSAVE out as usual, where its dump tells', (context) => {
    needHosts(context);
    for (const { name, cpus } of hosts) {
      const leaves = new Leaves(cpus[0]);
      for (const [component, layout] of Object.entries(usualLayouts)) {
        if (leaves.get(0xd, Number(component), 'eax') === 0) continue;
        const told = (['eax', 'ebx'] as const).map((register) => leaves.get(0xd, Number(component), register));
        expect(told, `component ${component} of ${name}`).toEqual(layout);
      }
    }
  });

  it('may run what a pair with any other has in common, which is its own baseline', (context) => {
    needHosts(context);
    for (const [a, b] of pairs) {
      const base = baselineOf([a, b]);
      for (const host of [a, b]) {
        expect(compareCpus(comparedCpu(asHost(base)), comparedCpu(host)).missing, `${a.name}, ${b.name}`).toEqual([]);
      }
      expect(baselineOf([asHost(base)]).cpu.leaves).toEqual(base.cpu.leaves);
    }
  });

  it('loses nothing exactly where it may move to the pool’s CPU', (context) => {
    needHosts(context);
    for (const [a, b] of pairs) {
      const base = baselineOf([a, b]);
      if (base.vmx.unread.length > 0) continue;
      for (const host of [a, b]) {
        const { missing } = compareCpus(comparedCpu(host), comparedCpu(asHost(base)));
        const lost = base.lost.filter((each) => each.host === host.name).map(({ name }) => name);
        expect(lost, `${a.name}, ${b.name}`).toEqual([...new Set(missing.map(({ name }) => name))]);
      }
    }
  });

  it('has the same baseline in every order, but for whose name it has', (context) => {
    needHosts(context);
    fc.assert(
      fc.property(fc.shuffledSubarray([...hosts.keys()], { minLength: 2, maxLength: 4 }), (order) => {
        const pool = order.map((i) => weakest[i] as PoolHost);
        const identity = pool[0]?.name as string;
        expect(baselineOf([...pool].reverse(), { identity }).cpu).toEqual(baselineOf(pool, { identity }).cpu);
      }),
      { numRuns: 40 },
    );
  });
});

describe('any pool, however odd its hosts', () => {
  const word = fc.oneof(fc.nat({ max: 0xffff_ffff }), fc.constant(0xffff_ffff));
  const registers = fc.record({ eax: word, ebx: word, ecx: word, edx: word });
  const places = leafRules.filter(({ leaf }) => leaf !== 0).map(({ leaf, subleaf = 0 }) => ({ leaf, subleaf }));
  const layouts = fc
    .uniqueArray(fc.integer({ min: 2, max: 20 }))
    .map((components) => components.map((subleaf) => ({ leaf: 0xd, subleaf })));
  const host = fc
    .tuple(fc.subarray(places), layouts)
    .chain(([some, more]) =>
      fc.record({
        leaves: fc.tuple(...[...some, ...more].map((place) => registers.map((values) => ({ ...place, ...values })))),
        msrs: fc.dictionary(
          fc.constantFrom(...[...vmxMsrs, ...featureMsrs.map(({ msr }) => msr)].map(String)),
          fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
        ),
      }),
    )
    .map(({ leaves, msrs }) => ({
      cpus: [new Leaves([...leaves, ...cpuWith([])]).rows],
      msrs: [new Map(Object.entries(msrs).map(([index, value]) => [Number(index), value]))],
    }));
  const pools = fc
    .array(host, { minLength: 1, maxLength: 3 })
    .map((hosts) => hosts.map((each, i): PoolHost => ({ name: `host ${i}`, ...each })));

  it('has a baseline that moves to each host, is its own baseline, and holds no feature without its ground', () => {
    fc.assert(
      fc.property(pools, (pool) => {
        const base = baselineOf(pool);
        const again = baselineOf([asHost(base)]);
        expect(again.cpu).toEqual({ ...base.cpu, policy: again.cpu.policy, unreadMsrs: again.cpu.unreadMsrs });
        for (const each of pool) {
          expect(compareCpus(comparedCpu(asHost(base)), comparedCpu(each)).missing).toEqual([]);
        }
        const features = new Set(base.cpu.features);
        for (const name of features) {
          for (const need of dependencies[name] ?? []) expect(features.has(need), `${name} without ${need}`).toBe(true);
        }
      }),
      { numRuns: 100 },
    );
  });

  it('has the same baseline in every order, but for whose name it has', () => {
    fc.assert(
      fc.property(pools, (pool) => {
        const identity = 'host 0';
        expect(baselineOf([...pool].reverse(), { identity }).cpu).toEqual(baselineOf(pool, { identity }).cpu);
      }),
      { numRuns: 100 },
    );
  });
});
