/** Plans for pools: what ports have, what virtual functions leave, what drivers offer. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RefusedError } from '../../../src/change/errors.ts';
import { planPools } from '../../../src/vmdq/plan.ts';
import { FakeHost } from '../../support/fake-host.ts';

const port = '0000:03:00.0';
let host: FakeHost;
beforeEach(() => {
  host = new FakeHost();
});
afterEach(() => host.remove());

/** Device ids of the drivers' tables: 10fb is an 82599, 10c9 an 82576, 1533 an I210. */
function nic(device: string, driver: string, vfs = 0): void {
  host.pci(port, { class: '0x020000', driver, files: { device } }).net('eth0', { function: port });
  for (let index = 0; index < vfs; index++) {
    const vf = `0000:03:10.${index}`;
    host.pci(vf, { class: '0x020000', physicalFunction: port });
    host.link(`sys/devices/pci0000:00/${port}/virtfn${index}`, `sys/devices/pci0000:00/${vf}`);
  }
}
const features =
  (changeable: string[], active: string[] = []) =>
  () => ({
    changeable: new Set(changeable),
    active: new Set(active),
  });
const does = (pools: number, given = features(['l2-fwd-offload'])): string[] =>
  planPools(port, { pools, root: host.root, features: given })
    .describe()
    .map((step) => step.does);

describe('a plan for pools', () => {
  it('switches the offload on and puts an interface on each pool', () => {
    nic('0x10fb', 'ixgbe');
    expect(does(2)).toEqual([
      'ethtool -K eth0 l2-fwd-offload on',
      'ip link add eth0p0 link eth0 up type macvlan mode bridge',
      'ip link add eth0p1 link eth0 up type macvlan mode bridge',
    ]);
  });

  it('has no step for what is there', () => {
    nic('0x10fb', 'ixgbe');
    host.net('eth0p0', { lower: ['eth0'] });
    expect(does(1, features(['l2-fwd-offload'], ['l2-fwd-offload']))).toEqual([]);
  });

  it('has as many as virtual functions leave: of 64 pools one is the port’s', () => {
    nic('0x10fb', 'ixgbe', 3);
    expect(does(60)).toHaveLength(61);
    expect(() => does(61)).toThrow(
      /of the 64 pools .* 1 is the port's and 3 its virtual functions': 60 are left, not 61/,
    );
  });

  it.each([
    ['a controller without pools', '0x1533', 'igb', ['l2-fwd-offload'], /no controller of which VMDq pools are known/],
    [
      'a driver that keeps them for virtual functions',
      '0x10c9',
      'igb',
      ['l2-fwd-offload'],
      /82576 uses its 8 pools for virtual/,
    ],
    [
      'a driver that keeps the offload off',
      '0x10fb',
      'ixgbe',
      [],
      /eth0: its driver \(ixgbe\) keeps l2-fwd-offload off/,
    ],
  ])('is refused for %s', (_, device, driver, changeable, reason) => {
    nic(device, driver);
    expect(() => does(1, features(changeable))).toThrow(reason);
    expect(() => does(1, features(changeable))).toThrow(RefusedError);
  });

  it('is refused for a port that has no interface', () => {
    host.pci(port, { class: '0x020000', driver: 'vfio-pci', files: { device: '0x10fb' } });
    expect(() => does(1)).toThrow(/has no network interface/);
  });
});
