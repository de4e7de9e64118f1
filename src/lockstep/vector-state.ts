/** x87, SSE and AVX registers by name, from an XSAVE area in the standard form (SDM Vol. 1, 13.4). */

interface Part {
  readonly name: string;
  readonly at: number;
  readonly bytes: number;
  /** Its value where XSTATE_BV says that the component is as after a reset. */
  readonly initial: bigint;
}

const several = (name: string, at: number, bytes: number, count: number): Part[] =>
  Array.from({ length: count }, (_, i) => ({ name: `${name}${i}`, at: at + 16 * i, bytes, initial: 0n }));

/** By component. What the last x87 instruction was, and where, each vendor keeps as it likes. */
const components: readonly (readonly Part[])[] = [
  [
    { name: 'fcw', at: 0, bytes: 2, initial: 0x37fn },
    { name: 'fsw', at: 2, bytes: 2, initial: 0n },
    { name: 'ftw', at: 4, bytes: 1, initial: 0n },
    ...several('st', 32, 10, 8),
  ],
  several('xmm', 160, 16, 16),
  several('ymm-high', 576, 16, 16),
];
const mxcsrAt = 24;
const presentAt = 512;

export function vectorState(area: Uint8Array): Map<string, bigint> {
  const present = area[presentAt] ?? 0;
  const named = components.flatMap((parts, component) =>
    parts.map(
      ({ name, at, bytes, initial }) => [name, (present >> component) & 1 ? wide(area, at, bytes) : initial] as const,
    ),
  );
  return new Map([...named, ['mxcsr', wide(area, mxcsrAt, 4)]]);
}

/** A little-endian number of so many bytes. */
export const wide = (bytes: Uint8Array, at: number, count: number): bigint =>
  bytes.subarray(at, at + count).reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
