/** Values of options that commands with guests share. */
import { InvalidArgumentError } from 'commander';

const smallest = 1 << 20;
const largest = 64 * 2 ** 30;

export function parseSize(text: string): number {
  const match = /^(\d+)([KMG]?)$/i.exec(text);
  const unit = { '': 1, K: 1 << 10, M: 1 << 20, G: 1 << 30 }[match?.[2]?.toUpperCase() ?? ''] ?? 1;
  const bytes = Number(match?.[1]) * unit;
  if (match === null || bytes < smallest || bytes > largest || bytes % 4096 !== 0) {
    throw new InvalidArgumentError('a size from 1M to 64G, such as 64M (a multiple of 4096 bytes).');
  }
  return bytes;
}

export function parseSeconds(text: string): number {
  const seconds = Number(text);
  if (!(seconds > 0 && seconds <= 86_400)) throw new InvalidArgumentError('seconds above 0, at most 86400.');
  return seconds;
}
