// Builds the addons that the package ships, one for each C library, into prebuilds/.
//
//   scripts/build-prebuilds.mjs [--to DIR] [glibc] [musl]    (or named in VTKIT_PREBUILDS, else both)
//
// With the C++ compiler of a pinned npm package: it targets a C library of one's choice, glibc at a version of one's
// choice too, and links its own libc++ in. Debian's compiler would bind the addon to Debian's glibc, and has no C++ for musl.
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { compiler, run } from './zig.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
/** glibc 2.28 is what Node 20 itself needs. */
const targets = { glibc: 'x86_64-linux-gnu.2.28', musl: 'x86_64-linux-musl' };
const { values, positionals } = parseArgs({ allowPositionals: true, options: { to: { type: 'string' } } });
const to = resolve(values.to ?? join(root, 'prebuilds'));

const named = positionals.length > 0 ? positionals : (process.env.VTKIT_PREBUILDS ?? 'glibc musl').split(' ');
for (const libc of named) {
  const file = join(to, `linux-x64-${libc}`, 'vtkit.node');
  mkdirSync(join(file, '..'), { recursive: true });
  build(targets[libc], file);
  console.error(`${file}: ${readFileSync(file).length} bytes`);
}

function build(target, file) {
  const work = mkdtempSync(join(tmpdir(), 'vtkit-prebuild-'));
  try {
    for (const part of ['native', 'binding.gyp', 'package.json']) {
      cpSync(join(root, part), join(work, part), { recursive: true });
    }
    symlinkSync(join(root, 'node_modules'), join(work, 'node_modules'));
    const zig = compiler();
    run(join(root, 'node_modules/.bin/node-gyp'), ['rebuild', '--jobs', '2', '--silent'], {
      cwd: work,
      env: {
        ...process.env,
        CC: `${zig} cc -target ${target}`,
        CXX: `${zig} c++ -target ${target} -Wno-unused-command-line-argument`,
        AR: `${zig} ar`,
      },
    });
    run('strip', ['--strip-unneeded', '-o', file, join(work, 'build/Release/vtkit.node')]);
  } finally {
    rmSync(work, { recursive: true });
  }
}
