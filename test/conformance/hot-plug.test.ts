/** A guest that runs is told of functions that come and go, by the hot-plug slot of a root port. */
import { expect, it } from 'vitest';
import { EmulatedFunction } from '../../src/index.ts';
import { onEveryBackend } from '../support/backends.ts';
import { hotPlugGuest, hotPlugSays } from '../support/hot-plug.ts';

const counter = () => {
  const made = new EmulatedFunction({ vendor: 0x1234, device: 0x11e8, classCode: 0xff_0000 });
  made.addBar(0, { kind: 'memory32', bytes: 4096, handler: { read: (offset) => 0x5a00_0000 + offset } });
  return made;
};

onEveryBackend('a guest with a hot-plug slot', (backend) => {
  it('finds what is plugged in while it runs, and lets go of it when it is asked', async () => {
    const { machine, said, ended, add } = await hotPlugGuest(backend);
    try {
      await said('slot 7 behind the port at device 2: ffffffff');
      const plugged = counter();
      add(plugged);
      await said('holds 5a000008');
      expect(await machine.pci?.unplug(plugged)).toBe(true);
      expect(await ended).toBe(hotPlugSays('11e81234', '5a000008', true));
    } finally {
      machine.close();
    }
  });

  it('loses what it does not let go of in time', async () => {
    const { machine, said, ended, add } = await hotPlugGuest(backend, { keeps: true });
    try {
      await said('slot 7 behind the port at device 2: ffffffff');
      const plugged = counter();
      add(plugged);
      await said('holds 5a000008');
      const leaving = machine.pci?.unplug(plugged, { withinMs: 500 });
      expect(await leaving).toBe(false);
      expect(await ended).toBe(hotPlugSays('11e81234', '5a000008', false));
    } finally {
      machine.close();
    }
  });
});
