/** Baselines for other hypervisors. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Ajv from 'ajv/dist/2020.js';
import { describe, expect, it } from 'vitest';
import { baselineOf, type PoolHost } from '../../../src/cpu-model/baseline.ts';
import { firecrackerTemplate } from '../../../src/cpu-model/firecracker.ts';
import { featureNamed } from '../../../src/cpu-model/leaves.ts';
import { libvirtXml } from '../../../src/cpu-model/libvirt.ts';
import { libvirtMsrNames, libvirtNames } from '../../../src/cpu-model/libvirt-names.ts';
import type { CpuidFeature } from '../../../src/x86/cpuid.ts';
import { featureMsrs } from '../../../src/x86/feature-msrs.ts';
import { hostWith, realHosts } from '../../support/pool.ts';

const sixtyFour = [
  'fpu',
  'tsc',
  'msr',
  'pae',
  'cx8',
  'apic',
  'fxsr',
  'sse',
  'sse2',
  'sse3',
  'cmpxchg16b',
  'nx',
  'long-mode',
  'syscall',
];

describe('libvirt’s CPU XML', () => {
  const xml = libvirtXml(baselineOf([hostWith('a', [...sixtyFour, 'erms', 'fsgsbase', '1gb-pages'])]));

  it('names the model and the maker, and asks for each feature by libvirt’s name', () => {
    expect(xml).toMatch(
      /^<cpu mode='custom' match='exact' check='full'>\n {2}<model fallback='forbid'>kvm64<\/model>\n {2}<vendor>Intel<\/vendor>\n/,
    );
    const required = [...xml.matchAll(/policy='require' name='([^']+)'/g)].map(([, name]) => name);
    expect(required).toEqual(['erms', 'fsgsbase', 'pdpe1gb']);
  });

  it('asks for no feature of its own name that libvirt means another bit by, nor for one that keeps guests where they are', () => {
    const features = [...sixtyFour, 'prefetchi', 'psfd', 'invariant-tsc', 'sgx', 'x2apic'];
    const required = libvirtXml(baselineOf([hostWith('a', features)])).matchAll(/policy='require' name='([^']+)'/g);
    expect([...required].map(([, name]) => name)).toEqual(['intel-psfd', 'prefetchiti', 'x2apic']);
  });

  it('asks for what the MSRs of all hosts tell', () => {
    const host = { ...hostWith('a', [...sixtyFour, 'arch-capabilities']), msrs: [new Map([[0x10a, 0b10_0001n]])] };
    const required = libvirtXml(baselineOf([host])).matchAll(/policy='require' name='([^']+)'/g);
    expect([...required].map(([, name]) => name)).toEqual(['arch-capabilities', 'mds-no', 'rdctl-no']);
  });

  it('of real processors is what libvirt’s schema of domains allows', (context) => {
    if (spawnSync('virsh', ['--version']).status !== 0) return context.skip('virsh is not installed');
    const hosts = realHosts();
    if (hosts.length === 0) return context.skip('no dumps are beside this checkout');
    const folder = mkdtempSync(join(tmpdir(), 'vtkit-libvirt-'));
    try {
      for (const host of [hosts[0] as PoolHost, hosts.at(-1) as PoolHost]) {
        const file = join(folder, 'domain.xml');
        const rest = "<memory unit='MiB'>64</memory><os><type arch='x86_64'>hvm</type></os>";
        writeFileSync(file, `<domain type='test'><name>pool</name>${rest}${libvirtXml(baselineOf([host]))}</domain>`);
        const { status, stderr } = spawnSync('virsh', ['-c', 'test:///default', 'define', '--validate', file], {
          encoding: 'utf8',
        });
        expect([status, stderr.trim()], host.name).toEqual([0, '']);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('disables what the model has and the pool has not', () => {
    expect(xml).toContain("<feature policy='disable' name='mtrr'/>");
    expect(xml).not.toContain("name='pni'");
  });
});

describe('the table of libvirt’s names', () => {
  const map = '/usr/share/libvirt/cpu_map/x86_features.xml';

  it('names the bits that libvirt’s own map gives these names', (context) => {
    if (!existsSync(map)) return context.skip(`${map} is not installed`);
    const places = new Map(
      [...readFileSync(map, 'utf8').matchAll(/<feature name='([^']+)'.*?<(?:cpuid|msr) ([^>]+)\/>/gs)].map(
        ([, name = '', attributes = '']) => [name, placeOf(attributes)],
      ),
    );
    expect(places.size).toBeGreaterThan(100);
    const wrong = Object.entries(libvirtNames).flatMap(([ours, theirs]) => {
      const { leaf, subleaf, register, bit } = featureNamed.get(ours) as CpuidFeature;
      const place = places.get(theirs);
      const mine = `${leaf}.${subleaf} ${register} ${(1 << bit) >>> 0}`;
      return place === undefined || place === mine ? [] : [`${ours}: ${theirs} is ${place}, not ${mine}`];
    });
    expect(wrong).toEqual([]);
    const wrongMsrs = Object.entries(libvirtMsrNames).flatMap(([ours, theirs]) => {
      const [register, name = ''] = ours.split('.');
      const table = featureMsrs.find((each) => each.register === register);
      const mine = `msr ${table?.msr} eax ${(1 << (table?.fields[name]?.[0] ?? 0)) >>> 0}`;
      const place = places.get(theirs);
      return place === undefined || place === mine ? [] : [`${ours}: ${theirs} is ${place}, not ${mine}`];
    });
    expect(wrongMsrs).toEqual([]);
  });

  /** `eax_in='0x07' ecx_in='0x00' ebx='0x00000001'`, `index='0x10a' edx='0x00000000' eax='0x00000001'`. */
  function placeOf(attributes: string): string {
    const value = (name: string): number => Number(new RegExp(`\\b${name}='([^']+)'`).exec(attributes)?.[1] ?? 0);
    const register = (['eax', 'ebx', 'ecx', 'edx'] as const).find((name) => value(name) !== 0) ?? 'eax';
    const place = attributes.includes('index=') ? `msr ${value('index')}` : `${value('eax_in')}.${value('ecx_in')}`;
    return `${place} ${register} ${value(register)}`;
  }

  it('names features that exist', () => {
    expect(Object.keys(libvirtNames).filter((name) => !featureNamed.has(name))).toEqual([]);
    expect(new Set(Object.values(libvirtNames)).size).toBe(Object.keys(libvirtNames).length);
  });
});

/** The form of Firecracker's documentation: docs/cpu_templates/schema.json, whose texts give the bitmaps' lengths. */
const schema = {
  type: 'object',
  additionalProperties: false,
  properties: {
    cpuid_modifiers: {
      type: 'array',
      items: {
        type: 'object',
        additionalProperties: false,
        required: ['leaf', 'subleaf', 'flags', 'modifiers'],
        properties: {
          leaf: { type: 'string', pattern: '^0x[0-9a-f]{1,8}$' },
          subleaf: { type: 'string', pattern: '^0x[0-9a-f]{1,8}$' },
          flags: { type: 'integer', minimum: 0 },
          modifiers: {
            type: 'array',
            minItems: 1,
            items: {
              type: 'object',
              additionalProperties: false,
              required: ['register', 'bitmap'],
              properties: {
                register: { enum: ['eax', 'ebx', 'ecx', 'edx'] },
                bitmap: { type: 'string', pattern: '^0b[01x]{32}$' },
              },
            },
          },
        },
      },
    },
    msr_modifiers: {
      type: 'array',
      items: {
        type: 'object',
        additionalProperties: false,
        required: ['addr', 'bitmap'],
        properties: {
          addr: { type: 'string', pattern: '^0x[0-9a-f]{1,8}$' },
          bitmap: { type: 'string', pattern: '^0b[01x]{64}$' },
        },
      },
    },
  },
} as const;
const validate = new Ajv.default().compile(schema);

describe('Firecracker’s template', () => {
  it('clears what the pool lacks and leaves the rest to the host', () => {
    const template = firecrackerTemplate(baselineOf([hostWith('a', [...sixtyFour, 'erms'])]));
    const leaf7 = template.cpuid_modifiers.find(({ leaf }) => leaf === '0x7');
    expect(leaf7).toMatchObject({ subleaf: '0x0', flags: 1 });
    const ebx = leaf7?.modifiers.find(({ register }) => register === 'ebx')?.bitmap;
    // Bit 31 first: ERMS is bit 9; bits 6 and 13 are no features.
    expect(ebx).toBe('0b000000000000000000x000x00x000000');
  });

  it('has the form of the published example', () => {
    const example = {
      cpuid_modifiers: [
        {
          leaf: '0x1',
          subleaf: '0x0',
          flags: 0,
          modifiers: [{ register: 'eax', bitmap: '0bxxxx000000000011xx00011011110010' }],
        },
      ],
      msr_modifiers: [{ addr: '0x10a', bitmap: `0b${'0'.repeat(64)}` }],
    };
    expect(validate(example), JSON.stringify(validate.errors)).toBe(true);
  });

  it('hides the leaves and the width of addresses that a host lacks by the pool’s limits', () => {
    const { cpuid_modifiers } = firecrackerTemplate(
      baselineOf([hostWith('a', sixtyFour, [{ leaf: 0x8000_0008, eax: 0x3027 }])]),
    );
    const bitmap = (leaf: string) =>
      cpuid_modifiers.find((each) => each.leaf === leaf)?.modifiers.find(({ register }) => register === 'eax')?.bitmap;
    // The highest leaf is 0Dh, though leaf 7 has no second subleaf.
    expect(bitmap('0x0')).toBe(`0b${'0'.repeat(28)}1101`);
    expect(bitmap('0x7')).toBe(`0b${'0'.repeat(32)}`);
    // 48 linear and 39 physical bits; what guests of guests get is 0.
    expect(bitmap('0x80000008')).toBe('0bxxxxxxxx000000000011000000100111');
  });

  it('clears virtues of MSR 10Ah that not all hosts are known to have, and sets weaknesses', () => {
    const host = (value: bigint) => ({
      ...hostWith('a', [...sixtyFour, 'arch-capabilities']),
      msrs: [new Map([[0x10a, value]])],
    });
    const { msr_modifiers } = firecrackerTemplate(baselineOf([host((1n << 19n) | 0b10_0001n)]));
    // Bits 5 and 0 stay, 19 is set, 2 (the other weakness) is the host's.
    expect(msr_modifiers).toEqual([{ addr: '0x10a', bitmap: `0b${'0'.repeat(44)}1${'0'.repeat(13)}x00x0x` }]);
    expect(firecrackerTemplate(baselineOf([hostWith('dump', ['arch-capabilities'])])).msr_modifiers[0]?.bitmap).toBe(
      `0b${'0'.repeat(44)}x${'0'.repeat(16)}x00`,
    );
  });

  it('names no entry that KVM may not tell of: leaf 7 and its subleaf 1, but none of what they announce', () => {
    const details = ['intel-pt', 'sgx', 'key-locker', 'hreset'];
    const rows = [0x12, 0x14, 0x19, 0x20].map((leaf) => ({ leaf, subleaf: 0, ebx: 1 }));
    const { cpuid_modifiers } = firecrackerTemplate(baselineOf([hostWith('a', details, rows)]));
    expect(cpuid_modifiers.map(({ leaf }) => leaf)).toEqual(['0x0', '0x1', '0x7', '0x7', '0x80000000', '0x80000001']);
  });

  it('of real processors has the form that its documentation gives', (context) => {
    const hosts = realHosts();
    if (hosts.length === 0) return context.skip('no dumps are beside this checkout');
    for (const host of hosts) {
      const template = firecrackerTemplate(baselineOf([host]));
      expect(validate(template), `${host.name}: ${JSON.stringify(validate.errors)}`).toBe(true);
      expect(template.cpuid_modifiers.length).toBeGreaterThan(0);
    }
  });
});
