// Compiles the emulator for wasm32 and runs nothing: it stays free of Node, Linux, threads and 64-bit hosts. What joins it to
// machines and to the threads of a host (engine, rounds, virtual clock) is left out.
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { sideBySide } from './side-by-side.mjs';
import { compiler } from './zig.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const rooms = ['memory', 'emulator'];
const flags = [
  '-std=c++17',
  '-fno-exceptions',
  '-fno-rtti',
  '-Wall',
  '-Wextra',
  '-Werror',
  '-Wno-missing-field-initializers',
  '-O0',
];

const sources = rooms
  .flatMap((room) =>
    readdirSync(join(root, 'native', room), { recursive: true }).map((file) => join('native', room, file)),
  )
  .filter((file) => file.endsWith('.cc') && !/\/(engine|rounds|virtual-clock)\.cc$/.test(file));
const zig = compiler();
const folder = mkdtempSync(join(tmpdir(), 'vtkit-wasm-'));
const compile = promisify(execFile);
try {
  await sideBySide(sources, (file) => {
    const to = join(folder, `${file.replaceAll('/', '-')}.o`);
    return compile(zig, ['c++', '-target', 'wasm32-wasi', ...flags, '-I', 'native', '-c', '-o', to, file], {
      cwd: root,
    });
  });
  console.log(`${sources.length} files compile for wasm32`);
} catch (error) {
  console.error(error.stderr ?? error.message);
  process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}
