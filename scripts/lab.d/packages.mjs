// What the labs take from Debian, and the one line that installs what is missing.
import { readFileSync } from 'node:fs';
import { delimiter, resolve } from 'node:path';
import { LabError } from './error.mjs';

const common = { 'busybox-static': 'busybox', 'util-linux': 'setpriv' };

/** What each lab needs: by package, a program, or a file of it. */
const needed = {
  qemu: { ...common, 'qemu-system-x86': 'qemu-system-x86_64' },
  bochs: {
    ...common,
    bochs: 'bochs-bin',
    'bochs-term': '/usr/lib/x86_64-linux-gnu/bochs/plugins/libbx_term_gui.so',
    bochsbios: '/usr/share/bochs/BIOS-bochs-latest',
    vgabios: '/usr/share/bochs/VGABIOS-lgpl-latest',
    nasm: 'nasm',
    'xz-utils': 'xz',
  },
};

/** The first file of this name on PATH, or of this path; undefined without one. */
function find(program) {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    try {
      return { content: readFileSync(resolve(folder, program)) };
    } catch (error) {
      if (error.code !== 'ENOENT' && error.code !== 'ENOTDIR') throw error;
    }
  }
  return undefined;
}

/** @throws LabError naming the packages that a lab misses */
export function requirePackages(lab) {
  const missing = Object.keys(needed[lab]).filter((name) => find(needed[lab][name]) === undefined);
  // Debian's package busybox has the same file, which needs libraries that an initial file system has not.
  if (find('busybox')?.content.includes('/lib64/ld-linux-x86-64.so.2')) missing.push('busybox-static');
  if (missing.length > 0) throw new LabError('packages are missing', `run: apt-get install ${missing.join(' ')}`);
}
