/** Two guests on KVM, each with a virtual function of one port: they find one another on it. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import '../../src/backends.ts';
import { boot } from '../../src/machine/boot/image.ts';
import { Machine } from '../../src/machine/machine.ts';
import { planCreate, planDestroy, planSettings } from '../../src/sriov/plan.ts';
import { VfioDevice } from '../../src/vfio/device.ts';
import { type Assignment, planAssignment } from '../../src/vfio/plan.ts';
import { hostHas, requireOrSkip } from '../support/require.ts';
import { bringUp, interfaceOf } from './peer.ts';

const port = '0000:03:00.0';
const image = fileURLToPath(new URL('../conformance/build/neighbour.elf', import.meta.url));
const guests = [
  { vf: '0000:03:10.0', mac: '52:54:00:00:00:01' },
  { vf: '0000:03:10.2', mac: '52:54:00:00:00:02' },
] as const;

/** A guest that owns a virtual function; what it printed when it has ended, and its exits for device registers. */
async function run(address: string): Promise<{ lines: string[]; exits: number }> {
  const device = VfioDevice.open(address);
  const machine = await Machine.create({
    backend: 'kvm',
    irqchip: 'kernel',
    memoryBytes: 16 << 20,
    unclaimed: 'open-bus',
    devices: [device],
  });
  try {
    let text = '';
    machine.addUart(0x3f8, 4, (byte) => {
      text += String.fromCharCode(byte);
    });
    boot(machine, readFileSync(image), { name: 'neighbour' });
    machine.ports.map({ from: 0xf4, count: 4 }, { write: () => machine.stop() });
    const late = setTimeout(() => machine.stop(), 50_000);
    await machine.vcpus[0]?.run();
    clearTimeout(late);
    const exits = (machine.exitCounts['mmio-read'] ?? 0) + (machine.exitCounts['mmio-write'] ?? 0);
    return { lines: text.split('\n').filter(Boolean), exits };
  } finally {
    machine.close();
    device.close();
  }
}

describe('two guests with a virtual function each', () => {
  let assigned: Assignment | undefined;

  beforeEach((context) => requireOrSkip(context, 'qemu10'));
  beforeAll(async () => {
    if (hostHas('qemu10') !== true) return;
    await bringUp(interfaceOf(port));
    await planCreate(port, { vfs: guests.length }).apply();
    for (const [vf, { mac }] of guests.entries()) await planSettings(port, vf, [{ name: 'mac', value: mac }]).apply();
    assigned = await planAssignment(guests.map(({ vf }) => vf)).apply();
  });
  afterAll(async () => {
    if (assigned === undefined) return;
    await assigned.release();
    await planDestroy(port).apply();
  });

  it('greet and answer one another through the port, by registers that are memory of theirs', async () => {
    const [first, second] = guests.map(({ mac }) => mac) as [string, string];
    const ended = await Promise.all(guests.map(({ vf }) => run(vf)));
    const told = (own: string, other: string) => [`I am ${own}`, `${other} answers`, `${other} greets`, 'done'];
    expect(ended.map(({ lines: [mine, ...lines] }) => [mine, ...lines.slice(0, -1).sort(), lines.at(-1)])).toEqual([
      told(first, second),
      told(second, first),
    ]);
    expect(ended.map(({ exits }) => exits)).toEqual([0, 0]);
  });
});
