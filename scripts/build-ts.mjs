// Compiles src/ to dist/, copies what tsc does not (the files that are data), and writes the schema that code defines.
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));

rmSync('dist', { recursive: true, force: true });
const { status } = spawnSync('node_modules/.bin/tsc', ['-p', 'tsconfig.build.json'], { stdio: 'inherit' });
if (status !== 0) process.exit(status ?? 1);
cpSync('src', 'dist', { recursive: true, filter: (path) => !path.endsWith('.ts') });
chmodSync('dist/cli/main.js', 0o755);

const { captureJsonSchema } = await import('../dist/host/capture.js');
writeFileSync('dist/host/capture.schema.json', `${JSON.stringify(captureJsonSchema(), null, 2)}\n`);
