/** What a device in JavaScript reads back of its state, which may come from a damaged file. */
import { CorruptInputError } from '../errors.ts';
import type { Kept } from './state.ts';

/** A whole number from 0 to `most`. */
export function keptNumber(state: Kept, name: string, most: number): number {
  const value = fieldOf(state, name);
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= most) return value;
  throw corrupt(name, value, `a whole number from 0 to ${most}`);
}

export function keptFlag(state: Kept, name: string): boolean {
  const value = fieldOf(state, name);
  if (typeof value === 'boolean') return value;
  throw corrupt(name, value, 'true or false');
}

/** So many bytes, in base64; an empty text stands for zeros. */
export function keptBytes(state: Kept, name: string, count: number): Uint8Array {
  const value = fieldOf(state, name);
  const bytes = typeof value === 'string' ? Buffer.from(value, 'base64') : undefined;
  if (bytes !== undefined && (bytes.length === count || value === ''))
    return Uint8Array.from({ ...bytes, length: count });
  throw corrupt(name, typeof value, `${count} bytes in base64`);
}

export const bytesToKeep = (bytes: Uint8Array): string =>
  bytes.some((byte) => byte !== 0) ? Buffer.from(bytes).toString('base64') : '';

function fieldOf(state: Kept, name: string): unknown {
  return state !== null && typeof state === 'object' ? (state as Record<string, unknown>)[name] : undefined;
}

function corrupt(name: string, found: unknown, expected: string): CorruptInputError {
  return new CorruptInputError(`kept state: ${name} is ${String(found)}; expected ${expected}`, { expected });
}
