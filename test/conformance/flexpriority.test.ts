/** FlexPriority on the emulated processor: what moving the task priority costs a guest, with it and without. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { run } from '../support/process.ts';

const cli = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const image = fileURLToPath(new URL('build/flexpriority.elf', import.meta.url));

/** The guest moves its priority 1,000 times and reads it back; once, it falls below the threshold. */
it('leaves a guest that moves its task priority one exit of 2,000: the one below the threshold', async (context) => {
  if (spawnSync('nasm', ['-v']).status !== 0) context.skip('nasm is not installed, so there are no guests to run');
  const { stdout, stderr } = await run(process.execPath, [cli, 'run', '--backend', 'emulated', image], 20_000);
  const rows = stdout.split('\n').map((line) => /^(.*): \d+ exits, (.*); (\d+) ticks$/.exec(line)?.slice(1) ?? [line]);
  expect(
    rows.map(([what, exits]) => [what, exits]),
    stderr,
  ).toEqual([
    ['64 bits, CR8 without FlexPriority', '2000 of reason 28'],
    ['64 bits, CR8 with FlexPriority', '1 of reason 43'],
    ['32 bits, MMIO without FlexPriority', '2000 of reason 44'],
    ['32 bits, MMIO with FlexPriority', '1 of reason 43'],
    ['done', undefined],
    ['', undefined],
  ]);
  const ticks = rows.slice(0, 4).map(([, , count]) => Number(count));
  const [cr8Without = 0, cr8With = 0, mmioWithout = 0, mmioWith = 0] = ticks;
  expect(cr8With).toBeLessThan(cr8Without);
  expect(mmioWith).toBeLessThan(mmioWithout);
});
