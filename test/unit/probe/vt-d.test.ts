import { describe, expect, it } from 'vitest';
import { decodeDmar } from '../../../src/acpi/dmar.ts';
import type { HostFacts } from '../../../src/host/facts.ts';
import { dmarTable, drhd } from '../../support/dmar-table.ts';
import { cpuidBit, cpus, finding, host, intel, known, missing, modules } from '../../support/host-facts.ts';

const unit = { name: 'dmar0', version: '1:0', cap: '0xd2008c22260286', ecap: '0xf00f4a' };
const dmar = decodeDmar(dmarTable([drhd(0xfed9_0000n, { all: true })]));
const offered: Partial<HostFacts> = {
  acpiTables: known('/sys/firmware/acpi/tables', ['DMAR', 'FACP']),
  dmar: known('DMAR', dmar),
};
const used: Partial<HostFacts> = {
  ...offered,
  iommuUnits: known('/sys/class/iommu', [unit]),
  iommuGroups: known('/sys/kernel/iommu_groups', [
    { id: '0', type: 'DMA', devices: ['0000:00:02.0'], reservedRegions: [] },
  ]),
  remappedInterrupts: known('/proc/interrupts', ['IR-PCI-MSI']),
};
const vfio = { modules: modules({ vfio_pci: {} }), vfioNodes: known('/dev', ['/dev/vfio/vfio']) };
const built = (option: 'y' | 'n') => known('/proc/config.gz', { INTEL_IOMMU: option });
const virtual = cpus(intel(cpuidBit.vmx | cpuidBit.hypervisor));

describe('vt-d.firmware', () => {
  it('is seen by every user: the list of tables needs no privilege', () => {
    const facts = host({ ...offered, dmar: missing('DMAR', 'EACCES') });
    expect(finding(facts, 'vt-d.firmware').state).toBe('yes');
  });

  it('is no where there is no DMAR table, or one without units', () => {
    expect(finding(host(), 'vt-d.firmware')).toMatchObject({
      state: 'no',
      remedy: expect.stringContaining('firmware setup'),
    });
    expect(finding(host({ ...offered, dmar: known('DMAR', { ...dmar, units: [] }) }), 'vt-d.firmware').state).toBe(
      'no',
    );
  });

  it('does not send the user of a virtual machine to a firmware setup', () => {
    expect(finding(host({ cpuid: virtual }), 'vt-d.firmware').remedy).toContain("this virtual machine's host");
  });

  it('is unknown where the tables are hidden', () => {
    expect(finding(host({ acpiTables: missing('/sys/firmware/acpi/tables') }), 'vt-d.firmware').state).toBe('unknown');
  });
});

describe('vt-d.chipset', () => {
  const bridge = (vtdDisabled: boolean | null) => ({
    hostBridge: known('00:00.0', { vendorId: '0x8086', deviceId: '0x0c00', vtdDisabled }),
  });

  it('is what units or the DMAR table show', () => {
    expect(finding(host(used), 'vt-d.chipset').state).toBe('yes');
    expect(finding(host(offered), 'vt-d.chipset').state).toBe('yes');
  });

  it('is what the host bridge says where firmware shows nothing', () => {
    expect(finding(host(bridge(true)), 'vt-d.chipset').state).toBe('no');
    expect(finding(host(bridge(false)), 'vt-d.chipset').state).toBe('yes');
    expect(finding(host(bridge(null)), 'vt-d.chipset').state).toBe('unknown');
  });

  it('is a no in a virtual machine that was shown nothing', () => {
    expect(finding(host({ cpuid: virtual }), 'vt-d.chipset').state).toBe('no');
  });
});

describe('vt-d.kernel and vt-d.remapping', () => {
  it('tell what the kernel can from what it does', () => {
    const idle = host({ ...offered, kernelConfig: built('y'), cmdline: known('/proc/cmdline', 'quiet') });
    expect(finding(idle, 'vt-d.kernel').state).toBe('yes');
    expect(finding(idle, 'vt-d.remapping')).toMatchObject({
      state: 'no',
      remedy: expect.stringContaining('intel_iommu=on'),
    });
  });

  it('never take the command line for the answer', () => {
    const wished = host({ ...offered, cmdline: known('/proc/cmdline', 'intel_iommu=on') });
    expect(finding(wished, 'vt-d.remapping').state).toBe('no');
    expect(finding(host({ ...used, cmdline: known('/proc/cmdline', '') }), 'vt-d.remapping').state).toBe('yes');
  });

  it('advise by the command line what to change in it', () => {
    const off = host({
      ...offered,
      kernelConfig: built('y'),
      cmdline: known('/proc/cmdline', 'quiet intel_iommu=sm_on,off'),
    });
    expect(finding(off, 'vt-d.remapping').remedy).toBe('take intel_iommu=off off the kernel command line');
  });

  it('advise no option to a kernel that lacks the driver', () => {
    const without = host({ ...offered, kernelConfig: built('n') });
    expect(finding(without, 'vt-d.kernel')).toMatchObject({
      state: 'no',
      remedy: expect.stringContaining('CONFIG_INTEL_IOMMU'),
    });
    expect(finding(without, 'vt-d.remapping').remedy).toBeUndefined();
  });

  it('do not take the IOMMU of another maker for VT-d', () => {
    const amd = host({
      iommuUnits: known('/sys/class/iommu', [{ name: 'ivhd0', version: null, cap: null, ecap: null }]),
    });
    expect(finding(amd, 'vt-d.remapping')).toMatchObject({ state: 'no', why: expect.stringContaining('ivhd0') });
  });
});

describe('vt-d.interrupt-remapping', () => {
  it('is what interrupts do, not what DMAR and ECAP could', () => {
    expect(finding(host(used), 'vt-d.interrupt-remapping').state).toBe('yes');
    const able = host({ ...used, remappedInterrupts: known('/proc/interrupts', []) });
    expect(finding(able, 'vt-d.interrupt-remapping').state).toBe('no');
    expect(finding(able, 'vt-d.interrupt-remapping').evidence.map(({ raw }) => raw)).toContain('interrupt remapping 1');
  });
});

describe('vt-d.usable', () => {
  it('needs remapping of DMA and interrupts, and VFIO', () => {
    expect(finding(host({ ...used, ...vfio }), 'vt-d.usable').state).toBe('yes');
    expect(finding(host(used), 'vt-d.usable')).toMatchObject({ state: 'no', remedy: 'modprobe vfio-pci' });
    expect(finding(host({ ...offered, ...vfio }), 'vt-d.usable').state).toBe('no');
  });

  it('does without interrupt remapping where VFIO was told to', () => {
    const unsafe = { ...used, ...vfio, remappedInterrupts: known('/proc/interrupts', []) };
    expect(finding(host(unsafe), 'vt-d.usable').state).toBe('no');
    const told = modules({ vfio_pci: {}, vfio_iommu_type1: { allow_unsafe_interrupts: 'Y' } });
    expect(finding(host({ ...unsafe, modules: told }), 'vt-d.usable').state).toBe('yes');
  });

  it('gives the first cure first: firmware before kernel before option', () => {
    expect(finding(host(), 'vt-d.usable').remedy).toContain('firmware setup');
    expect(finding(host({ ...offered, kernelConfig: built('n') }), 'vt-d.usable').remedy).toContain(
      'CONFIG_INTEL_IOMMU',
    );
    expect(finding(host({ ...offered, kernelConfig: built('y') }), 'vt-d.usable').remedy).toContain('intel_iommu=on');
  });
});
