/** Builds the guests once, before the tests that run them. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export function setup(): void {
  // Without nasm there are no guests, and the tests say so.
  if (spawnSync('nasm', ['-v']).status !== 0) return;
  const program = fileURLToPath(new URL('../../scripts/build-guests', import.meta.url));
  const { status, stderr } = spawnSync(program, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`scripts/build-guests failed:\n${stderr}`);
}
