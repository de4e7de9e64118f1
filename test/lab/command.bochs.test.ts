/** A Bochs lab that is ended leaves nothing; how a command runs in it, the other file shows. */
import { describe, expect, it } from 'vitest';
import { lab } from './lab.ts';
import { leavesNothing } from './leftovers.ts';

describe('a command in the Bochs lab', { timeout: 300_000 }, () => {
  it.for(['SIGINT', 'SIGTERM', 'SIGKILL'] as const)('leaves no process and no file behind after %s', async (signal) => {
    const marker = `bochs-${process.pid}-${signal}`;
    await leavesNothing(signal, marker, ['bochs', '--console', '--', 'echo', marker]);
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
