/** What a lab leaves behind when it is ended badly. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { script } from './lab.ts';

const processes = (...which: string[]): string[] =>
  spawnSync('pgrep', which, { encoding: 'utf8' }).stdout.split('\n').filter(Boolean);

const stateOf = (process = ''): string =>
  spawnSync('ps', ['-o', 'stat=', '-p', process], { encoding: 'utf8' }).stdout.trim();

/** Sends a signal to a lab once it has said something, and expects that neither process nor file stays; `marker` is in its command. */
export async function leavesNothing(signal: NodeJS.Signals, marker: string, args: readonly string[]): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'vtkit-lab-'));
  try {
    const child = spawn(script, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, TMPDIR: folder } });
    await Promise.race([once(child.stdout, 'data'), once(child.stderr, 'data')]);
    const [machine] = processes('-P', `${child.pid}`);
    expect(machine).toBeDefined();
    child.kill(signal);
    await once(child, 'close');
    // Ended; what adopted it may not have asked for its status yet.
    await expect.poll(() => stateOf(machine)).toMatch(/^Z|^$/);
    expect(processes('-f', marker)).toEqual([]);
    expect(readdirSync(folder)).toEqual([]);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
