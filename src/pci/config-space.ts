/** The bytes of a configuration space as far as they were read, and what takes fields out of them. */

/** What lies behind the end of a dump: it may be there or not. */
export const unknown = 'unknown';
export type Unknown = typeof unknown;

/** What is wrong with a space or its dump. `offset` is null where no place of the space is meant. */
export interface PciFault {
  readonly message: string;
  readonly offset: number | null;
}

/** Bytes of a space by its kind: the header, conventional, PCI Express (PCI Express Base Specification 6, 7.2). */
export const spaceBytes = { header: 64, conventional: 256, express: 4096 } as const;

export class ConfigSpace {
  readonly length: number;
  readonly #view: DataView;

  constructor(bytes: Uint8Array) {
    this.length = bytes.length;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  has(offset: number, bytes: number): boolean {
    return offset + bytes <= this.length;
  }

  u8(offset: number): number {
    return this.#view.getUint8(offset);
  }

  u16(offset: number): number {
    return this.#view.getUint16(offset, true);
  }

  u32(offset: number): number {
    return this.#view.getUint32(offset, true);
  }
}

export const bit = (word: number, at: number): boolean => ((word >>> at) & 1) === 1;

export const bits = (word: number, high: number, low: number): number =>
  Math.floor(word / 2 ** low) % 2 ** (high - low + 1);

/** Names of single bits to whether they are set. */
export function flags<Name extends string>(word: number, names: Readonly<Record<Name, number>>): Record<Name, boolean> {
  const entries = Object.entries<number>(names).map(([name, at]) => [name, bit(word, at)]);
  return Object.fromEntries(entries) as Record<Name, boolean>;
}

export const hex = (value: number | bigint, digits = 1): string => `0x${value.toString(16).padStart(digits, '0')}`;

/**
 * Whether a file is a bare configuration space: its length is one of a space, it names a maker, a known header type and
 * base class, and what the header reserves is zero (PCI Express Base Specification 6, 7.5.1).
 */
export function looksLikeConfigSpace(bytes: Uint8Array): boolean {
  if (!Object.values<number>(spaceBytes).includes(bytes.length)) return false;
  const space = new ConfigSpace(bytes);
  const [vendor, headerType, baseClass] = [space.u16(0), space.u8(0x0e) & 0x7f, space.u8(0x0b)];
  const reserved = headerType === 0 ? [0x35, 0x3b] : [0x35, 0x37];
  return (
    vendor !== 0 &&
    vendor !== 0xffff &&
    headerType <= 1 &&
    (baseClass <= 0x13 || baseClass === 0x40 || baseClass === 0xff) &&
    bytes.subarray(reserved[0], (reserved[1] as number) + 1).every((byte) => byte === 0)
  );
}
