/** Waiting for a device that tells nothing of its own accord. */
import { setTimeout as sleep } from 'node:timers/promises';

const patienceMs = 30_000;

/** @throws Error with what is the matter, where it does not become so */
export async function until(isSo: () => boolean, otherwise: string): Promise<void> {
  for (const end = performance.now() + patienceMs; !isSo(); await sleep(2)) {
    if (performance.now() > end) throw new Error(otherwise);
  }
}
