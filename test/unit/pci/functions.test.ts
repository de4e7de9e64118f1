import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readPciRecords } from '../../../src/host/pci.ts';
import { decodePci, sriovCapabilities } from '../../../src/pci/functions.ts';
import { express, extended, header, spaceOf } from '../../support/pci-space.ts';

const withSriov = { ...express('endpoint'), 256: extended(1, 0x160), 352: extended(0x10), 364: 0x0008_0008 };

describe('PCI functions of sysfs', () => {
  let folder: string;
  const add = (address: string, config: Uint8Array | null, files: Readonly<Record<string, string>> = {}) => {
    mkdirSync(join(folder, address), { recursive: true });
    if (config !== null) writeFileSync(join(folder, address, 'config'), config);
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, address, name), text);
  };
  const only = (address: string) => decodePci(readPciRecords(folder)).find((each) => each.address === address);
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'vtkit-pci-'));
    add('0000:01:00.0', spaceOf(4096, withSriov), { sriov_totalvfs: '8\n', sriov_numvfs: '1\n' });
    symlinkSync('../../../../bus/pci/drivers/igb', join(folder, '0000:01:00.0', 'driver'));
    symlinkSync('../../../../kernel/iommu_groups/7', join(folder, '0000:01:00.0', 'iommu_group'));
    add('0000:01:10.0', spaceOf(4096, { ...express('endpoint'), 0: 0xffff_ffff }), {
      vendor: '0x8086\n',
      device: '0x10ca\n',
    });
    symlinkSync('../0000:01:00.0', join(folder, '0000:01:10.0', 'physfn'));
    add('0000:02:00.0', spaceOf(64, withSriov));
    add('0000:03:00.0', spaceOf(256, header()));
    add('0000:04:00.0', null, { vendor: '0x8086\n', device: '0x1533\n', class: '0x020000\n' });
    mkdirSync(join(folder, '0000:05:00.0', 'config'), { recursive: true }); // reads fail with EISDIR
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it('have their decoded space, driver, group and virtual functions', () => {
    expect(only('0000:01:00.0')).toMatchObject({
      configBytes: 4096,
      sriov: { totalVfs: 8 },
      virtualFunctions: { total: 8, enabled: 1 },
      driver: 'igb',
      iommuGroup: '7',
      physicalFunction: null,
      faults: [],
    });
  });

  it('have the kernel’s word for the ids that a virtual one hides', () => {
    expect(only('0000:01:10.0')).toMatchObject({
      vendorId: '0x8086',
      deviceId: '0x10ca',
      physicalFunction: '0000:01:00.0',
      virtualFunctions: null,
      driver: null,
    });
  });

  it('show 64 bytes without privilege: the rest is unknown', () => {
    expect(only('0000:02:00.0')).toMatchObject({ configBytes: 64, vendorId: '0x8086', sriov: 'unknown' });
  });

  it('keep what sysfs tells of one whose configuration space cannot be read, and cost the others nothing', () => {
    expect(decodePci(readPciRecords(folder))).toHaveLength(6);
    expect(only('0000:04:00.0')).toMatchObject({
      deviceId: '0x1533',
      class: '0x020000',
      configBytes: 0,
      express: 'unknown',
    });
    expect(only('0000:05:00.0')).toMatchObject({
      vendorId: 'unknown',
      faults: [{ message: expect.stringContaining('EISDIR'), offset: null }],
    });
  });

  it('tell which have SR-IOV, and which end too early to tell', () => {
    expect(sriovCapabilities(decodePci(readPciRecords(folder)))).toEqual({
      found: ['0000:01:00.0'],
      unseen: ['0000:02:00.0', '0000:04:00.0', '0000:05:00.0'],
    });
  });
});
