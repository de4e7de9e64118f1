/** Probes of files: dumps of real processors, where they lie beside the checkout. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Ajv from 'ajv/dist/2020.js';
import { afterAll, describe, expect, it, type TestContext } from 'vitest';
import { exitCodeOf, type ProbeDocument, probe } from '../../../src/probe/index.ts';
import { acpidumpText, dmarTable, drhd, rmrr } from '../../support/dmar-table.ts';
import { dumpOrSkip, dumps } from '../../support/dumps.ts';

const schema = JSON.parse(readFileSync(new URL('../../../src/probe/probe.schema.json', import.meta.url), 'utf8'));
const validate = new Ajv.default({ allErrors: true, allowUnionTypes: true }).compile(schema);

const folder = mkdtempSync(join(tmpdir(), 'vtkit-from-'));
afterAll(() => rmSync(folder, { recursive: true }));

function fileOf(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

function probed(context: TestContext, part: string): ProbeDocument {
  return probe({ from: dumpOrSkip(context, 'cpu', part) });
}

const stateOf = (document: ProbeDocument, id: string) => document.findings.find((row) => row.id === id)?.state;

describe('a file of a host', () => {
  it('that is none of the formats is corrupt, and the error names what is read', () => {
    expect(() => probe({ from: fileOf('letter.txt', 'Dear all,\n') })).toThrow(/letter.txt: not a dump that is known/);
    expect(() => probe({ from: fileOf('zeros', new Uint8Array(1 << 20)) })).toThrow(/not a dump/);
    expect(() => probe({ from: fileOf('empty', '') })).toThrow(/not a dump/);
  });

  it('that is not there is misuse', () => {
    expect(() => probe({ from: join(folder, 'nothing') })).toThrow(/cannot be read/);
  });

  it('is read in UTF-16 as well', () => {
    const row =
      'CPUID 00000000: 0000000A-756E6547-6C65746E-49656E69\nCPUID 00000001: 000006F2-00020800-0000E3BD-BFEBFBFF\n';
    const document = probe({ from: fileOf('wide.txt', Buffer.from(`\ufeff${row}`, 'utf16le')) });
    expect(document.cpu).toMatchObject({ vendor: 'GenuineIntel', family: 6, model: 15 });
  });

  it('without CPUID.VMX is a no, by the bit and not by the vendor', () => {
    const zhaoxin =
      'CPUID 00000000: 0000000D-746E6543-736C7561-48727561\nCPUID 00000001: 000107B0-00020800-00000020-BFEBFBFF\n';
    const document = probe({ from: fileOf('centaur.txt', zhaoxin) });
    expect(document.cpu?.vendor).toBe('CentaurHauls');
    expect(stateOf(document, 'vt-x')).toBe('yes');
    expect(exitCodeOf(document)).toBe(3);
  });
});

describe('a dump of a processor', () => {
  it('with VMX and without MSR 3Ah leaves the firmware unknown', (context) => {
    const document = probed(context, 'Skylake_CPUID');
    expect(stateOf(document, 'vt-x')).toBe('yes');
    expect(stateOf(document, 'vt-x.firmware')).toBe('unknown');
    expect(stateOf(document, 'vt-x.usable')).toBe('unknown');
    expect(exitCodeOf(document)).toBe(3);
  });

  it('before VMX is a no', (context) => {
    const document = probed(context, 'P4_Northwood');
    expect(stateOf(document, 'vt-x.usable')).toBe('no');
    expect(exitCodeOf(document)).toBe(1);
  });

  it('that allows VM functions without their MSR leaves EPTP switching unknown', (context) => {
    const document = probed(context, 'HaswellEP');
    expect(stateOf(document, 'vt-x.vm-functions')).toBe('yes');
    expect(stateOf(document, 'vt-x.vm-functions.eptp-switching')).toBe('unknown');
  });

  it('of the first generation with EPT has no APIC virtualization and no TRUE controls missing', (context) => {
    const document = probed(context, 'Yorkfield');
    expect(stateOf(document, 'vt-x.flex-priority')).toBe('yes');
    expect(stateOf(document, 'vt-x.ept')).toBe('no');
    expect(document.vmx.controls.some(({ register }) => register === 'tertiary')).toBe(false);
    expect(document.vmx.unknownBits).toEqual([{ register: 'misc', msr: '0x485', bit: 9 }]);
  });

  it('shows bits that no table names', (context) => {
    expect(probed(context, 'SapphireRapids').vmx.unknownBits).toContainEqual({
      register: 'basic',
      msr: '0x480',
      bit: 57,
    });
    expect(probed(context, 'IceLakeY').vmx.unknownBits).toContainEqual({
      register: 'secondary',
      msr: '0x48b',
      bit: 29,
    });
  });

  it('of a hybrid part tells where its processors differ, and of equal ones that none does', (context) => {
    const hybrid = probed(context, 'RaptorLake');
    expect(new Set(hybrid.asymmetry.map(({ register }) => register))).toContain('CPUID.1A.0:EAX');
    expect(probed(context, 'ICX').asymmetry).toEqual([]);
  });

  it.each(dumps('cpu').map((path) => [path.split('/').at(-1) as string, path]))('is read: %s', (_, path) => {
    const document = probe({ from: path });
    expect(validate(document), JSON.stringify(validate.errors)).toBe(true);
    expect(document.cpu?.vendor).toMatch(/^(GenuineIntel|AuthenticAMD)$/);
    expect(document.source).toMatchObject({ kind: 'cpu-dump', file: path });
    // The signature stands in the file's name.
    const signature = /(?:GenuineIntel|AuthenticAMD)([0-9A-F]{7})/.exec(path)?.[1];
    expect(document.cpu?.signature).toBe(`0${signature?.toLowerCase()}`);
  });
});

describe('a dump of PCI functions', () => {
  it.each(dumps('pci').map((path) => [path.split('/').at(-1) as string, path]))('is read: %s', (_, path) => {
    const document = probe({ from: path });
    expect(validate(document), JSON.stringify(validate.errors)).toBe(true);
    expect(document.source).toMatchObject({ kind: 'pci-dump' });
    expect(document.pci?.length).toBeGreaterThan(0);
    expect(exitCodeOf(document)).not.toBe(0);
  });
});

describe('a dump of ACPI tables', () => {
  it.each(dumps('dmar').map((path) => [path.split('/').at(-1) as string, path]))('is read: %s', (_, path) => {
    const document = probe({ from: path });
    expect(validate(document), JSON.stringify(validate.errors)).toBe(true);
    expect(document.source).toMatchObject({ kind: 'acpi-dump' });
    expect(document.dmar?.units.length).toBeGreaterThan(0);
    expect(stateOf(document, 'vt-d.firmware')).toBe('yes');
    expect(exitCodeOf(document)).toBe(3);
  });

  it('without a DMAR table is a no of the firmware', () => {
    const document = probe({ from: fileOf('acpi.txt', acpidumpText('APIC', Buffer.alloc(64))) });
    expect(stateOf(document, 'vt-d.firmware')).toBe('no');
    expect(stateOf(document, 'vt-d.usable')).toBe('no');
  });

  it('with a fault tells it and its place', () => {
    const table = dmarTable([drhd(0xfed9_0000n, { all: true }), rmrr(0x1000n, 0x1800n)]);
    const document = probe({ from: fileOf('dmar.bin', table) });
    const finding = document.findings.find(({ id }) => id === 'vt-d.firmware.sound');
    expect(finding).toMatchObject({ state: 'no', why: expect.stringMatching(/0x1000-0x1800.*byte 64/) });
  });

  it('that is cut off in its header is corrupt', () => {
    expect(() => probe({ from: fileOf('short.bin', dmarTable([]).subarray(0, 40)) })).toThrow(
      /short.bin: the end at offset 40/,
    );
  });
});
