// Files of this machine that come along into a lab that cannot see them, at the places that they have here.
import { execFileSync } from 'node:child_process';
import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { basename, delimiter, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LabError } from '../error.mjs';

const project = fileURLToPath(new URL('../../..', import.meta.url));
/** What the built project needs to run; what is not built yet is not there. */
const built = ['package.json', 'dist', 'build/Release/vtkit.node', ...modulesOf(join(project, 'package-lock.json'))];
/** A shell and the usual tools. */
const busybox = '/bin/busybox';
/** Folders that the lab's init mounts something on. */
const mountedOn = ['/dev', '/proc', '/sys', '/tmp', '/run', '/boot'];

/** Folders of the packages that are not for development alone. */
function modulesOf(lock) {
  const { packages } = JSON.parse(readFileSync(lock, 'utf8'));
  return Object.keys(packages).filter((path) => path !== '' && !packages[path].dev);
}

/** What the dynamic loader would load for a program or library, itself included. */
function librariesOf(file) {
  // Of a static program it says so, and fails.
  const said = execFileSync('sh', ['-c', 'ldd "$1" 2>&1 || true', 'sh', file], { encoding: 'utf8' });
  return [...said.matchAll(/(\/\S+) \(0x/g)].map(([, path]) => path);
}

const isElf = (content) => content.length > 4 && content.readUInt32BE(0) === 0x7f454c46;

/** Entries of an initial file system: a folder before what is in it, a link with what it leads to, a program with its libraries. */
class Tree {
  #entries = new Map();

  add(path, libraries = librariesOf) {
    const here = this.#follow(resolve(path));
    const state = statSync(here);
    if (state.isDirectory()) {
      for (const name of readdirSync(here)) this.add(join(here, name));
    } else if (state.isFile() && !this.#entries.has(here)) {
      const content = readFileSync(here);
      this.#entries.set(here, { mode: state.mode, content });
      if (isElf(content)) for (const library of libraries(here)) this.add(library, () => []);
    }
  }

  addFolder(path) {
    this.#follow(resolve(path));
  }

  /** Where a path leads to, after the folders and links on the way there have got their entries. */
  #follow(path) {
    if (path === '/') return path;
    const here = join(this.#follow(dirname(path)), basename(path));
    const state = lstatSync(here, { throwIfNoEntry: false });
    if (state === undefined) throw new LabError(`there is no ${here} to come along`);
    if (state.isDirectory()) this.#entries.set(here, { mode: state.mode });
    if (!state.isSymbolicLink()) return here;
    const target = readlinkSync(here);
    this.#entries.set(here, { mode: state.mode, content: Buffer.from(target) });
    return this.#follow(resolve(dirname(here), target));
  }

  under(root) {
    return [...this.#entries].map(([path, entry]) => ({ path: `${root}${path}`, ...entry }));
  }
}

/** The program that a shell would find. */
const found = (word) =>
  word.includes('/')
    ? word
    : process.env.PATH?.split(delimiter)
        .map((folder) => join(folder, word))
        .find(existsSync);

const isFile = (path) => path !== undefined && statSync(path, { throwIfNoEntry: false })?.isFile();

/**
 * Node, the built project, a shell, the command's program, the files that its words name, and what was asked for.
 * @returns {{ path: string, mode: number, content?: Buffer }[]} entries of an initial file system, below `root`
 */
export function filesFor(command, extra, root) {
  const tree = new Tree();
  for (const folder of [...mountedOn, process.cwd()]) tree.addFolder(folder);
  for (const file of [busybox, process.execPath]) tree.add(file);
  for (const part of built) if (existsSync(join(project, part))) tree.add(join(project, part));
  for (const word of [found(command[0]), ...command.slice(1)]) if (isFile(word)) tree.add(word);
  for (const path of extra) tree.add(path);
  return tree.under(root);
}
