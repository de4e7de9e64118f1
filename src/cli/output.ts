/** Results for a file or for stdout: a file is whole or not there. */
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { UsageError } from '../errors.ts';

/** @param path of the file; stdout without one */
export function writeResult(text: string, path: string | undefined): void {
  if (path === undefined) {
    process.stdout.write(text);
    return;
  }
  const unfinished = `${path}.${process.pid}.tmp`;
  try {
    writeFileSync(unfinished, text);
    renameSync(unfinished, path);
  } catch (cause) {
    rmSync(unfinished, { force: true });
    throw new UsageError(`'${path}' cannot be written: ${(cause as Error).message}`, { cause });
  }
}
