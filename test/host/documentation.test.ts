/** Every JavaScript snippet of the documentation runs. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { snippets } from '../support/documentation.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

describe.each([
  'README.md',
  'docs/probe.md',
  'docs/flex-migration.md',
  'docs/machine.md',
  'docs/pci.md',
  'docs/vmcs.md',
  'docs/lockstep.md',
  'docs/replay.md',
])('%s', (file) => {
  it.each(snippets(file, 'js').map((code, i) => [i + 1, code] as const))(
    'has a snippet %i that runs',
    (_number, code) => {
      const folder = mkdtempSync(join(tmpdir(), 'vtkit-snippet-'));
      try {
        const path = join(folder, 'snippet.mjs');
        writeFileSync(path, code.replaceAll("'vtkit'", JSON.stringify(join(root, 'dist/index.js'))));
        const { status, stdout, stderr } = spawnSync(process.execPath, [path], { encoding: 'utf8', timeout: 20_000 });
        expect(stderr).toBe('');
        expect(status).toBe(0);
        expect(stdout).not.toBe('');
      } finally {
        rmSync(folder, { recursive: true });
      }
    },
  );
});
