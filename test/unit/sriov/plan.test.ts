/** Plans for virtual functions: their steps, and what is refused before any of them. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RefusedError } from '../../../src/change/errors.ts';
import { planCreate, planDestroy, settingSteps } from '../../../src/sriov/plan.ts';
import { parseSetting } from '../../../src/sriov/settings.ts';
import type { FakeFunction } from '../../support/fake-host.ts';
import { FakeHost } from '../../support/fake-host.ts';

const port = '0000:01:00.0';
let host: FakeHost;
beforeEach(() => {
  host = new FakeHost();
});
afterEach(() => host.remove());

/** The 82576's numbers: offset 128, stride 2. */
function igb(enabled = 0, more: Partial<FakeFunction> = {}): void {
  host.pci(port, {
    class: '0x020000',
    driver: 'igb',
    group: '14',
    ...more,
    files: {
      sriov_totalvfs: '7',
      sriov_numvfs: `${enabled}`,
      sriov_offset: '128',
      sriov_stride: '2',
      sriov_drivers_autoprobe: '1',
      ...more.files,
    },
  });
  for (let index = 0; index < enabled; index++) {
    const vf = `0000:01:10.${index * 2}`;
    host.pci(vf, { class: '0x020000', group: `${20 + index}`, physicalFunction: port });
    host.link(`sys/devices/pci0000:00/${port}/virtfn${index}`, `sys/devices/pci0000:00/${vf}`);
  }
}

const create = (vfs: number, driver?: string) =>
  planCreate(port, { vfs, root: host.root, ...(driver === undefined ? {} : { driver }) });
const does = (plan: { describe(): { does: string }[] }): string[] =>
  plan.describe().map((step) => step.does.replaceAll(`${host.root}/`, '/'));

describe('a plan to create virtual functions', () => {
  it('keeps drivers away while they are made', () => {
    igb();
    expect(does(create(2))).toEqual([
      `echo 0 > /sys/bus/pci/devices/${port}/sriov_drivers_autoprobe`,
      `echo 2 > /sys/bus/pci/devices/${port}/sriov_numvfs`,
      `echo 1 > /sys/bus/pci/devices/${port}/sriov_drivers_autoprobe`,
    ]);
  });

  it('leaves drivers away where the host keeps them away already', () => {
    igb(0, { files: { sriov_drivers_autoprobe: '0' } });
    expect(does(create(2))).toEqual([`echo 2 > /sys/bus/pci/devices/${port}/sriov_numvfs`]);
  });

  it('gives each the driver that is wanted, at the place where the port will put it', () => {
    igb();
    expect(does(create(2, 'vfio-pci')).slice(3)).toEqual([
      'echo vfio-pci > /sys/bus/pci/devices/0000:01:10.0/driver_override',
      'echo 0000:01:10.0 > /sys/bus/pci/drivers_probe',
      'echo vfio-pci > /sys/bus/pci/devices/0000:01:10.2/driver_override',
      'echo 0000:01:10.2 > /sys/bus/pci/drivers_probe',
    ]);
  });

  it('has no step where they are there', () => {
    igb(2);
    expect(does(create(2))).toEqual([]);
  });

  it.each([
    ['more than there can be, and names how many there can be', 8, {}, 0, /7 virtual functions at most, not 8/],
    ['another number than there are', 3, {}, 2, /only through none/],
    ['a port whose driver makes none', 2, { driver: 'vfio-pci' }, 0, /creates none unless told to/],
    ['a port without a driver', 2, { driver: undefined }, 0, /no driver is bound/],
  ] as const)('is refused for %s', (_, vfs, more, enabled, reason) => {
    if ('driver' in more && more.driver === undefined) {
      host.pci(port, { class: '0x020000', files: { sriov_totalvfs: '7', sriov_numvfs: '0' } });
    } else igb(enabled, more as Partial<FakeFunction>);
    if ('driver' in more && more.driver === 'vfio-pci') host.file('sys/module/vfio_pci/parameters/enable_sriov', 'N\n');
    expect(() => create(vfs)).toThrow(reason);
    expect(() => create(vfs)).toThrow(RefusedError);
  });

  it.each([
    ['a function without SR-IOV', '0000:05:00.0', /has no SR-IOV/],
    ['a virtual function', '0000:01:10.0', /virtual function itself, of 0000:01:00\.0/],
    ['a word', 'eth0', /no PCI address/],
  ])('is misuse for %s', (_, address, reason) => {
    igb(1);
    host.pci('0000:05:00.0', { class: '0x020000' });
    expect(() => planCreate(address, { vfs: 1, root: host.root })).toThrow(reason);
  });
});

describe('a plan to remove virtual functions', () => {
  it('is one step', () => {
    igb(2);
    expect(does(planDestroy(port, { root: host.root }))).toEqual([
      `echo 0 > /sys/bus/pci/devices/${port}/sriov_numvfs`,
    ]);
  });

  it('is refused while a process has one of them', () => {
    igb(1);
    host.pci('0000:01:10.4', { class: '0x020000', driver: 'vfio-pci', group: '30', physicalFunction: port });
    host.link(`sys/devices/pci0000:00/${port}/virtfn1`, 'sys/devices/pci0000:00/0000:01:10.4');
    host.file('dev/vfio/30', '');
    host.file('proc/4711/comm', 'qemu\n');
    host.rawLink('proc/4711/fd/5', '/dev/vfio/30');
    expect(() => planDestroy(port, { root: host.root })).toThrow('0000:01:10.4: qemu (process 4711) has it');
  });
});

describe('settings of a virtual function', () => {
  const now = {
    index: 0,
    mac: '52:54:00:00:00:01',
    vlan: { id: 0, qos: 0, protocol: '802.1q' },
    rate: { min: 0, max: 0 },
    spoofCheck: true,
    trust: null,
    queryRss: null,
    linkState: 'auto',
  } as const;

  it('become a step each where they differ', () => {
    const wanted = [parseSetting('mac', now.mac), parseSetting('vlan', '5:3:802.1ad'), parseSetting('rate', '10-100')];
    expect(settingSteps(port, 'eth0', now, wanted)).toEqual([
      {
        kind: 'vf-setting',
        address: port,
        interface: 'eth0',
        vf: 0,
        from: { name: 'vlan', value: now.vlan },
        to: { name: 'vlan', value: { id: 5, qos: 3, protocol: '802.1ad' } },
      },
      expect.objectContaining({ to: { name: 'rate', value: { min: 10, max: 100 } } }),
    ]);
  });

  it('that the driver does not tell are refused: they could not be undone', () => {
    expect(() => settingSteps(port, 'eth0', now, [parseSetting('trust', 'on')])).toThrow(/does not tell trust/);
  });

  it.each([
    ['mac', '52:54:00'],
    ['vlan', '4095'],
    ['vlan', '5:8'],
    ['vlan', '5:1:802.3'],
    ['rate', '100-10'],
    ['spoofCheck', 'yes'],
    ['linkState', 'up'],
  ] as const)('%s is not %s', (key, text) => {
    expect(() => parseSetting(key, text)).toThrow(/does not fit/);
  });
});
