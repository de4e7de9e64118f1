/** Files of a wanted state, and the steps from a host to it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CorruptInputError, UsageError } from '../../../src/errors.ts';
import { planHost } from '../../../src/sriov/host-plan.ts';
import { parseWanted, readWanted } from '../../../src/sriov/wanted.ts';
import { FakeHost } from '../../support/fake-host.ts';

const port = '0000:01:00.0';
const parse = (text: string) => parseWanted(text, 'host.yaml');

describe('a file of a wanted state', () => {
  it('says ports, numbers, drivers and settings, in the words of a person', () => {
    const [wanted] = parse(`
ports:
  ${port}:
    vfs: 2
    driver: vfio-pci
    settings:
      0: { mac: 52:54:00:00:00:01, vlan: 100, rate: 100-1000, spoofCheck: on, trust: false }`);
    expect(wanted).toMatchObject({ address: port, vfs: 2, driver: 'vfio-pci', queues: undefined });
    expect(wanted?.settings.get(0)).toEqual([
      { name: 'mac', value: '52:54:00:00:00:01' },
      { name: 'vlan', value: { id: 100, qos: 0, protocol: '802.1q' } },
      { name: 'rate', value: { min: 100, max: 1000 } },
      { name: 'spoofCheck', value: true },
      { name: 'trust', value: false },
    ]);
  });

  it.each([
    ['what is no YAML', 'ports: [', /host\.yaml:1: /],
    ['a port twice', `ports:\n  ${port}: { vfs: 1 }\n  ${port}: { vfs: 2 }`, /host\.yaml:3: /],
    ['a word that it does not know', `ports: { "${port}": { vfs: 1, vlans: 3 } }`, /ports\.0000:01:00\.0: .*vlans/],
    ['a port that is no address', 'ports: { eth0: { vfs: 1 } }', /ports\.eth0/],
    ['half a virtual function', `ports: { "${port}": { vfs: 0.5 } }`, /vfs/],
    [
      'a virtual function that is not to be',
      `ports: { "${port}": { vfs: 1, settings: { 1: { trust: on } } } }`,
      /settings\.1: there are to be 1/,
    ],
    ['nothing', '', /host\.yaml: the file/],
  ])('is refused with the place for %s', (_, text, place) => {
    expect(() => parse(text)).toThrow(place);
    expect(() => parse(text)).toThrow(CorruptInputError);
  });

  it('is refused for a value that does not fit', () => {
    expect(() => parse(`ports: { "${port}": { vfs: 1, settings: { 0: { vlan: 5000 } } } }`)).toThrow(UsageError);
  });

  it('whose aliases multiply is refused, and not unfolded', () => {
    const levels = Array.from({ length: 12 }, (_, n) => `a${n + 1}: &a${n + 1} [${`*a${n}, `.repeat(9)}*a${n}]`);
    expect(() => parse(`a0: &a0 [x]\n${levels.join('\n')}`)).toThrow(CorruptInputError);
  });

  it('that is not there is misuse', () => {
    const folder = mkdtempSync(join(tmpdir(), 'vtkit-'));
    expect(() => readWanted(join(folder, 'none.yaml'))).toThrow(UsageError);
    rmSync(folder, { recursive: true });
  });
});

describe('the steps to a wanted state', () => {
  let host: FakeHost;
  beforeEach(() => {
    host = new FakeHost();
  });
  afterEach(() => host.remove());

  /** An NVMe controller, with `enabled` virtual functions behind it: it has no settings to ask the kernel for. */
  function controller(enabled: number): void {
    const numbers = { sriov_totalvfs: '4', sriov_numvfs: `${enabled}`, sriov_offset: '1', sriov_stride: '1' };
    host.pci(port, {
      class: '0x010802',
      driver: 'nvme',
      group: '1',
      files: { ...numbers, sriov_drivers_autoprobe: '1' },
    });
    for (let index = 0; index < enabled; index++) {
      const vf = `0000:01:00.${index + 1}`;
      host.pci(vf, { class: '0x010802', group: `${index + 2}`, physicalFunction: port });
      host.link(`sys/devices/pci0000:00/${port}/virtfn${index}`, `sys/devices/pci0000:00/${vf}`);
    }
  }
  const does = (text: string): string[] =>
    planHost(parse(text), { root: host.root })
      .describe()
      .map((step) => step.does.replaceAll(`${host.root}/`, '/').replaceAll(`/sys/bus/pci/devices/${port}/`, ''));

  it('create what is missing', () => {
    controller(0);
    expect(does(`ports: { "${port}": { vfs: 2 } }`)).toEqual([
      'echo 0 > sriov_drivers_autoprobe',
      'echo 2 > sriov_numvfs',
      'echo 1 > sriov_drivers_autoprobe',
    ]);
  });

  it('set new virtual functions before drivers may come', () => {
    controller(0);
    host.net('eth7', { function: port });
    expect(does(`ports: { "${port}": { vfs: 1, settings: { 0: { mac: 52:54:00:00:00:01 } } } }`).slice(1)).toEqual([
      'echo 1 > sriov_numvfs',
      'ip link set eth7 vf 0 mac 52:54:00:00:00:01',
      'echo 1 > sriov_drivers_autoprobe',
    ]);
  });

  it('go through none where the number differs', () => {
    controller(2);
    expect(does(`ports: { "${port}": { vfs: 3 } }`).filter((step) => step.includes('numvfs'))).toEqual([
      'echo 0 > sriov_numvfs',
      'echo 3 > sriov_numvfs',
    ]);
  });

  it('bind those that are there to the driver', () => {
    controller(1);
    expect(does(`ports: { "${port}": { vfs: 1, driver: vfio-pci } }`)).toEqual([
      'echo vfio-pci > /sys/bus/pci/devices/0000:01:00.1/driver_override',
      'echo 0000:01:00.1 > /sys/bus/pci/drivers_probe',
    ]);
  });

  it.each([0, 2])('are none where the host has %i and is to have as many', (vfs) => {
    controller(vfs);
    expect(does(`ports: { "${port}": { vfs: ${vfs} } }`)).toEqual([]);
  });

  it('are refused as a whole', () => {
    controller(0);
    expect(() => does(`ports: { "${port}": { vfs: 5 } }`)).toThrow(/4 virtual functions at most, not 5/);
  });
});
