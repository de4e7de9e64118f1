// What the labs take from Debian, and the one line that installs what is missing.
import { readFileSync } from 'node:fs';
import { delimiter } from 'node:path';
import { LabError } from './error.mjs';

/** Programs by package. */
const needed = {
  'busybox-static': 'busybox',
  'qemu-system-x86': 'qemu-system-x86_64',
  'util-linux': 'setpriv',
};

/** The first file of this name on PATH; undefined without one. */
function find(program) {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    try {
      return { path: `${folder}/${program}`, content: readFileSync(`${folder}/${program}`) };
    } catch (error) {
      if (error.code !== 'ENOENT' && error.code !== 'ENOTDIR') throw error;
    }
  }
  return undefined;
}

/** @throws LabError naming the packages that are missing */
export function requirePackages() {
  const missing = Object.keys(needed).filter((name) => find(needed[name]) === undefined);
  // Debian's package busybox has the same file, which needs libraries that an initial file system has not.
  if (find('busybox')?.content.includes('/lib64/ld-linux-x86-64.so.2')) missing.push('busybox-static');
  if (missing.length > 0) throw new LabError('packages are missing', `run: apt-get install ${missing.join(' ')}`);
}
