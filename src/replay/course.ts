/** Runs a PC from checkpoint to checkpoint. */
import { NotSupportedError } from '../errors.ts';
import type { Outcome, Pc } from '../machine/pc.ts';
import { registerNames } from '../machine/registers.ts';
import { sha256 } from './recording.ts';

export interface Course {
  /** Instructions between two checkpoints. */
  readonly interval: bigint;
  /** Where to stop; without it where the guest ends. */
  readonly until?: bigint | undefined;
  /** Whether somebody wants the run to end. */
  readonly stopped: () => boolean;
  /** The machine stands still at a multiple of the interval. */
  readonly checkpoint: (instructions: bigint) => void;
}

/**
 * Runs until the guest ends or somebody stops it: an outcome; or to `until`: undefined.
 *
 * At a checkpoint translations and decoded code are dropped, whether a snapshot is taken there or not, so that a run
 * that goes on from one meets the same page tables as one that passed it by.
 */
export async function runCourse(pc: Pc, course: Course): Promise<Outcome | undefined> {
  const { interval, until, stopped, checkpoint } = course;
  const { timeline } = pc.machine;
  for (;;) {
    const now = instructionsOf(pc);
    if (until !== undefined && now >= until) return undefined;
    if (stopped()) return { kind: 'stopped' };
    const following = (now / interval + 1n) * interval;
    const next = until !== undefined && until < following ? until : following;
    timeline.pauseAt(next);
    const outcome = await pc.run();
    if (outcome.kind !== 'stopped' || instructionsOf(pc) < next) return outcome;
    if (next !== following) continue;
    timeline.forget();
    checkpoint(next);
  }
}

/** @throws NotSupportedError where nobody counts them */
export function instructionsOf(pc: Pc): bigint {
  const { instructions } = pc.machine.timeline;
  if (instructions !== undefined) return instructions;
  throw new NotSupportedError('KVM counts no instructions: a run on it can be neither recorded nor replayed', {
    requires: "backend: 'emulated'",
  });
}

/** What two runs are compared by. */
export function digestOf(pc: Pc, sent: Uint8Array): string {
  const { machine } = pc;
  const parts = machine.vcpus.map(({ regs, instructions }) => [
    ...registerNames.map((name) => regs[name].toString(16)),
    String(instructions),
  ]);
  return sha256(JSON.stringify([parts, machine.nanoseconds().toString(), sha256(sent)]));
}

/** As one word and, where there is one, a value. */
export const outcomeText = (outcome: Outcome): string =>
  outcome.kind === 'debug-exit' ? `debug-exit ${outcome.value}` : outcome.kind;
