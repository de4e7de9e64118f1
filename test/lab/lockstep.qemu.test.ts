/** The conformance guests on the emulated processor and on a KVM with SVM, side by side. */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import '../../src/backends.ts';
import { lockstepImage } from '../../src/lockstep/index.ts';
import { expectedOf, guests, imageOf, timeDecides } from '../conformance/manifest.ts';

/** Lockstep has one processor, and no local APIC. */
const held = guests.filter((guest) => guest.cpus === 1 && !guest.needs.includes('apic') && !timeDecides(guest));

/** Where the other side is not right, or another maker's: the instruction at which the two part, and why. */
const parting: Readonly<Record<string, { readonly at: string; readonly why: string }>> = {};

describe('in step with KVM on SVM a guest', () => {
  it.for(held)('$title ($name)', { timeout: 120_000 }, async (guest, context) => {
    if (!existsSync(imageOf(guest))) context.skip('nasm is not installed, so there are no guests to run');
    const serial: number[] = [];
    const { end } = await lockstepImage({
      image: readFileSync(imageOf(guest)),
      name: guest.name,
      memoryBytes: 34 << 20,
      onSerial: (byte) => serial.push(byte),
    });
    const known = parting[guest.name];
    if (end.kind === 'difference') {
      const { instruction, differences, stops } = end.found;
      expect({ at: instruction, differences, stops, why: known?.why }).toEqual({ ...known, differences, stops });
      return;
    }
    expect(known).toBeUndefined();
    expect(end.outcome).toBe('debug-exit');
    expect(Buffer.from(serial).toString('latin1')).toBe(expectedOf(guest));
  });
});
