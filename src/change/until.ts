/** Waiting for what the kernel does a moment after a write has returned. */
import { setTimeout as sleep } from 'node:timers/promises';

const patience = { tries: 500, milliseconds: 10 } as const;

/** Looks again and again until it holds, or for five seconds: whoever waited looks once more, and says what is wrong. */
export async function until(holds: () => boolean): Promise<void> {
  for (let tries = 0; tries < patience.tries && !holds(); tries++) await sleep(patience.milliseconds);
}
