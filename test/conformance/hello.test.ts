/** The hello guest that the package ships is what its source says. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

it('the hello guest assembles to the bytes that are shipped', (context) => {
  if (spawnSync('nasm', ['-v']).status !== 0) context.skip('nasm is not installed');
  const folder = mkdtempSync(join(tmpdir(), 'vtkit-hello-'));
  try {
    const built = join(folder, 'hello.elf');
    const { status, stderr } = spawnSync(join(root, 'scripts/build-hello'), [built], { encoding: 'utf8' });
    expect(status, stderr).toBe(0);
    expect(readFileSync(built).equals(readFileSync(join(root, 'test/examples/hello.elf')))).toBe(true);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
