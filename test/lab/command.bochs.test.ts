/** A Bochs lab that is ended leaves nothing; how a command runs in it, the other files show. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { lab, script } from './lab.ts';
import { leavesNothing } from './leftovers.ts';

describe('a command in the Bochs lab', { timeout: 300_000 }, () => {
  it.for(['SIGINT', 'SIGTERM', 'SIGKILL'] as const)('leaves no process and no file behind after %s', async (signal) => {
    const marker = `bochs-${process.pid}-${signal}`;
    await leavesNothing(signal, marker, ['bochs', '--console', '--', 'echo', marker]);
  });

  it('leaves a folder when it is killed while that is filled, which the next one removes', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'vtkit-lab-'));
    const start = () =>
      spawn(script, ['bochs', '--timeout', '1', '--', 'true'], {
        stdio: 'ignore',
        env: { ...process.env, TMPDIR: folder },
      });
    try {
      const killed = start();
      await expect.poll(() => readdirSync(folder).length, { interval: 5, timeout: 120_000 }).toBe(1);
      killed.kill('SIGKILL');
      await once(killed, 'close');
      expect(readdirSync(folder).length).toBe(1);
      await once(start(), 'close');
      expect(readdirSync(folder)).toEqual([]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('ends with status 124 when its time is over', async () => {
    const { status, stderr } = await lab(['bochs', '--timeout', '1', '--', 'true']);
    expect(status).toBe(124);
    expect(stderr).toContain('ended after 1 s');
  });

  it('is not started without a file that it asks for', async () => {
    const { status, stderr } = await lab(['bochs', '--with', '/nowhere', '--', 'true']);
    expect(status).toBe(125);
    expect(stderr).toContain('there is no /nowhere to come along');
  });
});
