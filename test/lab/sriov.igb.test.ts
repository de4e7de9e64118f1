/** Virtual functions of a network port: created, set, and driven from TypeScript through VFIO, each for itself. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { journalFolder } from '../../src/change/journal.ts';
import type { Setting } from '../../src/netlink/vf-settings.ts';
import { planCreate, planDestroy, planSettings } from '../../src/sriov/plan.ts';
import { VfioDevice } from '../../src/vfio/device.ts';
import { type Assignment, planAssignment } from '../../src/vfio/plan.ts';
import { echo } from '../examples/82576/echo.ts';
import { VirtualFunction } from '../examples/82576/virtual-function.ts';
import { snippets } from '../support/documentation.ts';
import { hostHas, requireOrSkip } from '../support/require.ts';
import { bringUp, interfaceOf, ip, Peer, textOf } from './peer.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const cli = join(root, 'dist/cli/main.js');
const port = '0000:03:00.0';
/** Routing identifiers 128, 130 and 132 behind the port's. */
const vfs = ['0000:03:10.0', '0000:03:10.2', '0000:03:10.4'] as const;
const devices = '/sys/bus/pci/devices';

const vtkit = (...args: string[]) => spawnSync(process.execPath, [cli, ...args], { encoding: 'utf8' });
const succeeds = (...args: string[]): string => {
  const { status, stdout, stderr } = vtkit(...args);
  expect([status, stderr], args.join(' ')).toEqual([0, '']);
  return stdout;
};
const driver = (address: string): string => basename(readlinkSync(`${devices}/${address}/driver`));

let name = '';
beforeEach((context) => requireOrSkip(context, 'qemu10'));
beforeAll(async () => {
  if (hostHas('qemu10') !== true) return;
  name = interfaceOf(port);
  await bringUp(name);
});
afterAll(() => {
  if (name === '') return;
  const journals = existsSync(`/${journalFolder}`) ? readdirSync(`/${journalFolder}`) : [];
  const created = readFileSync(`${devices}/${port}/sriov_numvfs`, 'utf8').trim();
  expect([driver(port), created, journals], 'the port is as it was').toEqual(['igb', '0', []]);
});

/** What iproute2 tells of a virtual function. */
const seen = (vf: number): Record<string, unknown> =>
  JSON.parse(ip('-j', 'link', 'show', name))[0].vfinfo_list[vf] as Record<string, unknown>;

describe('vtkit sriov set, on an 82576', () => {
  beforeAll(async () => {
    if (name !== '') await planCreate(port, { vfs: 2 }).apply();
  });
  afterAll(async () => {
    if (name !== '') await planDestroy(port).apply();
  });

  it('sets address, VLAN, rate, spoof check and trust, as iproute2 then tells, and has nothing to do a second time', () => {
    const wanted = '--mac 52:54:00:aa:bb:cc --vlan 100:3 --rate 500 --spoof-check off --trust on'.split(' ');
    const before = seen(0);
    succeeds('sriov', 'set', port, '1', ...wanted);
    expect(seen(1)).toMatchObject({
      address: '52:54:00:aa:bb:cc',
      vlan_list: [{ vlan: 100, qos: 3 }],
      rate: { max_tx: 500, min_tx: 0 },
      spoofchk: false,
      trust: true,
    });
    expect(seen(0), 'its neighbour').toEqual(before);
    expect(succeeds('sriov', 'set', port, '1', ...wanted)).toBe('nothing to do\n');
  });

  it.each<[string, Setting, RegExp]>([
    ['a rate that is guaranteed', { name: 'rate', value: { min: 100, max: 500 } }, /EINVAL/],
    ['a rate above that of the link', { name: 'rate', value: { min: 0, max: 2000 } }, /EINVAL/],
    ['802.1ad', { name: 'vlan', value: { id: 100, qos: 0, protocol: '802.1ad' } }, /EPROTONOSUPPORT/],
    ['a link state of its own', { name: 'linkState', value: 'disable' }, /ENOTSUP/],
    ['the address of a group', { name: 'mac', value: '01:00:5e:00:00:01' }, /EINVAL/],
  ])('is refused %s by the driver, and leaves the virtual function as it was', async (_, setting, said) => {
    const before = seen(0);
    await expect(planSettings(port, 0, [setting]).apply()).rejects.toThrow(said);
    expect(seen(0)).toEqual(before);
  });
});

describe('vtkit sriov plan', () => {
  const file = '/tmp/host.yaml';
  const plan = (...flags: string[]): string => succeeds('sriov', 'plan', file, ...flags);
  const want = (text: string): void => writeFileSync(file, text);

  it('brings ports to the state that the documentation wants, changes what differs later, and removes all', () => {
    const [documented = ''] = snippets('docs/sriov.md', 'yaml');
    want(documented);
    expect(plan('--apply')).toContain(`ip link set ${name} vf 0 vlan 100`);
    expect(seen(0)).toMatchObject({
      address: '52:54:00:00:00:01',
      vlan_list: [{ vlan: 100 }],
      rate: { max_tx: 500 },
      spoofchk: true,
    });
    expect(seen(1)).toMatchObject({ address: '52:54:00:00:00:02', trust: true });
    expect([...vfs.slice(0, 2), '0000:01:00.1', '0000:01:00.2'].map(driver)).toEqual([
      'vfio-pci',
      'vfio-pci',
      'nvme',
      'nvme',
    ]);
    expect(plan('--apply')).toBe('nothing to do\n');

    want(documented.replace('rate: 500', 'rate: 250'));
    expect(plan('--apply')).toMatch(/^ip link set \S+ vf 0 min_tx_rate 0 max_tx_rate 250$/m);
    expect(seen(0)).toMatchObject({ rate: { max_tx: 250 } });

    want('ports: { "0000:03:00.0": { vfs: 0 }, "0000:01:00.0": { vfs: 0 } }\n');
    plan('--apply');
    expect([...vfs, '0000:01:00.1'].filter((each) => existsSync(`${devices}/${each}`))).toEqual([]);
  });
});

describe('virtual functions that a driver in TypeScript has', () => {
  const macs = ['52:54:00:00:00:01', '52:54:00:00:00:02', '52:54:00:00:00:03'] as const;
  let peer: Peer;
  let assigned: Assignment | undefined;
  const opened: VfioDevice[] = [];
  const functions: VirtualFunction[] = [];

  beforeAll(async () => {
    if (name === '') return;
    peer = await Peer.open();
    succeeds('sriov', 'create', port, '--vfs', '3');
    for (const [vf, mac] of macs.entries()) await planSettings(port, vf, [{ name: 'mac', value: mac }]).apply();
    assigned = await planAssignment(vfs).apply();
    for (const address of vfs) {
      const device = VfioDevice.open(address);
      opened.push(device);
      functions.push(await VirtualFunction.open(device));
    }
  });
  afterAll(async () => {
    if (name === '') return;
    for (const device of opened) device.close();
    await assigned?.release();
    await planDestroy(port).apply();
    peer.close();
  });

  /** What each got once a text is there. */
  async function received(last: string): Promise<string[][]> {
    const got: string[][] = functions.map(() => []);
    await expect
      .poll(() => {
        for (const [index, { received: queue }] of functions.entries()) got[index]?.push(...queue.take().map(textOf));
        return got.flat();
      })
      .toContain(last);
    return got;
  }

  it('have the addresses that were set, as the port tells them by mailbox', () => {
    expect(functions.map(({ mac }) => mac)).toEqual(macs);
  });

  it('receive what is for them, and their neighbours none of it', async () => {
    for (const [index, mac] of macs.entries()) {
      const host = peer.host(30 + index, mac);
      for (let n = 0; n <= index; n++) await peer.send(`${n} for ${index}`, host);
    }
    expect(await received('2 for 2')).toEqual([['0 for 0'], ['0 for 1', '1 for 1'], ['0 for 2', '1 for 2', '2 for 2']]);
  });

  it('send: each datagram comes back to who sent it', async () => {
    const [vf] = functions as [VirtualFunction];
    const host = peer.host(30, macs[0]);
    const replies: string[] = [];
    peer.socket.on('message', (text, from) => replies.push(`${from.address}:${from.port} ${text}`));
    const texts = Array.from({ length: 100 }, (_, n) => `datagram ${n}`);
    for (const text of texts) {
      await peer.send(text, host);
      await expect.poll(() => echo(vf), { interval: 2 }).toBe(1);
    }
    await expect.poll(() => replies.length).toBe(texts.length);
    expect(replies).toEqual(texts.map((text) => `${host}:7 ${text}`));
    expect(functions.slice(1).map((each) => each.received.take())).toEqual([[], []]);
  });

  it('reach one another through the port, each those of its VLAN', async () => {
    const [first, second] = functions as [VirtualFunction, VirtualFunction];
    await peer.send('to go on', peer.host(30, macs[0]));
    const frames: Uint8Array[] = [];
    await expect.poll(() => frames.push(...first.received.take())).toBe(1);
    const [frame = new Uint8Array()] = frames;
    await first.send(addressed(frame, macs[1], macs[0]));
    expect(await received('to go on')).toEqual([[], ['to go on'], []]);

    for (const vf of [1, 2]) await planSettings(port, vf, [{ name: 'vlan', value: vlan100 }]).apply();
    // Broadcasts come back to who sent them, too.
    await first.send(addressed(frame, broadcast, macs[0]));
    expect(await received('to go on')).toEqual([['to go on'], [], []]);
    await second.send(addressed(frame, broadcast, macs[1]));
    expect(await received('to go on')).toEqual([[], ['to go on'], ['to go on']]);
  });

  it('are driven as the documentation shows', () => {
    const [code = ''] = snippets('docs/sriov.md', 'ts');
    expect(readFileSync(join(root, 'test/examples/82576/virtual-function.ts'), 'utf8')).toContain(code);
  });
});

const vlan100 = { id: 100, qos: 0, protocol: '802.1q' } as const;
const broadcast = 'ff:ff:ff:ff:ff:ff';

function addressed(frame: Uint8Array, to: string, from: string): Uint8Array {
  const copy = Uint8Array.from(frame);
  copy.set(Buffer.from(`${to}:${from}`.replaceAll(':', ''), 'hex'));
  return copy;
}
