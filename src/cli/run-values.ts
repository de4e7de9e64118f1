/** Values of options that commands with guests share. */
import { InvalidArgumentError } from 'commander';

export function parseSize(text: string): number {
  const match = /^(\d+)([KMG]?)$/i.exec(text);
  const unit = { '': 1, K: 1 << 10, M: 1 << 20, G: 1 << 30 }[match?.[2]?.toUpperCase() ?? ''] ?? 1;
  const bytes = Number(match?.[1]) * unit;
  if (match === null || bytes < 1 << 20 || bytes > 3 * 2 ** 30 || bytes % 4096 !== 0) {
    throw new InvalidArgumentError('a size from 1M to 3G, such as 64M (a multiple of 4096 bytes).');
  }
  return bytes;
}

export function parseSeconds(text: string): number {
  const seconds = Number(text);
  if (!(seconds > 0 && seconds <= 86_400)) throw new InvalidArgumentError('seconds above 0, at most 86400.');
  return seconds;
}
