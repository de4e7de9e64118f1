/** Configuration spaces that tests make up, and their text in the form of lspci -x. */

import fc from 'fast-check';

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

/** Capabilities that vtkit decodes, by their offset in the spaces made up here; the lists go from each to the next. */
const conventional = [
  [0x80, 0x01],
  [0x90, 0x05],
  [0xb0, 0x11],
  [0xc0, 0x13],
] as const;
const inExtendedSpace = [0x0d, 0x0e, 0x0f, 0x10, 0x13, 0x1b, 0x1d, 0x15, 0x2e].map(
  (id, at) => [0x100 + 0x60 * at, id] as const,
);

/** A function that has all of them, whose registers hold anything but what the specification reserves. */
export const anyFunction = fc
  .tuple(fc.uint8Array({ minLength: 4096, maxLength: 4096 }), fc.constantFrom('endpoint', 'rootPort', 'integrated'))
  .map(([noise, type]) => {
    const bytes = Uint8Array.from(noise);
    const view = new DataView(bytes.buffer);
    bytes.set(spaceOf(0x44, express(type as keyof typeof expressTypes)));
    const list: readonly (readonly [number, number])[] = [[0x40, 0x10], ...conventional];
    for (const [index, [offset, id]] of list.entries()) {
      view.setUint16(offset, id | ((list[index + 1]?.[0] ?? 0) << 8), true);
    }
    for (const [index, [offset, id]] of inExtendedSpace.entries()) {
      view.setUint32(offset, extended(id, inExtendedSpace[index + 1]?.[0] ?? 0), true);
    }
    const vfBars = 0x100 + 0x60 * 3 + 0x24;
    for (let bar = 0; bar < 6; bar++) {
      const at = vfBars + 4 * bar;
      view.setUint8(at, view.getUint8(at) & (bar === 5 ? 0xf8 : 0xfc)); // memory, of 32 bits or 64, all within
    }
    const resizable = 0x100 + 0x60 * 7;
    for (let at = resizable + 4; at < resizable + 4 + 6 * 8; at += 8) {
      view.setUint32(at, view.getUint32(at, true) & 0x00ff_fff0, true); // 1 MiB to 512 GiB
      view.setUint32(at + 4, (view.getUint32(at + 4, true) & 0x0f07) | ((1 + ((noise[0] as number) % 6)) << 5), true);
    }
    view.setUint8(0x44, view.getUint8(0x44) & 0xfb); // payloads of 8 KiB and more
    view.setUint16(0x48, view.getUint16(0x48, true) & 0xbf7f, true);
    return bytes;
  });
