/** The tree of PCI functions: what stands behind what, and what is said of each. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { decodeHost } from '../../../src/host/decode.ts';
import { readLiveDevices } from '../../../src/host/live.ts';
import { type DeviceNode, deviceTree } from '../../../src/probe/device-tree.ts';
import { FakeHost } from '../../support/fake-host.ts';
import { express, spaceOf } from '../../support/pci-space.ts';

const port = '0000:00:01.0';
const nic = '0000:01:00.0';

let host: FakeHost;
beforeEach(() => {
  host = new FakeHost();
});
afterEach(() => host.remove());

/** A root port that leads to buses 1 to `last`. */
const rootPort = (last: number) => ({
  class: '0x060400',
  driver: 'pcieport',
  config: spaceOf(256, { ...express('rootPort', 1), 24: (last << 16) | (1 << 8) }),
});
const physical = {
  class: '0x020000',
  driver: 'igb',
  group: '14',
  files: { numa_node: '1', sriov_totalvfs: '7', sriov_numvfs: '2', reset_method: 'flr' },
};

const nodes = (): Map<string, DeviceNode> =>
  new Map((deviceTree(decodeHost(readLiveDevices(host.root))) ?? []).map((node) => [node.address, node]));

describe('the tree of devices', () => {
  it('tells of a function its bridge, driver, group, node and part in SR-IOV', () => {
    host.pci(port, rootPort(2)).pci(nic, { ...physical, below: port });
    expect(nodes().get(nic)).toMatchObject({
      behind: port,
      what: 'Ethernet controller',
      driver: 'igb',
      iommuGroup: '14',
      numaNode: 1,
      sriov: { role: 'physical', totalVfs: 7, enabledVfs: 2 },
      assignable: 'no',
    });
    expect(nodes().get(port)?.behind).toBeNull();
  });

  it('puts virtual functions on a bus of their own behind the bridge that leads there', () => {
    host.pci(port, rootPort(2)).pci(nic, { ...physical, below: port });
    host.pci('0000:02:10.0', { class: '0x020000', group: '15', below: port, physicalFunction: nic });
    expect(nodes().get('0000:02:10.0')).toMatchObject({
      behind: port,
      driver: null,
      sriov: { role: 'virtual', of: nic },
      assignable: 'yes',
    });
  });

  it('says the reasons of the probe', () => {
    host.pci(nic, { class: '0x020000', driver: 'igb', group: '14' }).net('eth0', { function: nic });
    const routes = 'Iface\tDestination\tGateway\tFlags\neth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n';
    host.file('proc/net/route', routes);
    expect(nodes().get(nic)?.reasons).toContainEqual(expect.objectContaining({ code: 'route', state: 'no' }));
  });

  it('has no node where firmware tells none', () => {
    host.pci(nic, { ...physical, files: { numa_node: '-1' } });
    expect(nodes().get(nic)?.numaNode).toBeNull();
  });
});
