/** Machines whose state is taken on the way: they go on as those that nobody looked at. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import '../../src/backends.ts';
import { Pc } from '../../src/machine/pc.ts';
import type { ExecutedInstruction } from '../../src/machine/timeline.ts';
import { type Guest, guests, imageOf } from './manifest.ts';

const memoryBytes = 34 << 20;

/** Guests that live on timers, interrupts, several processors, other processor modes and wide registers. */
const chosen = guests.filter(({ name }) =>
  [
    'real-timer',
    'timer',
    'clock',
    'io-apic',
    'apic',
    'apic-modes',
    'processors',
    'modes',
    'wide',
    'interpreter',
  ].includes(name),
);

async function create(guest: Guest) {
  const sent: number[] = [];
  const pc = await Pc.create({
    backend: 'emulated',
    memoryBytes,
    cpus: guest.cpus,
    onSerial: (byte) => sent.push(byte),
  });
  pc.load(readFileSync(imageOf(guest)), { name: guest.name });
  return { pc, sent };
}

/** All that a run leaves. */
async function finish({ pc, sent }: Awaited<ReturnType<typeof create>>) {
  const outcome = await pc.run();
  const { machine } = pc;
  return {
    outcome,
    sent: Buffer.from(sent).toString('latin1'),
    counts: machine.vcpus.map((vcpu) => vcpu.instructions),
    registers: machine.vcpus.map((vcpu) => vcpu.regs.toObject()),
    time: machine.nanoseconds(),
    memory: createHash('sha256').update(machine.memory.read(0, memoryBytes)).digest('hex'),
  };
}

describe('a snapshot on the emulated backend', () => {
  it.each(chosen.map((guest) => [guest.name, guest] as const))(
    'changes nothing in the course of %s',
    async (_, guest) => {
      const plain = await create(guest);
      const first = await create(guest);
      const second = await create(guest);
      try {
        const whole = await finish(plain);
        const total = plain.pc.machine.timeline.instructions as bigint;
        for (const part of [3n, 7n]) {
          first.pc.machine.timeline.pauseAt((total * part) / 10n);
          expect(await first.pc.run()).toEqual({ kind: 'stopped' });
          expect(first.pc.machine.timeline.instructions).toBe((total * part) / 10n);
        }
        first.pc.machine.timeline.pauseAt(undefined);
        const state = first.pc.machine.snapshot();
        const before = first.sent.length;
        expect(await finish(first)).toEqual(whole);

        first.pc.machine.restore(state);
        first.sent.length = before;
        expect(await finish(first)).toEqual(whole);

        second.pc.machine.restore(state);
        second.sent.push(...first.sent.slice(0, before));
        expect(await finish(second)).toEqual(whole);
      } finally {
        for (const { pc } of [plain, first, second]) pc.machine.close();
      }
    },
  );
});

describe('a trace of instructions', () => {
  /** The trace as one hash, with how many there were, and the guest's output. */
  async function traced(guest: Guest) {
    const run = await create(guest);
    const hash = createHash('sha256');
    let lines = 0;
    let last: ExecutedInstruction | undefined;
    run.pc.machine.timeline.traceInstructions((instruction) => {
      const { count, cpu, rip, bytes } = instruction;
      hash.update(`${count} ${cpu} ${rip} ${Buffer.from(bytes).toString('hex')}\n`);
      lines++;
      last = instruction;
    });
    try {
      const result = await finish(run);
      return { hash: hash.digest('hex'), lines, last, result, total: run.pc.machine.timeline.instructions };
    } finally {
      run.pc.machine.close();
    }
  }

  it.each(['real-timer', 'timer', 'apic', 'processors', 'self-modifying'])(
    'of %s is the same on every run, and disturbs it in nothing',
    async (name) => {
      const guest = guests.find((each) => each.name === name) as Guest;
      const first = await traced(guest);
      expect(await traced(guest)).toEqual(first);
      expect(BigInt(first.lines)).toBe(first.total);
      expect(first.last?.count).toBe(first.total);
      const plain = await create(guest);
      try {
        expect(await finish(plain)).toEqual(first.result);
      } finally {
        plain.pc.machine.close();
      }
    },
  );
});
