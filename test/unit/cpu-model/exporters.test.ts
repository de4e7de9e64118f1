/** Baselines for other hypervisors. */
import Ajv from 'ajv/dist/2020.js';
import { describe, expect, it } from 'vitest';
import { baselineOf } from '../../../src/cpu-model/baseline.ts';
import { firecrackerTemplate } from '../../../src/cpu-model/firecracker.ts';
import { libvirtXml } from '../../../src/cpu-model/libvirt.ts';
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

  it('disables what the model has and the pool has not', () => {
    expect(xml).toContain("<feature policy='disable' name='mtrr'/>");
    expect(xml).not.toContain("name='pni'");
  });
});

/** The form of Firecracker's documentation, docs/cpu_templates/cpu-templates.md. */
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
                bitmap: { type: 'string', pattern: '^0b[01x]{1,32}$' },
              },
            },
          },
        },
      },
    },
    msr_modifiers: { type: 'array' },
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
