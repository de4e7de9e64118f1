/** The same guests on QEMU, on KVM and on the emulated backend: all must print the same. */
import { writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { requireOrSkip } from '../support/require.ts';
import { limitOf } from './host-limits.ts';
import { expectedFileOf, expectedOf, guests } from './manifest.ts';
import { qemuInstalled, runOnQemu } from './qemu.ts';
import { runOnVtkit } from './vtkit.ts';

/** A guest ends with a write of 0 to the debug-exit port: (0 << 1) | 1. */
const finished = 1;

describe('QEMU', () => {
  for (const guest of guests.filter(({ witness }) => witness === 'qemu')) {
    it(`shows that a guest ${guest.title} (${guest.name})`, async (ctx) => {
      if (!qemuInstalled) ctx.skip('qemu-system-x86_64 is not installed; the recorded text is the witness');
      const { serial, exitStatus } = await runOnQemu(guest);
      expect(serial).toMatch(/\ndone\n$/);
      if (process.env.RECORD === '1') writeFileSync(expectedFileOf(guest), serial, 'latin1');
      expect({ serial, exitStatus }).toEqual({ serial: expectedOf(guest), exitStatus: finished });
    });
  }
});

describe.each(['kvm', 'emulated'] as const)('on the %s backend a guest', (backend) => {
  for (const guest of guests) {
    it(`${guest.title} (${guest.name})`, async (ctx) => {
      if (backend === 'kvm') requireOrSkip(ctx, 'kvm');
      const limit = backend === 'kvm' ? limitOf(guest.name) : undefined;
      if (limit !== undefined) ctx.skip(limit);
      const { serial, exitStatus, log } = await runOnVtkit(guest, backend);
      expect(serial, log).toBe(expectedOf(guest));
      expect(exitStatus, log).toBe(finished);
    });
  }
});
