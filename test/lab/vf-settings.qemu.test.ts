/** Settings of virtual functions over netlink, with iproute2 as witness: on netdevsim, which takes and tells every one. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const cli = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const bus = '/sys/bus/netdevsim';
const device = join(bus, 'devices/netdevsim10');

const vtkit = (...args: string[]) => spawnSync(process.execPath, [cli, ...args], { encoding: 'utf8' });

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

  it('leaves the others as they are', () => {
    expect(seen(2)).toMatchObject({ address: '00:00:00:00:00:00', trust: false, vlan_list: [{}] });
  });

  it('refuses a virtual function that is not there, and names those that are', () => {
    const { status, stderr } = vtkit('sriov', 'set', name, '9', '--trust', 'on');
    expect([status, stderr]).toEqual([2, expect.stringMatching(/no vf 9\n.*0 to 2/)]);
  });
});
