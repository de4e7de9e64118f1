/** The same guests on QEMU, on KVM and on the emulated backend: all must print the same. */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { beforeEach, describe, expect, it } from 'vitest';
import { requireOrSkip } from '../support/require.ts';
import { expectedFileOf, expectedOf, guests, needsEmulated, softwareKvmFileOf } from './manifest.ts';
import { qemuInstalled, runOnQemu } from './qemu.ts';
import { firstDifference, kvmIsSoftware } from './software-kvm.ts';
import { runOnVtkit } from './vtkit.ts';

/** A guest ends with a write of 0 to the debug-exit port: (0 << 1) | 1. */
const finished = 1;

const nasmInstalled = spawnSync('nasm', ['-v']).status === 0;
beforeEach((context) => {
  if (!nasmInstalled) context.skip('nasm is not installed, so there are no guests to run');
});

describe('on QEMU a guest', () => {
  for (const guest of guests.filter(({ witness }) => witness === 'qemu')) {
    it(`${guest.title} (${guest.name})`, async (context) => {
      if (!qemuInstalled) context.skip('qemu-system-x86_64 is not installed; the recorded text is the witness');
      const { serial, exitStatus } = await runOnQemu(guest);
      expect(serial).toMatch(/\ndone\n$/);
      if (process.env.RECORD === '1') writeFileSync(expectedFileOf(guest), serial, 'latin1');
      expect(serial).toBe(expectedOf(guest));
      expect(exitStatus).toBe(finished);
    });
  }
});

describe('on the emulated backend a guest', () => {
  for (const guest of guests) {
    it(`${guest.title} (${guest.name})`, async () => {
      const { serial, exitStatus, log } = await runOnVtkit(guest, 'emulated');
      expect(serial, log).toBe(expectedOf(guest));
      expect(exitStatus, log).toBe(finished);
    });
  }
});

describe('on the emulated backend', () => {
  const of = (name: string) => guests.find((guest) => guest.name === name) as (typeof guests)[number];

  it.each(['processors', 'real-timer'])('%s does the same in every run, to the instruction', async (name) => {
    const guest = of(name);
    const counts = [];
    for (let i = 0; i < 3; i++) {
      const { log } = await runOnVtkit(guest, 'emulated');
      counts.push(JSON.parse(log.trim().split('\n').at(-1) ?? '').instructions);
    }
    expect(new Set(counts).size, counts.join(' ')).toBe(1);
  });
});

describe('on the KVM backend a guest', () => {
  for (const guest of guests) {
    it(`${guest.title} (${guest.name})`, async (context) => {
      requireOrSkip(context, 'kvm');
      if (needsEmulated(guest)) context.skip('what it needs, the emulated processor has, but not every KVM here');
      const { serial, exitStatus, log } = await runOnVtkit(guest, 'kvm');
      const expected = expectedOf(guest);
      if (kvmIsSoftware && guest.softwareKvm !== undefined && serial !== expected) {
        // The exact text is held all the same, so that only the host's own limit is excused.
        expect(serial, log).toBe(readFileSync(softwareKvmFileOf(guest), 'latin1'));
        context.skip(`this KVM has no VT-x or AMD-V: ${guest.softwareKvm} (${firstDifference(serial, expected)})`);
      }
      expect(serial, log).toBe(expected);
      expect(exitStatus, log).toBe(finished);
    });
  }
});
