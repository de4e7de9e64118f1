/** A device of the host is plugged into a running guest on KVM, and asked back by the kernel: the guest is told, and has a time. */
import { afterEach, describe, expect, it } from 'vitest';
import '../../src/backends.ts';
import { type Assignment, planAssignment } from '../../src/vfio/plan.ts';
import { hotPlugGuest, hotPlugSays } from '../support/hot-plug.ts';
import { unbind } from './unbind.ts';

const nvme = '0000:02:00.0';
/** QEMU's NVMe controller: its identity, and version 1.4 in register 8 (NVMe 1.4, 3.1.2). */
const controller = ['00101b36', '00010400'] as const;

let assigned: Assignment | undefined;
afterEach(async () => {
  await assigned?.release();
  assigned = undefined;
});

describe('a device in the hot-plug slot of a guest', () => {
  it.each([
    ['lets go of it first', false],
    ['keeps it, and loses it when the time is out', true],
  ])('goes back to the kernel that asks for it: the guest %s', async (_, keeps) => {
    assigned = await planAssignment([nvme]).apply();
    const device = assigned.device(nvme);
    const { machine, said, ended, add } = await hotPlugGuest('kvm', { keeps });
    try {
      await said('slot 7 behind the port at device 2: ffffffff');
      add(device.assignTo(machine));
      await said(`holds ${controller[1]}`);
      const [why] = await Promise.all([device.ended, unbind(nvme)]);
      expect(why).toBe('requested');
      expect(await ended).toBe(hotPlugSays(...controller, !keeps));
    } finally {
      machine.close();
    }
  });
});
