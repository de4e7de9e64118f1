import { describe, expect, it } from 'vitest';
import type { Fact, HostFacts } from '../../../src/host/facts.ts';
import { documentOf, exitCodeOf } from '../../../src/probe/index.ts';

const missing = (source: string, code = 'ENOENT'): Fact<never> => ({ source, error: `${code}: not there`, code });
const cpu = (ecx: number) => [
  { leaf: 0, subleaf: 0, eax: 1, ebx: 0x756e6547, ecx: 0x6c65746e, edx: 0x49656e69 },
  { leaf: 1, subleaf: 0, eax: 0x306c3, ebx: 0, ecx, edx: 0 },
];
const vmxBit = 1 << 5;

/** A host that shows nothing, with what a test gives it. */
function host(given: Partial<HostFacts> = {}): HostFacts {
  return {
    source: { kind: 'live', root: '/', release: null },
    cpuid: new Map([[0, { source: 'CPUID on processor 0', value: cpu(vmxBit) }]]),
    msrs: new Map(),
    msrAsymmetry: [],
    cpuinfo: missing('/proc/cpuinfo'),
    kvmNode: missing('/dev/kvm'),
    kvmAccess: missing('/dev/kvm'),
    kvm: missing('/dev/kvm'),
    modules: { source: '/sys/module', value: new Map() },
    iommuUnits: missing('/sys/class/iommu'),
    iommuGroups: missing('/sys/kernel/iommu_groups'),
    dmar: missing('/sys/firmware/acpi/tables/DMAR'),
    cmdline: missing('/proc/cmdline'),
    vfioNode: missing('/dev/vfio'),
    pci: { source: '/sys/bus/pci/devices', value: [] },
    ...given,
  };
}

const finding = (facts: HostFacts, id: string) => {
  const found = documentOf(facts, ['vt-x', 'vt-d', 'vt-c', 'kvm']).findings.find((row) => row.id === id);
  if (found === undefined) throw new Error(`no finding ${id}`);
  return found;
};
const msrs = (...rows: [number, bigint][]) =>
  new Map(rows.map(([index, value]) => [index, { source: `MSR ${index.toString(16)}`, value }]));

describe('a finding', () => {
  it('is unknown, never no, where its source could not be read', () => {
    const facts = host({ msrs: new Map([[0x48b, missing('/dev/cpu/0/msr', 'EACCES')]]) });
    expect(finding(facts, 'vt-x.ept')).toMatchObject({
      state: 'unknown',
      remedy: expect.stringContaining('modprobe msr'),
    });
    expect(finding(facts, 'vt-x.ept').evidence[0]).toMatchObject({
      raw: null,
      error: expect.stringContaining('EACCES'),
    });
    expect(finding(host({ dmar: missing('DMAR', 'EACCES') }), 'vt-d.firmware').state).toBe('unknown');
  });

  it('is no where the file’s absence is the answer', () => {
    expect(finding(host(), 'vt-d.firmware').state).toBe('no');
    expect(finding(host(), 'kvm.usable').state).toBe('no');
  });

  it('is decided by the CPUID bit, not by the vendor', () => {
    expect(finding(host(), 'vt-x').state).toBe('yes');
    const without = host({ cpuid: new Map([[0, { source: 'CPUID on processor 0', value: cpu(0) }]]) });
    expect(finding(without, 'vt-x').state).toBe('no');
    expect(finding(without, 'vt-x.ept')).toMatchObject({ state: 'no' });
    expect(finding(without, 'vt-x.ept').remedy).toBeUndefined();
  });

  it('tells processors apart that differ', () => {
    const facts = host({
      cpuid: new Map([
        [0, { source: 'CPUID on processor 0', value: cpu(vmxBit) }],
        [1, { source: 'CPUID on processor 1', value: cpu(0) }],
      ]),
    });
    expect(finding(facts, 'vt-x')).toMatchObject({ state: 'no', why: expect.stringContaining('processor 1') });
  });

  it('tells a locked firmware from one that has not decided', () => {
    expect(finding(host({ msrs: msrs([0x3a, 1n]) }), 'vt-x.firmware')).toMatchObject({
      state: 'no',
      remedy: expect.stringContaining('firmware setup'),
    });
    expect(finding(host({ msrs: msrs([0x3a, 0n]) }), 'vt-x.firmware').state).toBe('yes');
    expect(finding(host({ msrs: msrs([0x3a, 5n]) }), 'vt-x.firmware').state).toBe('yes');
  });

  it('takes FlexPriority for two controls together', () => {
    const both = msrs([0x482, 1n << (32n + 21n)], [0x48b, 1n << 32n]);
    expect(finding(host({ msrs: both }), 'vt-x.flex-priority').state).toBe('yes');
    expect(finding(host({ msrs: msrs([0x482, 1n << (32n + 21n)], [0x48b, 0n]) }), 'vt-x.flex-priority').state).toBe(
      'no',
    );
    expect(finding(host({ msrs: msrs([0x482, 1n << (32n + 21n)]) }), 'vt-x.flex-priority').state).toBe('unknown');
  });

  it('takes machines that were created for the proof that KVM is usable, whatever CPUID says', () => {
    const answer = <T>(value: T): Fact<T> => ({ source: '/dev/kvm', value });
    const facts = host({
      cpuid: new Map([[0, { source: 'CPUID on processor 0', value: cpu(0) }]]),
      kvm: answer({
        apiVersion: answer(12),
        vm: answer(true),
        capabilities: answer({}),
        featureMsrs: answer(new Map()),
      }),
    });
    expect(finding(facts, 'vt-x').state).toBe('no');
    expect(finding(facts, 'kvm.usable').state).toBe('yes');
  });
});

describe('the exit code', () => {
  it('is 1 for a no, 3 for an unknown without a no, 0 if all is usable', () => {
    expect(exitCodeOf(documentOf(host(), ['kvm']))).toBe(1);
    expect(exitCodeOf(documentOf(host({ pci: missing('pci', 'EACCES') }), ['vt-c']))).toBe(3);
    const port = {
      address: '0000:01:00.0',
      vendorId: '0x8086',
      deviceId: '0x10fb',
      class: '0x020000',
      driver: 'ixgbe',
      iommuGroup: null,
      sriov: { total: 63, enabled: 0 },
      physicalFunction: null,
    };
    const facts = host({ pci: { source: 'pci', value: [port] } });
    expect(exitCodeOf(documentOf(facts, ['vt-c']))).toBe(0);
    expect(finding(facts, 'vt-c.vmdq')).toMatchObject({ state: 'yes', why: expect.stringContaining('64 pools') });
  });
});
