/** Conformance guests on the emulated processor and on kvm_intel, side by side: Node and the emulator run inside Bochs, too. */
import { beforeAll, describe, expect, it } from 'vitest';
import { hasSmallKernel } from '../../scripts/lab.d/kernel.mjs';
import { expectedOf, guests } from '../conformance/manifest.ts';
import { type Answers, ask, dist, fileOf, program } from './bochs.ts';

const seconds = 1800;
/** Of the lab's clock, which follows instructions: what each guest may take. */
const secondsEach = 120;

/** In step to their ends. With QEMU's processor all but the first part (lockstep.qemu.test.ts). */
const alike = ['real-basics', 'real-protected', 'syscall', 'paging-pae', 'exceptions-64'];

interface Ended {
  readonly end: { readonly kind: string; readonly outcome?: string };
  readonly serial: string;
}

describe('in step with kvm_intel', () => {
  let answers: Answers;
  const ended = (name: string): Ended => JSON.parse((answers.get(name) ?? []).join('\n')) as Ended;

  beforeAll(async () => {
    const chosen = guests.filter(({ name }) => alike.includes(name));
    answers = await ask({
      variant: hasSmallKernel() ? 'small' : 'default',
      command: () => [process.execPath, program('lockstep.mjs'), dist, `${secondsEach}`, ...chosen.map(fileOf)],
      seconds,
    });
  }, seconds * 1000);

  it.for(alike)('%s runs to its end', (name) => {
    const { end, serial } = ended(name);
    expect(end).toEqual({ kind: 'ended', outcome: 'debug-exit' });
    expect(serial).toBe(expectedOf(guests.find((guest) => guest.name === name) as (typeof guests)[number]));
  });
});
