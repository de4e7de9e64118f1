// QEMU from Debian's backports, which has the 82576 that the release's own lacks: unpacked beside it, installed nowhere.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync } from 'node:fs';
import { basename, join } from 'node:path';
import { backports, download } from './apt.mjs';
import { cache, newest, openCache, touch } from './cache.mjs';
import { LabError } from './error.mjs';
import { withScratch } from './scratch.mjs';

const packages = ['qemu-system-x86', 'qemu-system-common', 'qemu-system-data', 'seabios'];

/** @returns {{ program: string, options: string[], environment: Record<string, string> }} fetched where it is missing */
export function backportedQemu() {
  openCache();
  const folder = newest(/^qemu-/) ?? fetchQemu();
  touch(folder);
  return parts(folder);
}

const parts = (folder) => ({
  program: join(folder, 'usr/bin/qemu-system-x86_64'),
  options: ['qemu', 'seabios'].flatMap((name) => ['-L', join(folder, 'usr/share', name)]),
  // The folder that is built in has the modules of the release's own QEMU, which are of another build.
  environment: { QEMU_MODULE_DIR: join(folder, 'usr/lib/x86_64-linux-gnu/qemu') },
});

const fetchQemu = () =>
  withScratch(cache, 'fetch', (folder) => {
    const [archives, unpacked] = ['archives', 'unpacked'].map((name) => join(folder, name));
    mkdirSync(archives);
    const { suite, from } = backports(folder);
    const files = download(
      packages.map((name) => `${name}/${suite}`),
      archives,
      from,
    );
    for (const file of files) execFileSync('dpkg-deb', ['-x', file, unpacked]);
    expectToRun(parts(unpacked));
    const [, version] = files
      .map((file) => /^qemu-system-x86_(?:\d+%3a)?(.*)_/.exec(basename(file)) ?? [])
      .find(([all]) => all);
    return publish(unpacked, join(cache, `qemu-${version}`));
  });

/** Its libraries are the machine's: those of the release's own QEMU. */
function expectToRun({ program, environment }) {
  try {
    execFileSync(program, ['--version'], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, ...environment },
    });
  } catch (cause) {
    throw new LabError(`the backported QEMU does not start: ${cause.stderr?.toString().trim() || cause.message}`);
  }
}

/** Of two that fetch at once, one comes second. */
function publish(unpacked, folder) {
  try {
    renameSync(unpacked, folder);
  } catch (error) {
    if (!existsSync(folder)) throw error;
  }
  return folder;
}
