// Folders that a lab needs for a moment. A process that is killed leaves its own; the next one that wants such a folder removes it.
import { lstatSync, mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/** Numbers of processes mean something in one namespace only, and containers may share a folder. */
const namespace = readlinkSync('/proc/self/ns/pid').replace(/\D/g, '');

function lives(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // It is somebody else's.
    return error.code === 'EPERM';
  }
}

function removeLeft(parent, prefix) {
  for (const name of readdirSync(parent)) {
    if (!name.startsWith(prefix)) continue;
    const folder = join(parent, name);
    const pid = Number.parseInt(name.slice(prefix.length), 10);
    if (lives(pid) || lstatSync(folder, { throwIfNoEntry: false })?.uid !== process.getuid()) continue;
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * Calls `use` with a new folder in `parent`.
 * @template T
 * @param {string} parent
 * @param {string} kind
 * @param {(folder: string) => T} use
 * @returns {T} what it gives, when the folder is gone again
 */
export function withScratch(parent, kind, use) {
  const prefix = `${kind}-${namespace}-`;
  removeLeft(parent, prefix);
  const folder = mkdtempSync(join(parent, `${prefix}${process.pid}-`));
  try {
    return use(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
