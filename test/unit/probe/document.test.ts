import { describe, expect, it } from 'vitest';
import { areas, documentOf } from '../../../src/probe/document.ts';
import { cpus, host, intel, msrs } from '../../support/host-facts.ts';

const document = (given = {}) => documentOf(host(given), areas);

describe('the document', () => {
  it('judges the areas that were asked for, and no others', () => {
    const { verdicts, findings } = documentOf(host(), ['kvm', 'vt-d']);
    expect(verdicts.map(({ area }) => area)).toEqual(['kvm', 'vt-d']);
    expect(new Set(findings.map(({ id }) => id.split('.')[0]))).toEqual(new Set(['kvm', 'vt-d']));
  });

  it('has null for what could not be read', () => {
    expect(document({ cpuid: new Map() })).toMatchObject({
      cpu: null,
      vmx: { msrs: {}, controls: [], fields: [], unknownBits: [] },
      dmar: null,
      kernel: { config: null },
    });
  });

  it('is JSON: no bigint, no undefined', () => {
    const made = document({ msrs: msrs({ 1152: 0x00d8_1000_0000_002bn }) });
    expect(JSON.parse(JSON.stringify(made))).toEqual(made);
    expect(made.vmx.msrs).toEqual({ '0x480': '0xd810000000002b' });
  });
});

describe('asymmetry', () => {
  it('is empty for equal processors, whose APIC ids and OSXSAVE bits differ', () => {
    const other = intel(1 << 27).map((row) => (row.leaf === 1 ? { ...row, ebx: 0x0100_0000 } : row));
    expect(document({ cpuid: cpus(intel(0), other) }).asymmetry).toEqual([]);
  });

  it('names the processor and its CPUID register', () => {
    expect(document({ cpuid: cpus(intel(0), intel(0, 0x306c4)) }).asymmetry).toEqual([
      { cpu: 1, register: 'CPUID.1.0:EAX', value: '0x000306c4' },
    ]);
  });

  it('names an MSR, and leaves to `vmx` what all have in common', () => {
    const [big, small] = [0x4000_0000n << 32n, 0n];
    const made = document({ msrs: msrs({ 1152: 1n, 1163: big }, { 1152: 1n, 1163: small }) });
    expect(made.asymmetry).toEqual([{ cpu: 1, register: '0x48b', value: '0x0' }]);
    expect(made.vmx.controls.find(({ name }) => name === 'busLockDetection')?.setting).toBe('no');
  });
});
