// What the labs keep from run to run: packages, and what was made of them.
import { mkdirSync, readdirSync, rmSync, statSync, utimesSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

export const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'vtkit', 'lab');

/** The small kernel, which takes so long to build that it stays. */
export const smallKernelName = 'kernel-lab.tar.gz';

/** Makes the folder. Other checkouts may use it too: only what none has used for a month goes. */
export function openCache() {
  mkdirSync(cache, { recursive: true });
  const month = 30 * 24 * 3600 * 1000;
  for (const name of readdirSync(cache).filter((each) => each !== smallKernelName)) {
    const file = join(cache, name);
    if (Date.now() - statSync(file, { throwIfNoEntry: false })?.mtimeMs > month) rmSync(file, { recursive: true });
  }
}

/** The newest by its version. @param {RegExp} names */
export function newest(names) {
  const found = readdirSync(cache).filter((name) => names.test(name));
  const name = found.sort((a, b) => a.localeCompare(b, 'en', { numeric: true })).at(-1);
  return name && join(cache, name);
}

/** Notes that these are in use. */
export function touch(...files) {
  for (const file of files) utimesSync(file, new Date(), new Date());
}
