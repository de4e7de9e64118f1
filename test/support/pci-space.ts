/** Configuration spaces that tests make up, and their text in the form of lspci -x. */

/** A space of so many bytes with words of 32 bits set, by offset. */
export function spaceOf(length: number, words: Readonly<Record<number, number>> = {}): Uint8Array {
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  for (const [offset, word] of Object.entries(words)) {
    if (Number(offset) + 4 <= length) view.setUint32(Number(offset), word, true);
  }
  return bytes;
}

/** Vendor 8086, device 1234, an Ethernet controller; a capability list that begins at `pointer`. */
export const header = (pointer = 0, type = 0): Record<number, number> => ({
  0: 0x1234_8086,
  4: pointer === 0 ? 0 : 0x0010_0000,
  8: 0x0200_0000,
  12: type << 16,
  52: pointer,
});

export const expressTypes = { endpoint: 0, rootPort: 4, upstream: 5, downstream: 6, toPci: 7, integrated: 9 } as const;

/** An Express function with its capability at 40h, version 2. */
export const express = (type: keyof typeof expressTypes, headerType = 0): Record<number, number> => ({
  ...header(0x40, headerType),
  64: ((expressTypes[type] << 20) | 0x2_0000 | 0x10) >>> 0,
});

/** The header of an extended capability. */
export const extended = (id: number, next = 0, version = 1): number => ((next << 20) | (version << 16) | id) >>> 0;

/** One function as `lspci -x` prints it. */
export function lspciText(heading: string, bytes: Uint8Array, newline = '\n'): string {
  const rows = [heading];
  for (let at = 0; at < bytes.length; at += 16) {
    const row = [...bytes.subarray(at, at + 16)].map((byte) => byte.toString(16).padStart(2, '0'));
    rows.push(`${at.toString(16).padStart(2, '0')}: ${row.join(' ')}`);
  }
  return `${rows.join(newline)}${newline}${newline}`;
}
