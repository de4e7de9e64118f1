/** Files that were taken of hosts: one, or each of a directory. */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { CorruptInputError, UsageError } from '../errors.ts';
import { Progress } from './progress.ts';
import { exitCode, report } from './report.ts';

/** The files that a path names; `directory` tells whether there can be several. */
export function filesAt(path: string): { files: readonly string[]; directory: boolean } {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined)
    throw new UsageError(`'${path}' is not there`, { hint: 'give a file that was taken of a host' });
  if (!found.isDirectory()) return { files: [path], directory: false };
  const files = readdirSync(path)
    .filter((name) => !name.startsWith('.'))
    .map((name) => join(path, name))
    .filter((file) => statSync(file, { throwIfNoEntry: false })?.isFile())
    .sort();
  if (files.length === 0) throw new UsageError(`'${path}' holds no file`);
  return { files, directory: true };
}

/** Reads each file of a directory, or the one; of a directory, a file that is no dump is reported and keeps no other from being read. */
export function dumpsAt(path: string, read: (file: string) => void): void {
  const { files, directory } = filesAt(path);
  const progress = new Progress('reading dumps', files.length);
  for (const file of files) {
    try {
      read(file);
    } catch (error) {
      if (!directory || !(error instanceof CorruptInputError || error instanceof UsageError)) throw error;
      progress.end();
      report(error);
      process.exitCode = exitCode.misuse;
    }
    progress.step();
  }
  progress.end();
}
