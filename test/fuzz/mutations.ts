/** Inputs that nobody meant: a seed with bytes flipped, cut, repeated, moved or replaced by what parsers trip over. */

/** Numbers from 0 to 1, the same for the same seed (xorshift32). */
export function randomOf(seed: number): () => number {
  let state = seed | 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

type Mutation = (bytes: Buffer, at: number, length: number, random: () => number) => Buffer;

const tokens = [
  '\0',
  '\n',
  '\r\n',
  ' '.repeat(300),
  ':',
  '-',
  '0x',
  'FFFFFFFF',
  '99999999999',
  '[SL FF]',
  '@',
  '<',
  "'",
  '{',
  '\u00ff',
];

const mutations: readonly Mutation[] = [
  (bytes, at, _, random) => {
    const flipped = Buffer.from(bytes);
    if (flipped.length > 0) flipped[at] = (flipped[at] ?? 0) ^ (1 << Math.floor(random() * 8));
    return flipped;
  },
  (bytes, at, _, random) => {
    const changed = Buffer.from(bytes);
    if (changed.length > 0) changed[at] = Math.floor(random() * 256);
    return changed;
  },
  (bytes, at) => bytes.subarray(0, at),
  (bytes, at, length) => Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]),
  (bytes, at, length) => Buffer.concat([bytes.subarray(0, at + length), bytes.subarray(at)]),
  (bytes, at, length) => Buffer.concat([bytes.subarray(at), bytes.subarray(0, at), bytes.subarray(at, at + length)]),
  (bytes, at, length) =>
    Buffer.concat([bytes.subarray(0, at), Buffer.alloc(length, 0xff), bytes.subarray(at + length)]),
  (bytes, at, length) => Buffer.concat([bytes.subarray(0, at), Buffer.alloc(length), bytes.subarray(at + length)]),
  (bytes, at, _, random) => {
    const token = tokens[Math.floor(random() * tokens.length)] ?? '';
    return Buffer.concat([bytes.subarray(0, at), Buffer.from(token, 'latin1'), bytes.subarray(at)]);
  },
];

/** One to four mutations, one after the other. */
export function mutated(seed: Buffer, random: () => number): Buffer {
  let bytes = seed;
  for (let left = 1 + Math.floor(random() * 4); left > 0; left--) {
    const at = Math.floor(random() * bytes.length);
    const length = Math.floor(random() * Math.min(64, bytes.length - at + 1));
    bytes = mutations[Math.floor(random() * mutations.length)]?.(bytes, at, length, random) ?? bytes;
  }
  return bytes;
}
