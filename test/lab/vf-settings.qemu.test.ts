/** Settings of virtual functions over netlink, with iproute2 as witness: on netdevsim, which takes and tells every one. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Change } from '../../src/change/plan.ts';
import type { Step } from '../../src/change/steps.ts';
import { readFeatures } from '../../src/netlink/features.ts';
import { NetlinkSocket, protocol } from '../../src/netlink/socket.ts';
import type { Setting, VfSettings } from '../../src/netlink/vf-settings.ts';

const cli = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const bus = '/sys/bus/netdevsim';
const device = join(bus, 'devices/netdevsim10');

const vtkit = (...args: string[]) => spawnSync(process.execPath, [cli, ...args], { encoding: 'utf8' });

const vfStep = <Name extends 'rate' | 'mac'>(
  name: string,
  of: Name,
  from: VfSettings[Name],
  to: VfSettings[Name],
): Step => ({
  kind: 'vf-setting',
  address: name,
  interface: name,
  vf: 2,
  from: { name: of, value: from } as Setting,
  to: { name: of, value: to } as Setting,
});

describe.skipIf(!existsSync(bus))('vtkit sriov set (without netdevsim: skipped)', () => {
  let name = '';
  const seen = (index: number): Record<string, unknown> =>
    JSON.parse(execFileSync('/sbin/ip', ['-j', 'link', 'show', name], { encoding: 'utf8' }))[0].vfinfo_list[index];

  beforeAll(() => {
    writeFileSync(join(bus, 'new_device'), '10 1 4');
    writeFileSync(join(device, 'sriov_numvfs'), '3');
    [name = ''] = readdirSync(join(device, 'net'));
  });
  afterAll(() => writeFileSync(join(bus, 'del_device'), '10'));

  it.each([
    [['--mac', '52:54:00:aa:bb:cc'], { address: '52:54:00:aa:bb:cc' }],
    [['--vlan', '100:3:802.1ad'], { vlan_list: [{ vlan: 100, qos: 3, protocol: '802.1ad' }] }],
    [['--vlan', '7'], { vlan_list: [{ vlan: 7 }] }],
    [['--rate', '10-100'], { rate: { min_tx: 10, max_tx: 100 } }],
    [['--spoof-check', 'on'], { spoofchk: true }],
    [['--trust', 'on'], { trust: true }],
    [['--link-state', 'disable'], { link_state: 'disable' }],
    [['--query-rss', 'on'], { query_rss_en: true }],
  ])('%j is what iproute2 then tells, and has nothing to do a second time', (flags, told) => {
    expect(vtkit('sriov', 'set', name, '1', ...flags)).toMatchObject({ status: 0, stderr: '' });
    expect(seen(1)).toMatchObject(told);
    expect(vtkit('sriov', 'set', name, '1', ...flags).stdout).toBe('nothing to do\n');
  });

  it('puts what was changed back where a later step fails', async () => {
    const { status, stderr } = vtkit('sriov', 'set', name, '2', '--rate', '100-200');
    expect([status, stderr]).toEqual([0, '']);
    // netdevsim takes no address of a group, as real ports do not.
    const steps: Step[] = [
      vfStep(name, 'rate', { min: 100, max: 200 }, { min: 0, max: 50 }),
      vfStep(name, 'mac', '00:00:00:00:00:00', 'ff:ff:ff:ff:ff:ff'),
    ];
    await expect(new Change([name], steps).run()).rejects.toThrow(/vf 2 mac: EINVAL/);
    expect(seen(2)).toMatchObject({ rate: { min_tx: 100, max_tx: 200 } });
    expect(vtkit('sriov', 'set', name, '2', '--rate', '0').status).toBe(0);
  });

  it('has offloads switched and interfaces put on it, and taken back', async () => {
    const steps: Step[] = [
      { kind: 'feature', address: name, interface: name, feature: 'rx-gro', to: false },
      { kind: 'macvlan', address: name, interface: name, name: `${name}p0` },
    ];
    execFileSync('/sbin/ip', ['link', 'set', name, 'up']);
    const journal = await new Change([name], steps).run();
    const shown = execFileSync('/sbin/ip', ['-d', '-j', 'link', 'show', `${name}p0`], { encoding: 'utf8' });
    expect(JSON.parse(shown)).toMatchObject([
      { link: name, linkinfo: { info_kind: 'macvlan', info_data: { mode: 'bridge' } } },
    ]);
    using socket = new NetlinkSocket(protocol.generic);
    expect(readFeatures(socket, name).active.has('rx-gro')).toBe(false);
    expect(readFeatures(socket, name).changeable.has('l2-fwd-offload'), 'fixed to off on netdevsim').toBe(false);
    await journal.undo();
    expect(readFeatures(socket, name).active.has('rx-gro')).toBe(true);
    expect(existsSync(`/sys/class/net/${name}p0`)).toBe(false);
  });

  it('leaves the others as they are', () => {
    expect(seen(2)).toMatchObject({ address: '00:00:00:00:00:00', trust: false, vlan_list: [{}] });
  });

  it('refuses a virtual function that is not there, and names those that are', () => {
    const { status, stderr } = vtkit('sriov', 'set', name, '9', '--trust', 'on');
    expect([status, stderr]).toEqual([2, expect.stringMatching(/no vf 9\n.*0 to 2/)]);
  });
});
