/** VMDq: a port through VFIO, whose receive queues are pools of a driver in TypeScript. */
import { readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { VfioDevice } from '../../src/vfio/device.ts';
import { type Assignment, planAssignment } from '../../src/vfio/plan.ts';
import { planPools } from '../../src/vmdq/plan.ts';
import { openPools, type Pool } from '../examples/82576/pools.ts';
import type { ReceiveQueue } from '../examples/82576/queues.ts';
import { snippets } from '../support/documentation.ts';
import { hostHas, requireOrSkip } from '../support/require.ts';
import { Peer, textOf } from './peer.ts';

const port = '0000:03:00.0';
const pools: readonly Pool[] = [
  { mac: '52:54:00:00:00:10', broadcast: true },
  { mac: '52:54:00:00:00:11', broadcast: true },
  { mac: '52:54:00:00:00:12', broadcast: false },
  { mac: '52:54:00:00:00:13', broadcast: true },
];

describe('a port of which four pools are made', () => {
  let peer: Peer;
  let hosts: string[] = [];
  let assigned: Assignment | undefined;
  let device: VfioDevice | undefined;
  let queues: readonly ReceiveQueue[] = [];

  beforeEach((context) => requireOrSkip(context, 'qemu10'));
  beforeAll(async () => {
    if (hostHas('qemu10') !== true) return;
    peer = await Peer.open();
    hosts = pools.map(({ mac }, index) => peer.host(10 + index, mac));
    assigned = await planAssignment([port]).apply();
    device = VfioDevice.open(port);
    queues = await openPools(device, pools);
  });
  afterAll(async () => {
    device?.close();
    await assigned?.release();
    peer?.close();
    if (assigned !== undefined) expect(basename(readlinkSync(`/sys/bus/pci/devices/${port}/driver`))).toBe('igb');
  });

  /** What each pool got once the last datagram for one of them is there; frames arrive in their order. */
  async function received(last: string): Promise<string[][]> {
    const got: string[][] = queues.map(() => []);
    await expect
      .poll(() => {
        for (const [index, queue] of queues.entries()) got[index]?.push(...queue.take().map(textOf));
        return got.flat();
      })
      .toContain(last);
    return got;
  }

  it('has no pools by its driver, which says what to do in their place', () => {
    expect(() => planPools(port, { pools: 4 })).toThrow(
      expect.objectContaining({
        message: expect.stringContaining('uses its 8 pools for virtual functions alone'),
        hint: expect.stringContaining('take the port with vtkit vfio bind and program its pools'),
      }),
    );
  });

  it('has each frame in the queue of the pool with its address, and in no other', async () => {
    const counts = [3, 5, 7, 2];
    const texts = counts.map((count, pool) => Array.from({ length: count }, (_, n) => `${n} for pool ${pool}`));
    for (const [pool, each] of texts.entries()) {
      for (const text of each) await peer.send(text, hosts[pool] as string);
    }
    expect(await received('1 for pool 3')).toEqual(texts);
  });

  it('drops a frame for an address of no pool', async () => {
    await peer.send('for nobody', peer.host(20, '52:54:00:00:00:20'));
    await peer.send('behind it', hosts[2] as string);
    expect(await received('behind it')).toEqual([[], [], ['behind it'], []]);
  });

  it('copies a broadcast to every pool that takes them', async () => {
    await peer.send('for all', peer.broadcast);
    await peer.send('behind it', hosts[2] as string);
    expect(await received('behind it')).toEqual([['for all'], ['for all'], ['behind it'], ['for all']]);
  });

  it('is what the documentation shows', () => {
    const [code = ''] = snippets('docs/vfio.md', 'ts');
    expect(readFileSync(new URL('../examples/82576/pools.ts', import.meta.url), 'utf8')).toContain(code);
  });

  it('goes round its rings: two hundred frames on 64 descriptors', async () => {
    const texts = Array.from({ length: 200 }, (_, n) => `round ${n}`);
    const got: string[] = [];
    for (const text of texts) {
      await peer.send(text, hosts[1] as string);
      if (text.endsWith('9')) got.push(...((await received(text))[1] ?? []));
    }
    expect(got).toEqual(texts);
  });
});
