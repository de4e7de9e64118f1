/** Conformance guests on the emulated processor and on kvm_intel, side by side: Node and the emulator run inside Bochs, too. */
import { beforeAll, describe, expect, it } from 'vitest';
import { hasSmallKernel } from '../../scripts/lab.d/kernel.mjs';
import { expectedOf, guests } from '../conformance/manifest.ts';
import { type Answers, ask, dist, fileOf, program } from './bochs.ts';
import { beyondHaswell } from './programs.ts';

/** VTKIT_LOCKSTEP=all takes all that go in step, which is an hour's work. */
const all = process.env.VTKIT_LOCKSTEP === 'all';
const seconds = all ? 7200 : 1800;
/** Of the lab's clock, which follows instructions: what each guest may take. */
const secondsEach = all ? 900 : 120;

/** With QEMU's processor all but the first part (lockstep.qemu.test.ts). */
const short = ['real-basics', 'real-protected', 'syscall', 'paging-pae', 'exceptions-64'];
/** Why a guest of one processor does not go in step to its end here. */
const parts: Readonly<Record<string, string>> = {
  'device-operands': 'KVM does not emulate CMPXCHG16B of what is no memory',
  'debug-traps': 'KVM ignores BTF',
  'string-io': 'Bochs leaves a debug exception pending behind an exit of an instruction that was stepped',
  'strings-64': 'the same, behind a flag that SHR leaves undefined',
  apic: 'lockstep has no local APIC',
  'io-apic': 'lockstep has no APICs',
  clock: 'it polls for seconds of virtual time',
  ...beyondHaswell,
};
const long = guests.filter(({ name, cpus }) => cpus === 1 && parts[name] === undefined).map(({ name }) => name);
const alike = all ? long : short;

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
