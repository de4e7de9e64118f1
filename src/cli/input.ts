/** Files that the user names. */
import { readFileSync } from 'node:fs';
import { UsageError } from '../errors.ts';

/**
 * The bytes of a file; that it cannot be read is misuse.
 * @param file its path, or the descriptor of standard input
 */
export function readInput(file: string | 0): Buffer {
  try {
    return readFileSync(file);
  } catch (cause) {
    const name = file === 0 ? '-' : file;
    throw new UsageError(`'${name}' cannot be read: ${(cause as Error).message}`, { cause });
  }
}
