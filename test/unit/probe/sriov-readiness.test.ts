import { describe, expect, it } from 'vitest';
import type { PciAttributes } from '../../../src/host/pci-attributes.ts';
import { decodeSpace } from '../../../src/pci/decode.ts';
import type { PciFunction } from '../../../src/pci/functions.ts';
import { sriovPorts } from '../../../src/probe/sriov-readiness.ts';
import { finding, host, known, modules } from '../../support/host-facts.ts';
import { express, extended, spaceOf } from '../../support/pci-space.ts';

const kernel = { driver: 'igb', iommuGroup: '3', physicalFunction: null, virtualFunctions: null } as const;

/** A root port to buses 3 to `end`, whose Device Capabilities and Control 2 have ARI forwarding or not. */
const rootPort = (end: number, ari: boolean): PciFunction => ({
  ...decodeSpace(
    '0000:00:03.0',
    spaceOf(256, {
      ...express('rootPort', 1),
      24: (end << 16) | (3 << 8),
      100: ari ? 1 << 5 : 0,
      104: ari ? 1 << 5 : 0,
    }),
  ),
  ...kernel,
  driver: 'pcieport',
});

/** An 82576: seven virtual functions, of which the first stands at `offset`, the others `stride` apart. */
const port = (given: Partial<PciFunction> = {}, offset = 128, stride = 2): PciFunction => ({
  ...decodeSpace(
    '0000:03:00.0',
    spaceOf(4096, {
      ...express('endpoint'),
      256: extended(0x10),
      268: (7 << 16) | 7,
      276: (stride << 16) | offset,
    }),
  ),
  ...kernel,
  virtualFunctions: { total: 7, enabled: 0 },
  ...given,
});

const attributes = (vfBars: PciAttributes['vfBars']): PciAttributes => ({
  address: '0000:03:00.0',
  resetMethods: ['flr'],
  driverOverride: null,
  numaNode: 0,
  bootVga: null,
  enabled: true,
  d3coldAllowed: null,
  vfioDevice: null,
  vfBars,
});
const room = [{ bar: 0, bytes: '0x1c000', assigned: true }];

const facts = (functions: PciFunction[], vfBars: PciAttributes['vfBars'] = room, given = {}) =>
  host({ pci: known('pci', functions), pciAttributes: known('pci', [attributes(vfBars)]), ...given });
const reasons = (...given: Parameters<typeof facts>) => {
  const [found] = sriovPorts(facts(...given)) ?? [];
  return { state: found?.state, by: Object.fromEntries((found?.reasons ?? []).map((each) => [each.code, each])) };
};

describe('a port with SR-IOV', () => {
  it('can have all virtual functions with a driver, memory, bus numbers and ARI', () => {
    const { state, by } = reasons([rootPort(3, true), port()]);
    expect(state).toBe('yes');
    expect(by.memory?.why).toBe('their BARs have room (BAR 0: 7 × 16 KiB)');
    expect(by['bus-numbers']?.why).toBe('they need no bus number of their own');
    expect(by.ari?.why).toBe('0000:00:03.0 above it forwards ARI');
  });

  it('cannot where the port above it does not forward ARI to device numbers other than its own', () => {
    expect(reasons([rootPort(3, false), port()]).by.ari).toMatchObject({
      state: 'no',
      remedy: 'use a slot below a port with ARI',
    });
  });

  it('cannot where the kernel found no room for the BARs', () => {
    const { state, by } = reasons([rootPort(3, true), port()], [{ bar: 0, bytes: '0x1c000', assigned: false }]);
    expect(state).toBe('no');
    expect(by.memory?.remedy).toContain('above 4G decoding');
  });

  it('cannot have those beyond the bus numbers of the bridge above, and counts those that fit', () => {
    // Routing ids 400h, 480h, 500h ...: two on each bus from 4 on.
    const { by } = reasons([rootPort(5, true), port({}, 256, 128)]);
    expect(by['bus-numbers']).toMatchObject({
      state: 'no',
      why: 'the last stands on bus 0x07, the bridge above leads to 0x05 at most: 4 of 7 fit',
    });
    expect(reasons([rootPort(7, true), port({}, 256, 128)]).by['bus-numbers']?.state).toBe('yes');
  });

  it('cannot without a driver, and with one that nobody knows it is unknown', () => {
    expect(reasons([rootPort(3, true), port({ driver: null })]).by.driver?.state).toBe('no');
    expect(reasons([rootPort(3, true), port({ driver: 'mlx4_core' })]).by.driver).toMatchObject({
      state: 'unknown',
      remedy: 'load mlx4_core with num_vfs=N',
    });
  });

  it('creates some below vfio-pci only where that was told to', () => {
    const state = (enable_sriov: string) =>
      reasons([rootPort(3, true), port({ driver: 'vfio-pci' })], room, {
        modules: modules({ vfio_pci: { enable_sriov } }),
      }).by.driver?.state;
    expect(state('N')).toBe('no');
    expect(state('Y')).toBe('yes');
  });

  it('is unknown where its configuration space ends before the capability, or says nothing yet', () => {
    const short = { ...port(), sriov: 'unknown' as const };
    expect(reasons([rootPort(3, true), short]).by['bus-numbers']).toMatchObject({
      state: 'unknown',
      remedy: 'run as root',
    });
    expect(reasons([rootPort(3, true), port({}, 0, 0)]).by['bus-numbers']?.state).toBe('unknown');
  });
});

describe('vt-c.sr-iov.ready', () => {
  it('names the ports that can have all their virtual functions', () => {
    expect(finding(facts([rootPort(3, true), port()]), 'vt-c.sr-iov.ready')).toMatchObject({
      state: 'yes',
      why: '0000:03:00.0: 7',
    });
  });

  it('says what keeps a port from it', () => {
    expect(finding(facts([rootPort(3, false), port()]), 'vt-c.sr-iov.ready')).toMatchObject({
      state: 'no',
      why: expect.stringContaining('does not forward ARI'),
      remedy: expect.any(String),
    });
  });
});
