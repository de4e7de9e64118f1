// The kernel of a lab: Debian's package, fetched once and checked by apt, with the modules that the labs load.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { dependencies, download } from './apt.mjs';
import { cache, newest, openCache, smallKernelName, touch } from './cache.mjs';
import { cpio } from './cpio.mjs';
import { LabError } from './error.mjs';
import { withScratch } from './scratch.mjs';
import { allModules } from './variants.mjs';

const init = new URL('init', import.meta.url);
const busybox = '/bin/busybox';
/**
 * A kernel of Debian's source, as scripts/lab.d/build-kernel leaves it: lab/boot/{vmlinuz,config}-lab and its few modules in one
 * archive, in the cache or beside the checkout.
 */
const smallArchive =
  process.env.VTKIT_LAB_KERNEL ??
  [
    join(cache, smallKernelName),
    fileURLToPath(new URL('../../../shared/lab-kernel/kernel-lab.tar.gz', import.meta.url)),
  ].find((file) => existsSync(file));

/** Its drivers are built in, but for these. */
const smallModules = ['kvm_amd', 'kvm_intel', 'mtty'];

export const hasSmallKernel = () => smallArchive !== undefined && existsSync(smallArchive);

/** @returns {{ kernel: string, initrd: string }} files in the cache, of the kernel with IOMMUFD and netdevsim */
export function smallKernel() {
  if (!hasSmallKernel())
    throw new LabError(
      'the kernel with IOMMUFD and netdevsim is not there',
      'build it: scripts/lab.d/build-kernel, or set VTKIT_LAB_KERNEL to the archive that this made elsewhere',
    );
  openCache();
  const hash = createHash('sha256');
  for (const file of [smallArchive, init, busybox]) hash.update(readFileSync(file));
  hash.update(JSON.stringify(smallModules));
  const name = hash.digest('hex').slice(0, 16);
  const [kernel, initrd] = ['vmlinuz', 'initrd'].map((part) => join(cache, `${part}-lab-${name}`));
  if (!existsSync(kernel) || !existsSync(initrd)) {
    withScratch(cache, 'unpack', (folder) => {
      execFileSync('tar', ['-xzf', smallArchive, '-C', folder]);
      const modules = closure(join(folder, 'lab/lib/modules'), smallModules);
      writeFileSync(join(folder, 'initrd'), initialFileSystem(modules, join(folder, 'lab/boot/config-lab')));
      renameSync(join(folder, 'lab/boot/vmlinuz-lab'), kernel);
      renameSync(join(folder, 'initrd'), initrd);
    });
  }
  touch(kernel, initrd);
  return { kernel, initrd };
}

/** @returns {{ release: string, kernel: string, initrd: string }} files in the cache, made where they are missing */
export function debianKernel() {
  openCache();
  const archive = newest(/^linux-image-.*\.deb$/) ?? fetchPackage();
  const release = basename(archive).replace(/^linux-image-|_.*$/g, '');
  const kernel = join(cache, `vmlinuz-${release}`);
  // What the initial file system is made of is its name: whoever changes a part gets another file.
  const parts = [readFileSync(init), readFileSync(busybox), JSON.stringify(allModules), release];
  const hash = parts
    .reduce((sum, part) => sum.update(part), createHash('sha256'))
    .digest('hex')
    .slice(0, 16);
  const initrd = join(cache, `initrd-${release}-${hash}`);
  if (!existsSync(kernel) || !existsSync(initrd)) unpack(archive, release, { kernel, initrd });
  touch(archive, kernel, initrd);
  return { release, kernel, initrd };
}

/**
 * The same with a table of firmware's in the place of its own (Documentation/admin-guide/acpi/initrd_table_override.rst).
 * @returns {{ kernel: string, initrd: string }}
 */
export function withTable({ kernel, initrd }, name, table) {
  const folders = ['kernel', 'kernel/firmware', 'kernel/firmware/acpi'].map((path) => ({ path, mode: 0o40755 }));
  const early = cpio([...folders, { path: `kernel/firmware/acpi/${name}.aml`, mode: 0o100644, content: table }]);
  const file = `${initrd}-${createHash('sha256').update(early).digest('hex').slice(0, 16)}`;
  if (!existsSync(file)) {
    const unfinished = `${file}.${process.pid}`;
    writeFileSync(unfinished, Buffer.concat([early, readFileSync(initrd)]));
    renameSync(unfinished, file);
  }
  touch(file);
  return { kernel, initrd: file };
}

const fetchPackage = () =>
  withScratch(cache, 'fetch', (folder) => {
    const name = dependencies('linux-image-amd64').find((each) => each.startsWith('linux-image-'));
    if (name === undefined)
      throw new LabError('apt knows no kernel: linux-image-amd64 has no package', 'run: apt-get update');
    const [file] = download([name], folder);
    const archive = join(cache, basename(file));
    renameSync(file, archive);
    return archive;
  });

const unpack = (archive, release, { kernel, initrd }) =>
  withScratch(cache, 'unpack', (folder) => {
    execFileSync('dpkg-deb', ['-x', archive, folder]);
    const modules = closure(join(folder, 'lib/modules', release, 'kernel'), allModules);
    writeFileSync(join(folder, 'initrd'), initialFileSystem(modules, join(folder, 'boot', `config-${release}`)));
    renameSync(join(folder, 'boot', `vmlinuz-${release}`), kernel);
    renameSync(join(folder, 'initrd'), initrd);
  });

const moduleName = (file) => basename(file).replace(/\.ko$/, '').replaceAll('-', '_');

/** The modules that the labs name, each behind those that it depends on. */
function closure(folder, names) {
  const files = new Map(
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.ko'))
      .map((file) => [moduleName(file), join(folder, file)]),
  );
  const found = new Map();
  const add = (name) => {
    if (found.has(name)) return;
    const file = files.get(name);
    if (file === undefined) throw new LabError(`this kernel has no module ${name}`);
    const content = readFileSync(file);
    const depends = /\0depends=([^\0]*)\0/.exec(content.toString('latin1'))?.[1].split(',').filter(Boolean) ?? [];
    for (const each of depends) add(each.replaceAll('-', '_'));
    found.set(name, { content, depends });
  };
  for (const name of names) add(name);
  return found;
}

function initialFileSystem(modules, config) {
  return cpio([
    ...['bin', 'dev', 'proc', 'sys', 'host', 'run', 'modules'].map((path) => ({ path, mode: 0o40755 })),
    { path: 'dev/console', mode: 0o20600, device: [5, 1] },
    { path: 'init', mode: 0o100755, content: readFileSync(init) },
    { path: 'bin/busybox', mode: 0o100755, content: readFileSync(busybox) },
    { path: 'config', mode: 0o100644, content: readFileSync(config) },
    ...[...modules].flatMap(([name, { content, depends }]) => [
      { path: `modules/${name}.ko`, mode: 0o100644, content },
      { path: `modules/${name}.needs`, mode: 0o100644, content: Buffer.from(depends.join(' ').replaceAll('-', '_')) },
    ]),
  ]);
}
